"""One mapping at work: from what a control did to the value that its target gets."""

from __future__ import annotations

from stepedit_fx.graph.controls import Control, Value
from stepedit_fx.midi.decode import Moved
from stepedit_fx.midi.maps import Entry
from stepedit_fx.midi.sources import SOURCES, steps
from stepedit_fx.midi.takeover import TAKEOVERS, Takeover


def as_number(control: Control, value: Value) -> float:
    """A control's value as a number: a switch 0 or 1, a choice its place."""
    if control.kind == "choice":
        return float(control.choices.index(str(value)))
    return float(value)


class Bound:
    """A mapping with its target. Knows nothing of ports, sessions and time.

    control: None where the target is an action. position: where the target is on the control's
    travel, 0 to 1. number: the target's value, as `Bound` last saw it.
    """

    def __init__(self, entry: Entry, control: Control | None) -> None:
        self.entry = entry
        self.control = control
        self.travel = entry.travel(control)
        self.mode = entry.mode_for(control)
        self.position = 0.0
        self.number: float | None = None
        self.channel = entry.source.channel or 1  # where feedback goes: of any, the last heard
        self._was_on = False
        self._takeover = self._chosen_takeover()

    def _chosen_takeover(self) -> Takeover:
        """A switch, a key and a program cannot be moved to where something else stands."""
        is_press = self.entry.source.type in ("note", "program_change")
        is_switch = self.control is None or self.control.kind == "switch"
        return TAKEOVERS["jump" if is_press or is_switch else self.entry.takeover]()

    def hears(self, event: Moved) -> bool:
        return self.entry.source.hears(event.type, event.channel, event.number)

    def seen(self, number: float) -> None:
        """The target's value now; if somebody else moved it, takeover starts again."""
        if number != self.number:
            self.number = number
            self.position = self.travel.position(number)
            self._takeover.released()

    def moved(self, event: Moved) -> float | None:
        """The value that the target is to get, in its own unit; None: it stays as it is.

        `seen` must have been told the target's value before.
        """
        self.channel = event.channel
        pressed = self._pressed(event)
        if self.mode != "absolute":
            return self._switched(event, pressed)
        if event.type == "program_change" and self.entry.source.number is None:
            return self._picked(event.value)
        position = self._position(event)
        if position is None:
            return None
        self.position = position
        return self.travel.value(position)

    def _is_on(self, event: Moved) -> bool:
        if event.type == "note":
            return not event.released
        if event.type == "program_change":
            return True
        return 2 * event.value > SOURCES[event.type].top  # 64 and up, of 127

    def _pressed(self, event: Moved) -> bool:
        """Whether it went from off to on; a program change has no off."""
        is_on = self._is_on(event)
        pressed = is_on and (not self._was_on or event.type == "program_change")
        self._was_on = is_on
        return pressed

    def _switched(self, event: Moved, pressed: bool) -> float | None:
        first, last = self.travel.first, self.travel.last
        if self.mode == "momentary":
            return last if self._is_on(event) else first
        if not pressed:
            return None
        if self.mode == "trigger":
            return last
        now = first if self.number is None else self.number
        return first if abs(now - last) <= abs(now - first) else last

    def _picked(self, program: int) -> float | None:
        """Of a program change without a number: the program counts the values off."""
        low, high = sorted((self.travel.first, self.travel.last))
        if self.control is not None and self.control.kind == "number":
            return self.travel.value(program / SOURCES["program_change"].top)
        return low + program if low + program <= high else None

    def _position(self, event: Moved) -> float | None:
        source = self.entry.source
        if source.type == "cc_relative":
            return self._stepped(steps(event.value, source.encoding))
        if event.step:
            return self._stepped(event.step)
        if source.type == "note" and source.value == "gate":
            return float(not event.released)
        if event.released:  # the velocity it was struck with stays
            return None
        return self._takeover.moved(event.value / source.spec.top, self.position)

    def _stepped(self, count: int) -> float:
        return min(max(self.position + count * self.entry.step, 0.0), 1.0)
