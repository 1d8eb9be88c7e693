"""Parameters that move while sound runs through them.

Control threads set a knob's target, a plain attribute of which the newest value wins; the
callback lets the plugin glide there along the knob's own curve, in 20 ms.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.effects.curves import Curve, smoothed
from stepedit_fx.effects.plugins import Plugin
from stepedit_fx.effects.table import Param

GLIDE_S = 0.02
CURVE_FRAMES = 32  # how often a parameter's own curve is looked up
# Share of the range that a value moves within one block, and for levels 0.1 dB. A gain thrown by
# 60 dB on a hum then steps 1.4 times as far as the hum itself; blocks of 16 frames, 1.85 times; of
# 4, 1.16 times, at twice the cost, which is 0.22 ms of a block of 5.3 ms.
_GRAIN = 2e-3
_SHORTEST_FRAMES = 8
_LONGEST_FRAMES = 64
# JUCE's filters are not defined at half the rate; this much below it they are quiet and stable.
_TOP_SHARE_OF_RATE = 0.49
_CHUNK_STEPS = 1 << 16


class Knob:
    """One parameter's target. target: the value, or None where the curve of its own is followed.

    initial: what the control stands at in the graph file: at it, the curve is followed again, as
    in a render.
    """

    def __init__(
        self, param: Param, value: float | Curve, initial: float, sample_rate: int
    ) -> None:
        self.param = param
        self.sample_rate = sample_rate
        self.curve = None if isinstance(value, int | float) else value
        self.target: float | None = float(value) if isinstance(value, int | float) else None
        self._initial = initial
        self._generation = -1
        self._top = param.high
        if param.below_nyquist:
            self._top = min(param.high, _TOP_SHARE_OF_RATE * sample_rate)
        self._places: NDArray[np.float64] = np.zeros(0)

    def set(self, value: float, generation: int = -1) -> None:
        """Turn it, unless it was turned since; from one thread at a time."""
        if generation < self._generation:
            return
        self._generation = generation
        self.target = None if self.curve is not None and value == self._initial else value

    def cover(self, frames: int) -> None:
        """Work the curve out for a sound of this length; not for the callback."""
        steps = frames // CURVE_FRAMES + 2
        if self.curve is None or steps <= len(self._places):
            return
        step_s = CURVE_FRAMES / self.sample_rate
        parts = [
            smoothed(self.curve, first, min(_CHUNK_STEPS, steps - first), step_s)
            for first in range(0, steps, _CHUNK_STEPS)
        ]
        values = np.clip(np.concatenate(parts), self.param.low, self._top)
        self._places = self._placed(values)

    def goal(self, target: float | None, position: int) -> float:
        """Where a target stands on the knob; the curve, with the sound at this frame, for None."""
        if target is not None:
            return self.place(target)
        places = self._places  # once: a longer one may take its place meanwhile
        if not len(places):
            return self.place(self._initial)
        return float(places[min(position // CURVE_FRAMES, len(places) - 1)])

    def place(self, value: float) -> float:
        """0 to 1 over the range; for levels 1 is 50 dB, however wide the range."""
        return float(self._placed(np.float64(min(max(value, self.param.low), self._top))))

    def _placed(self, values: Any) -> Any:
        """The places of values within the range: of one, or of an array."""
        param = self.param
        if param.unit == "dB":
            return values / 50.0
        if param.curve == "log":
            return np.log(values / param.low) / math.log(param.high / param.low)
        return (values - param.low) / (param.high - param.low)

    def value(self, place: float) -> float:
        """The value at a place, within what the plugin takes."""
        param = self.param
        if param.unit == "dB":
            value = place * 50.0
        elif param.curve == "log":
            value = param.low * math.exp(place * math.log(param.high / param.low))
        else:
            value = param.low + place * (param.high - param.low)
        return min(max(value, param.low), self._top)

    def clamped(self, target: float) -> float:
        """A target as the plugin gets it at rest."""
        return min(max(target, self.param.low), self._top)


class Slot:
    """A knob's hand in one plugin; the callback's own, but for its making."""

    __slots__ = ("_left", "_offset", "_place", "_target", "_total", "is_moving", "knob", "plugin")

    def __init__(self, knob: Knob, plugin: Plugin, position: int) -> None:
        self.knob = knob
        self.plugin = plugin
        self._total = round(GLIDE_S * knob.sample_rate)
        self._left = 0  # frames of the glide still to go
        self._offset = 0.0  # from the goal, when the glide began
        self._target = knob.target  # the one that is gone to: knob's may be newer
        self._place = knob.goal(self._target, position)
        self.is_moving = False
        self._set()

    def begin(self, position: int, jumped: bool) -> None:
        """At a block's start: see whether there is a new goal. jumped: the position is new."""
        target = self.knob.target
        if target != self._target or (jumped and target is None):
            self._target = target
            self._offset = self._place - self.knob.goal(target, position)
            self._left = self._total
        self.is_moving = self._left > 0 or target is None

    def grain_frames(self) -> int:
        """How long a block may be while the value moves as it does."""
        if self._left <= 0:
            return CURVE_FRAMES
        speed = abs(self._offset) / self._total
        if speed * _LONGEST_FRAMES <= _GRAIN:
            return _LONGEST_FRAMES
        return max(_SHORTEST_FRAMES, int(_GRAIN / speed))

    def move(self, position: int, frames: int) -> None:
        """Go where the value is to be after a block of this many frames."""
        self._left = max(self._left - frames, 0)
        goal = self.knob.goal(self._target, position)
        self._place = goal + self._offset * self._left / self._total
        self._set()
        self.is_moving = self._left > 0 or self._target is None

    def _set(self) -> None:
        resting = not self._left and self._target is not None
        value = self.knob.clamped(self._target) if resting else self.knob.value(self._place)  # type: ignore[arg-type]
        setattr(self.plugin, self.knob.param.name, value)
