"""Speech back into sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepedit_fx.audio import Audio
from stepedit_fx.nodes.base import Context, Node
from stepedit_fx.speech import Speech


class Decode(Node):
    """Turn speech back into sound; put in by itself where sound is needed and none is written.

    Where sound arrives already, there is nothing to decode and it passes as it is.
    """

    kind = "decode"
    takes = Speech
    gives = Audio
    cost_s = 0.04

    def run(self, inputs: Sequence[Any], context: Context) -> Audio:
        made: Audio = self.run_batch([inputs], context)[0]
        return made

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        return list(context.engine.decode([inputs[0] for inputs in batch]))
