"""What happens when a control does not stand where its parameter does.

All three work on positions, 0 to 1. Somebody else, a scene or a mouse, may have moved the
parameter since; a control that stands still does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# A control within one 7-bit step of the parameter has caught it: it may jump over the very value.
REACH = 1.0 / 127.0


class Takeover:
    """Jump: the parameter goes to where the control is, at once."""

    help = "the parameter goes to the control at once"

    def moved(self, hardware: float, current: float) -> float | None:
        """Where the parameter goes when the control moves to hardware; None: it stays.

        current: where the parameter is now.
        """
        return hardware

    def released(self) -> None:
        """Somebody else moved the parameter."""


class Pickup(Takeover):
    """The parameter waits until the control passes it."""

    help = "the parameter waits until the control reaches or crosses it"

    def __init__(self) -> None:
        self._last: float | None = None
        self._caught = False

    def moved(self, hardware: float, current: float) -> float | None:
        last, self._last = self._last, hardware
        if not self._caught:
            crossed = last is not None and (last - current) * (hardware - current) <= 0
            self._caught = crossed or abs(hardware - current) <= REACH
        return hardware if self._caught else None

    def released(self) -> None:
        self._caught = False


class Scale(Takeover):
    """The parameter moves the control's way at once, and both meet at the end of the travel."""

    help = "the rest of the control's travel moves the parameter over the rest of its own"

    def __init__(self) -> None:
        self._last: float | None = None

    def moved(self, hardware: float, current: float) -> float | None:
        last, self._last = self._last, hardware
        if hardware in (0.0, 1.0):
            return hardware
        if last is None or last == hardware:
            return None
        if hardware > last:
            return current + (hardware - last) * (1 - current) / (1 - last)
        return current + (hardware - last) * current / last


TAKEOVERS: Mapping[str, type[Takeover]] = MappingProxyType(
    {"jump": Takeover, "pickup": Pickup, "scale": Scale}
)
