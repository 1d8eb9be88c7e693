"""Background noise taken away."""

from __future__ import annotations

from stepedit_fx.nodes.base import EditNode, param
from stepedit_fx.speech import Edit


class Denoise(EditNode):
    """Take background noise away."""

    kind = "denoise"
    main = "strength"

    strength: float = param(1.0, ge=0, le=1, help="How much: 0 nothing, 1 all that can go.")

    def edit(self) -> Edit:
        return Edit("denoise", strength=self.strength, seed=self.seed)
