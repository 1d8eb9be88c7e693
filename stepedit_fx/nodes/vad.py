"""Silent portions taken away."""

from __future__ import annotations

from stepedit_fx.nodes.base import EditNode, param
from stepedit_fx.speech import Edit


class Vad(EditNode):
    """Take silent portions away (voice activity detection)."""

    kind = "vad"
    main = "strength"

    strength: float = param(1.0, ge=0, le=1, help="How much of each silence: 0 none, 1 all of it.")

    def edit(self) -> Edit:
        return Edit("vad", strength=self.strength, seed=self.seed)
