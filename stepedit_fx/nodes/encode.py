"""Sound into speech; never written in a graph file, the planner puts it in."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from stepedit_fx.audio import Audio
from stepedit_fx.nodes.base import Context, Node
from stepedit_fx.speech import Speech

logger = logging.getLogger(__name__)


class Encode(Node):
    """Turn sound into the engine's speech codes and pin its voice."""

    kind = "encode"
    code_version = 2
    takes = Audio
    gives = Speech
    cost_s = 0.009

    def run(self, inputs: Sequence[Any], context: Context) -> Speech:
        made: Speech = self.run_batch([inputs], context)[0]
        return made

    def run_batch(self, batch: Sequence[Sequence[Any]], context: Context) -> list[Any]:
        for inputs in batch:
            _warn(inputs[0])
        takes = context.engine.encode([inputs[0] for inputs in batch])
        return [_measured(take, inputs[0]) for take, inputs in zip(takes, batch, strict=True)]


def _measured(take: Speech, audio: Audio) -> Speech:
    """A take that knows how loud its source was and how high it peaked."""
    from stepedit_fx.loudness import loudness_lufs, true_peak

    loudness = loudness_lufs(audio.samples, audio.sample_rate)
    place = replace(
        take.place,
        loudness_lufs=loudness if math.isfinite(loudness) else None,
        true_peak=true_peak(audio.samples, audio.sample_rate),
    )
    return replace(take, place=place)


def _warn(audio: Audio) -> None:
    """Say what is unusual about a recording; a stretch of a long one is not judged by itself."""
    from stepedit_fx.inspection import findings

    if not audio.speaker_f0_hz:
        for found in findings(audio):
            logger.warning("%s", found.words)
