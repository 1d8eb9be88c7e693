"""Sound into speech; never written in a graph file, the planner puts it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepedit_fx.audio import Audio
from stepedit_fx.nodes.base import Context, Node
from stepedit_fx.speech import Speech


class Encode(Node):
    """Turn sound into the engine's speech codes and pin its voice."""

    kind = "encode"
    takes = Audio
    gives = Speech
    cost_s = 0.009

    def run(self, inputs: Sequence[Any], context: Context) -> Speech:
        made: Speech = self.run_batch([inputs], context)[0]
        return made

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        return list(context.engine.encode([inputs[0] for inputs in batch]))
