"""How the speaker feels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stepedit_fx.nodes.base import EditNode, param
from stepedit_fx.speech import Edit


class Emotion(EditNode):
    """Change how the speaker feels."""

    kind = "emotion"
    main = "value"

    value: str = param(help="The emotion: happy, sad, angry, ..., or remove.", live=False)
    strength: float = param(1.0, ge=0, le=1, help="How much of it: 0 nothing, 1 as the tag says.")
    iterations: int = param(1, ge=1, le=5, help="How many times over it is applied.")

    if TYPE_CHECKING:

        def __init__(
            self,
            value: str,
            *,
            strength: float = 1.0,
            iterations: int = 1,
            bypass: bool = False,
            seed: int = 0,
        ) -> None: ...

    def edit(self) -> Edit:
        return Edit(
            "emotion",
            self.value,
            strength=self.strength,
            iterations=self.iterations,
            seed=self.seed,
        )
