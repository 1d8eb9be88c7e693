"""A run heard before it is done: its last edit while that is made, or else the finished sound."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from stepedit_fx.audio import Audio, Sound, blocks
from stepedit_fx.effects.flowing import Flowing, obstacle
from stepedit_fx.engines.base import Hear
from stepedit_fx.errors import RequestError
from stepedit_fx.graph.plan import Plan, PlannedStep
from stepedit_fx.nodes.base import EditNode
from stepedit_fx.nodes.clone import Clone
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.output import Output

logger = logging.getLogger(__name__)


class Listening:
    """Who hears a plan, and what of it.

    An edit is heard while it is made where nothing but decode and effects that work in blocks
    stands between it and the output, and the engine can. hear: given blocks, `start_s` counted from
    the start of the result. Raises RequestError for a plan with more outputs than one.
    """

    def __init__(self, plan: Plan, hear: Hear) -> None:
        self._hear = hear
        self._end_s = 0.0
        self._output, way = _way_up(plan)
        self._edit = way.pop().id if way and isinstance(way[-1].node, EditNode | Clone) else ""
        self._effects = [step.node for step in reversed(way) if isinstance(step.node, Effects)]
        self._folder = plan.graph.folder
        self._flowing: list[Flowing] | None = None  # once something is heard
        self._format = (0, 0)  # channels, rate of what is heard
        channels = max((sound.channels for sound in plan.recordings.values()), default=1)
        why = next(filter(None, (_holds_up(step, channels) for step in way)), "")
        if why and self._edit:
            logger.warning("it is heard when all of it is done: %s", why)
            self._edit = ""

    def hears(self, step: PlannedStep) -> Hear | None:
        """Who hears a step while it is done, if anybody."""
        return self._take if step.id == self._edit else None

    def finish(self, values: Mapping[str, Sound]) -> None:
        """The end of what was heard, or all of the result. values: by output node."""
        if self._flowing is None:
            result = values[self._output]
            for samples in blocks(result):
                self._tell(samples, result.sample_rate)
            return
        channels, rate = self._format
        self._push(np.zeros((channels, 0), np.float32), rate, last=True)

    def _take(self, block: Audio) -> None:
        rate = block.sample_rate
        if self._flowing is None:
            self._format = (block.channels, rate)
            self._flowing = [
                Flowing(node.chain, rate, block.channels, self._folder, tail_s=node.tail_s)
                for node in self._effects
                if not node.bypass
            ]
        self._push(block.samples, rate, last=False)

    def _push(self, samples: np.ndarray, rate: int, *, last: bool) -> None:
        for flowing in self._flowing or ():
            samples = flowing.push(samples, last=last)
        self._tell(samples, rate)

    def _tell(self, samples: np.ndarray, rate: int) -> None:
        if samples.shape[1]:
            self._hear(Audio(samples, rate, self._end_s))
            self._end_s += samples.shape[1] / rate


def _way_up(plan: Plan) -> tuple[str, list[PlannedStep]]:
    """The output, and the steps above it up to the first edit, that one last."""
    outputs = [step for step in plan.steps if isinstance(step.node, Output)]
    if len(outputs) != 1:
        raise RequestError(
            f"the graph has {len(outputs)} outputs, and one at a time can be heard",
            remedy="Take the others out, or run it without listening.",
        )
    steps = {step.id: step for step in plan.steps}
    step, way = outputs[0], []
    while step.sources and not isinstance(step.node, EditNode | Clone):
        step = steps[step.sources[0]]
        way.append(step)
    return outputs[0].id, way


def _holds_up(step: PlannedStep, channels: int) -> str:
    """Why a step between an edit and the output must have all of the sound; nothing if it flows."""
    if isinstance(step.node, Effects):
        if step.node.bypass:
            return ""
        why = obstacle(step.node.chain, channels)
        return why and f"{why} in '{step.id}' needs more than comes at a time"
    if isinstance(step.node, Decode | EditNode | Clone):
        return ""
    return f"'{step.id}' needs all of it"
