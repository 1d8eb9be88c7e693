"""Values that change over time: keyframes, ramps and low-frequency oscillators.

Time 0 is the start of the audio. Every curve is a pure function of time, so that it can be
evaluated piece by piece and always gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

KEYFRAME_SHAPES = ("linear", "hold", "smooth")
LFO_SHAPES = ("sine", "triangle", "square", "random")
# Above this an LFO would be smoothed away (SMOOTHING_S), and it would be a sound, not a movement.
LFO_MAX_HZ = 20.0
# Width of the raised-cosine window every curve is smoothed with, so that a jump does not click.
SMOOTHING_S = 0.02


@dataclass(frozen=True)
class Keyframes:
    """A value at each time in points, (t_s, value), times rising; held before and after.

    shape: linear between points, hold until the next, or smooth (raised cosine).
    """

    points: tuple[tuple[float, float], ...]
    shape: str = "linear"

    @property
    def extent(self) -> tuple[float, float]:
        values = [value for _, value in self.points]
        return min(values), max(values)

    def at(self, times_s: Times) -> Times:
        starts = np.array([t for t, _ in self.points])
        values = np.array([v for _, v in self.points])
        if self.shape == "linear":
            between: Times = np.interp(times_s, starts, values)
            return between
        if self.shape == "hold":
            passed = np.searchsorted(starts, times_s, side="right")
            held: Times = values[np.maximum(passed - 1, 0)]
            return held
        place = np.interp(times_s, starts, np.arange(len(starts)))
        before = place.astype(np.int64)
        after = np.minimum(before + 1, len(starts) - 1)
        eased = 0.5 - 0.5 * np.cos(np.pi * (place - before))
        moved: Times = values[before] + (values[after] - values[before]) * eased
        return moved

    def data(self) -> dict[str, Any]:
        return {"keyframes": [list(point) for point in self.points], "shape": self.shape}


@dataclass(frozen=True)
class Ramp:
    """A straight line from one value at start_s to another at end_s, held before and after."""

    first: float
    last: float
    start_s: float
    end_s: float

    @property
    def extent(self) -> tuple[float, float]:
        return min(self.first, self.last), max(self.first, self.last)

    def at(self, times_s: Times) -> Times:
        return np.interp(times_s, [self.start_s, self.end_s], [self.first, self.last])

    def data(self) -> dict[str, Any]:
        line = {"from": self.first, "to": self.last, "start": self.start_s, "end": self.end_s}
        return {"ramp": line}


@dataclass(frozen=True)
class Lfo:
    """An oscillation: center plus and minus depth, rate_hz times a second.

    phase: where in its cycle it starts, 0 to 1. seed: of the random shape, which holds a new
    random value each cycle.
    """

    shape: str
    rate_hz: float
    center: float
    depth: float
    phase: float = 0.0
    seed: int = 0

    @property
    def extent(self) -> tuple[float, float]:
        return self.center - self.depth, self.center + self.depth

    def at(self, times_s: Times) -> Times:
        cycles = times_s * self.rate_hz + self.phase
        if self.shape == "sine":
            wave = np.sin(2 * np.pi * cycles)
        elif self.shape == "triangle":
            wave = 1 - 4 * np.abs(np.mod(cycles + 0.25, 1.0) - 0.5)
        elif self.shape == "square":
            wave = np.where(np.mod(cycles, 1.0) < 0.5, 1.0, -1.0)
        else:
            index = np.floor(cycles).astype(np.int64)
            drawn = np.random.default_rng(self.seed).uniform(-1, 1, int(index.max(initial=0)) + 1)
            wave = drawn[index]
        low, high = self.extent
        return np.clip(self.center + self.depth * wave, low, high)

    def data(self) -> dict[str, Any]:
        names = ("shape", "rate_hz", "center", "depth", "phase", "seed")
        return {"lfo": {name: getattr(self, name) for name in names}}


Curve = Keyframes | Ramp | Lfo

# The keys of each curve's data: name -> (what it is, whether it must be given).
CURVE_KEYS: Mapping[str, Mapping[str, tuple[str, bool]]] = MappingProxyType(
    {
        "keyframes": {
            "keyframes": ("list of [seconds, value], seconds rising", True),
            "shape": (f"one of {', '.join(KEYFRAME_SHAPES)}", False),
        },
        "ramp": {
            "from": ("value at the start", True),
            "to": ("value at the end", True),
            "start": ("seconds", False),
            "end": ("seconds", True),
        },
        "lfo": {
            "shape": (f"one of {', '.join(LFO_SHAPES)}", False),
            "rate_hz": (f"cycles a second, at most {LFO_MAX_HZ:g}", True),
            "center": ("value it swings about", True),
            "depth": ("how far it swings to each side", True),
            "phase": ("where in the cycle it starts, 0 to 1", False),
            "seed": ("of the random shape", False),
        },
    }
)


def smoothed(curve: Curve, first: int, count: int, step_s: float) -> Times:
    """The curve at steps first to first + count, smoothed so that jumps do not click.

    Where the curve stands still over the whole window its very value comes out. Needs no state:
    cutting a range in two gives the same values. Returns (count,) float64.
    """
    reach = max(1, round(SMOOTHING_S / 2 / step_s))
    steps = np.arange(first - reach, first + count + reach)
    raw = curve.at(np.maximum(steps, 0) * step_s)
    window = np.hanning(2 * reach + 3)[1:-1]
    smooth = np.convolve(raw, window / window.sum(), mode="valid")
    changes = np.concatenate([[0], np.cumsum(raw[1:] != raw[:-1])])
    still = changes[2 * reach :] == changes[:count]
    low, high = curve.extent
    return np.where(still, raw[reach : reach + count], np.clip(smooth, low, high))
