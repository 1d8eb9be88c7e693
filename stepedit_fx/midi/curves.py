"""From where a hardware control stands to a parameter's value, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

# An audio-taper potentiometer gives a tenth of its range at half its travel:
# (EXP_BASE ** 0.5 - 1) / (EXP_BASE - 1) = 0.1.
EXP_BASE = 81.0


@dataclass(frozen=True)
class Curve:
    """A shape, 0 to 1 onto 0 to 1 and rising, with its inverse. help: a line for the reference."""

    help: str
    shape: Callable[[Numbers], Numbers]
    inverse: Callable[[Numbers], Numbers]


def _same(x: Numbers) -> Numbers:
    return x


def _exp(x: Numbers) -> Numbers:
    return (EXP_BASE**x - 1) / (EXP_BASE - 1)


def _exp_inverse(x: Numbers) -> Numbers:
    inverse: Numbers = np.log(1 + x * (EXP_BASE - 1)) / np.log(EXP_BASE)
    return inverse


def _scurve(x: Numbers) -> Numbers:
    return x * x * (3 - 2 * x)


def _scurve_inverse(x: Numbers) -> Numbers:
    inverse: Numbers = 0.5 - np.sin(np.arcsin(1 - 2 * x) / 3)
    return inverse


# log and steps need the range and the count, so `Travel` does them; here they stand for the list.
CURVES: Mapping[str, Curve] = MappingProxyType(
    {
        "linear": Curve("the same change everywhere", _same, _same),
        "log": Curve(
            "the same ratio everywhere, as frequencies want; the range must be over 0", _same, _same
        ),
        "exp": Curve(
            "fine at the start, coarse at the end: 10 % of the range at half the travel",
            _exp,
            _exp_inverse,
        ),
        "scurve": Curve("fine at both ends, coarse in the middle", _scurve, _scurve_inverse),
        "steps": Curve("`steps` values, evenly spread, each with the same travel", _same, _same),
    }
)


@dataclass(frozen=True)
class Travel:
    """How a control that goes from 0 to 1 moves a value from first to last.

    first, last: in the parameter's own unit; the first may be the higher. curve: a name in
    `CURVES`; log needs both over 0. steps: how many values there are, for steps.
    """

    first: float
    last: float
    curve: str = "linear"
    steps: int = 2

    def values(self, positions: Numbers) -> Numbers:
        """The values at positions; those outside 0 to 1 count as the nearest end."""
        p = np.clip(positions, 0.0, 1.0)
        if self.curve == "log":
            made: Numbers = self.first * (self.last / self.first) ** p
        elif self.curve == "steps":
            index = np.minimum(np.floor(p * self.steps), self.steps - 1)
            made = self.first + (self.last - self.first) * index / max(self.steps - 1, 1)
        else:
            made = self.first + (self.last - self.first) * CURVES[self.curve].shape(p)
        return made

    def positions(self, values: Numbers) -> Numbers:
        """Where a control stands at values; of a step, its middle. A range of no width gives 0."""
        low, high = min(self.first, self.last), max(self.first, self.last)
        if low == high:
            return np.zeros_like(values)
        within = np.clip(values, low, high)
        if self.curve == "log":
            found: Numbers = np.log(within / self.first) / np.log(self.last / self.first)
            return found
        share = (within - self.first) / (self.last - self.first)
        if self.curve == "steps":
            index = np.round(share * (self.steps - 1))
            middle: Numbers = (index + 0.5) / self.steps
            return middle
        return CURVES[self.curve].inverse(share)

    def value(self, position: float) -> float:
        """The value at one position."""
        return float(self.values(np.float64(position)))  # type: ignore[arg-type]

    def position(self, value: float) -> float:
        """The position of one value."""
        return float(self.positions(np.float64(value)))  # type: ignore[arg-type]
