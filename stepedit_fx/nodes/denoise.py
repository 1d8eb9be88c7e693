"""Background noise taken away."""

from __future__ import annotations

from stepedit_fx.nodes.base import EditNode, param, strength_of
from stepedit_fx.nodes.keyframes import Strength
from stepedit_fx.speech import Edit


class Denoise(EditNode):
    """Take background noise away."""

    kind = "denoise"
    main = "strength"

    strength: Strength = param(1.0, help="How much: 0 nothing, 1 all that can go.")

    def edit(self) -> Edit:
        return Edit("denoise", seed=self.seed, **strength_of(self.strength))
