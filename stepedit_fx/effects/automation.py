"""Effects whose parameters change over time: rendered in blocks, short where a value moves fast.

Cost is 3 microseconds a block (pedalboard 0.9.26, one core), whatever its length. Measured at
24 kHz on a gain thrown from -60 to +6 dB: what blocks of 64 frames add above 2.5 kHz is 12 times
what blocks of 4 add, and blocks of 4 throughout cost 20 ms a second of audio. So a block lasts
until a value has moved by a five-hundredth of its range, or 0.1 dB; at most 64 frames while it
moves, and as long as may be while nothing does. Frames and not milliseconds, because a stair of 32
frames, at 192 kHz, is a step between samples seven times the sound's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import CURVES, Effect
from stepedit_fx.effects.curves import Curve, smoothed
from stepedit_fx.effects.flow import Cut
from stepedit_fx.effects.plugins import Plugin, built, checked, longer
from stepedit_fx.effects.table import EFFECTS, Param

_STEP_FRAMES = 4  # curves are evaluated this often, below 24 kHz more often:
_STEPS_PER_S = 6000
_MOVING_STEPS = 16  # longest block while a value moves: 64 frames
_STILL_STEPS = 2048  # longest block while none does: 0.34 s at 24 kHz
_CHUNK_STEPS = 1 << 15  # curves are evaluated 5 s (at 24 kHz) at a time: hours fit in memory
_GRAIN = 2e-3  # share of a parameter's range that a value may move within one block


@dataclass(frozen=True)
class _Mover:
    """A parameter that moves: the plugin that holds it, and its curve."""

    plugin: Plugin
    param: Param
    curve: Curve


def is_automated(effects: Sequence[Effect]) -> bool:
    """Whether any parameter changes over time."""
    return any(isinstance(value, CURVES) for effect in effects for _, value in effect.params)


def automated(
    effects: Sequence[Effect],
    samples: Iterable[Samples],
    channels: int,
    frames: int,
    sample_rate: int,
    folder: Path,
) -> Iterator[Samples]:
    """A sound in blocks through effects with moving parameters; blocks of any length come out.

    frames: of the whole sound. Every effect must be one that gives the same in blocks. Raises
    EffectError.
    """
    import pedalboard

    plugins = [built(effect, sample_rate, folder) for effect in effects]
    movers = [
        _Mover(plugin, EFFECTS[effect.name].params[name], value)
        for effect, plugin in zip(effects, plugins, strict=True)
        for name, value in effect.params
        if isinstance(value, CURVES)
    ]
    names = ", ".join(effect.name for effect in effects)
    step = max(1, min(_STEP_FRAMES, round(sample_rate / _STEPS_PER_S)), channels + 1)
    longest = _MOVING_STEPS * step
    before = [math.nan] * len(movers)
    source = Cut(samples)
    for start, end, values in _blocks(movers, frames, step, step / sample_rate):
        for mover, value, old in zip(movers, values, before, strict=True):
            if value != old:
                setattr(mover.plugin, mover.param.name, value)
        before = values
        block = source.next(end - start)
        done = pedalboard.process(longer(block), sample_rate, plugins, longest, reset=False)
        yield checked(done[:, : end - start], block, names)


def _blocks(
    movers: Sequence[_Mover], frames: int, step: int, step_s: float
) -> Iterator[tuple[int, int, list[float]]]:
    """Blocks as first frame, frame after the last, and each mover's value."""
    total = math.ceil(frames / step)
    for first in range(0, total, _CHUNK_STEPS):
        count = min(_CHUNK_STEPS, total - first)
        values = np.stack([smoothed(m.curve, first, count, step_s) for m in movers])
        starts = _block_starts(values, movers)
        if first == 0:
            # JUCE forgets its state when a block is longer than any before, so the first is as
            # long as any may be (longer ones pedalboard cuts itself).
            starts = starts[(starts == 0) | (starts >= _MOVING_STEPS)]
        edges = [*((first + starts) * step).tolist(), min((first + count) * step, frames)]
        yield from zip(edges[:-1], edges[1:], values.T[starts].tolist(), strict=True)


def _block_starts(values: NDArray[np.float64], movers: Sequence[_Mover]) -> NDArray[np.int64]:
    """The steps at which a block starts, for values (movers, steps); the first is 0.

    A block starts where movement begins or ends, so that a value at rest is met exactly.
    """
    places = np.stack([_place(row, m.param) for row, m in zip(values, movers, strict=True)])
    moves = np.abs(np.diff(places, axis=1)).max(axis=0)
    moving = moves > 0
    grains = np.floor(np.cumsum(moves) / _GRAIN)
    index = np.arange(1, len(moves) + 1)
    cut = index % np.where(moving, _MOVING_STEPS, _STILL_STEPS) == 0
    cut |= np.diff(grains, prepend=0) > 0
    cut[1:] |= moving[1:] != moving[:-1]
    return np.concatenate([[0], np.flatnonzero(cut) + 1])


def _place(values: NDArray[np.float64], param: Param) -> NDArray[np.float64]:
    """Where values lie on a knob: 0 to 1 over the range; for levels 1 is 50 dB, however wide."""
    if param.unit == "dB":
        return values / 50.0
    if param.curve == "log":
        return np.log(values / param.low) / math.log(param.high / param.low)
    return (values - param.low) / (param.high - param.low)
