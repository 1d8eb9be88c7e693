"""New words in the voice of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stepedit_fx.nodes.base import Context, Node, param
from stepedit_fx.speech import Edit, Speech


class Clone(Node):
    """Say new words in the voice of the recording that flows in (parametric: a sketch).

    The parametric engine says them with espeak-ng, moved to the recording's pitch, pace and
    spectrum; the step-audio engine clones the voice.
    """

    kind = "clone"
    takes = Speech
    gives = Speech
    main = "text"

    text: str = param(help="The words to say.")
    bypass: bool = param(False, help="Pass the recording through unchanged.")
    seed: int = param(0, ge=0, le=2**31 - 1, help="Seed of every random choice.")

    if TYPE_CHECKING:

        def __init__(self, text: str, *, bypass: bool = False, seed: int = 0) -> None: ...

    def edit(self) -> Edit:
        """What the engine must offer for this node to run."""
        return Edit("clone", text=self.text, seed=self.seed)

    def run(self, inputs: Sequence[Any], context: Context) -> Speech:
        return context.engine.clone([inputs[0]], [self.edit()])[0]
