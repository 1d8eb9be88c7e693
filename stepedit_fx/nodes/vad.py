"""Silent portions taken away."""

from __future__ import annotations

from stepedit_fx.nodes.base import EditNode, param, strength_of
from stepedit_fx.nodes.keyframes import Strength
from stepedit_fx.speech import Edit


class Vad(EditNode):
    """Take silent portions away (voice activity detection)."""

    kind = "vad"
    main = "strength"

    strength: Strength = param(1.0, help="How much of each silence: 0 none, 1 all of it.")

    def edit(self) -> Edit:
        return Edit("vad", seed=self.seed, **strength_of(self.strength))
