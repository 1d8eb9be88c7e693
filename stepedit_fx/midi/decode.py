"""MIDI messages to what a control did, with what takes several messages put together.

A controller that is half of a pair or selects a parameter is told as a plain controller too:
which of the readings counts is the map's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import mido

from stepedit_fx.midi.sources import (
    DATA_DOWN,
    DATA_LSB,
    DATA_MSB,
    DATA_UP,
    LSB_OFFSET,
    NRPN_LSB,
    NRPN_MSB,
    NULL_NUMBER,
    RPN_LSB,
    RPN_MSB,
)

# How long a coarse half waits for its fine half. A message takes 1 ms over a DIN cable, and some
# devices send one each millisecond; a device that never sends fine halves waits only once.
WAIT_S = 0.01


def parsed(data: list[int]) -> Any | None:
    """The mido message in some bytes; None where they hold no whole one."""
    try:
        return mido.Message.from_bytes(data)
    except (ValueError, IndexError):  # mido 1.3.3 meets some that are cut short with the latter
        return None


@dataclass(frozen=True)
class Moved:
    """A control moved. type: as in `SOURCES`; channel from 1. value: from 0 to the type's top.

    step: 1 or -1 where the message was data increment or decrement, and then there is no value.
    released: a note that was let go; its value is 0.
    """

    type: str
    channel: int
    number: int
    value: int
    step: int = 0
    released: bool = False


@dataclass
class _Pair:
    """A value of 14 bits that comes in two halves, coarse first."""

    coarse: int | None = None
    due_s: float | None = None  # when the coarse half stands for itself
    has_fine: bool | None = None  # whether this device sends fine halves, once it is known

    def take_coarse(self, value: int, now_s: float) -> int | None:
        """The whole value, if it is not worth waiting for the fine half."""
        self.coarse = value
        if self.has_fine is False:
            self.due_s = None
            return self._alone()
        self.due_s = now_s + WAIT_S
        return None

    def take_fine(self, value: int) -> int | None:
        self.has_fine = True
        self.due_s = None
        return None if self.coarse is None else self.coarse << 7 | value

    def take_time(self, now_s: float) -> int | None:
        """The whole value, if its fine half did not come in time."""
        if self.due_s is None or now_s < self.due_s:
            return None
        return self.settle()

    def settle(self) -> int | None:
        """The whole value of a coarse half that still waits."""
        if self.due_s is None:
            return None
        self.due_s = None
        if self.has_fine is None:
            self.has_fine = False
        return self._alone()

    def _alone(self) -> int | None:
        # Spread over the whole range: 127 alone is as far as it goes.
        return None if self.coarse is None else self.coarse << 7 | self.coarse


@dataclass
class _Channel:
    """What one channel remembers. halves: of the selected number of each kind, MSB and LSB."""

    pairs: dict[int, _Pair] = field(default_factory=dict)
    halves: dict[str, list[int | None]] = field(
        default_factory=lambda: {"nrpn": [None, None], "rpn": [None, None]}
    )
    kind: str = ""
    data: _Pair = field(default_factory=_Pair)

    def selected(self) -> tuple[str, int] | None:
        msb, lsb = self.halves.get(self.kind, (None, None))
        if msb is None or lsb is None or msb << 7 | lsb == NULL_NUMBER:
            return None
        return self.kind, msb << 7 | lsb


_SELECTS = {NRPN_MSB: ("nrpn", 0), NRPN_LSB: ("nrpn", 1), RPN_MSB: ("rpn", 0), RPN_LSB: ("rpn", 1)}


class Decoder:
    """Puts messages together, channel by channel. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._channels = [_Channel() for _ in range(16)]

    def feed(self, message: Any, now_s: float) -> list[Moved]:
        """What a mido message means, in order; nothing for one that turns nothing.

        now_s: of a clock that only moves on.
        """
        found = self.due(now_s)
        channel = getattr(message, "channel", 0) + 1
        if message.type == "control_change":
            found.extend(self._controller(channel, message.control, message.value, now_s))
        elif message.type in ("note_on", "note_off"):
            velocity = message.velocity if message.type == "note_on" else 0
            found.append(Moved("note", channel, message.note, velocity, released=velocity == 0))
        elif message.type == "pitchwheel":
            found.append(Moved("pitchbend", channel, 0, message.pitch + 8192))
        elif message.type == "program_change":
            found.append(Moved("program_change", channel, message.program, message.program))
        elif message.type == "aftertouch":
            found.append(Moved("channel_pressure", channel, 0, message.value))
        elif message.type == "polytouch":
            found.append(Moved("poly_pressure", channel, message.note, message.value))
        return found

    def due(self, now_s: float) -> list[Moved]:
        """Coarse halves whose fine half did not come in time."""
        return [
            Moved(*name, value)
            for name, pair in self._waiting()
            if (value := pair.take_time(now_s)) is not None
        ]

    def next_due_s(self) -> float | None:
        """When `due` has something next."""
        return min((p.due_s for _, p in self._waiting() if p.due_s is not None), default=None)

    def _waiting(self) -> Iterator[tuple[tuple[str, int, int], _Pair]]:
        for number, state in enumerate(self._channels, 1):
            for control, pair in state.pairs.items():
                if pair.due_s is not None:
                    yield ("cc14", number, control), pair
            selected = state.selected()
            if state.data.due_s is not None and selected:
                yield (selected[0], number, selected[1]), state.data

    def _controller(self, channel: int, control: int, value: int, now_s: float) -> Iterator[Moved]:
        state = self._channels[channel - 1]
        yield Moved("cc", channel, control, value)
        if control < LSB_OFFSET:
            pair = state.pairs.setdefault(control, _Pair())
            whole = pair.take_coarse(value, now_s)
        elif control < 2 * LSB_OFFSET:
            whole = state.pairs.setdefault(control - LSB_OFFSET, _Pair()).take_fine(value)
        else:
            whole = None
        if whole is not None:
            yield Moved("cc14", channel, control % LSB_OFFSET, whole)
        if control in _SELECTS:
            yield from self._select(state, channel, *_SELECTS[control], value)
        else:
            yield from self._data(state, channel, control, value, now_s)

    def _select(
        self, state: _Channel, channel: int, kind: str, half: int, value: int
    ) -> Iterator[Moved]:
        before = state.selected()
        left = state.data.settle()
        if before and left is not None:  # of the parameter that was selected until now
            yield Moved(before[0], channel, before[1], left)
        state.kind = kind
        state.halves[kind][half] = value
        if state.selected() != before:
            state.data.coarse = None

    def _data(
        self, state: _Channel, channel: int, control: int, value: int, now_s: float
    ) -> Iterator[Moved]:
        selected = state.selected()
        if selected is None:
            return
        kind, number = selected
        whole = None
        if control == DATA_MSB:
            whole = state.data.take_coarse(value, now_s)
        elif control == DATA_LSB:
            whole = state.data.take_fine(value)
        elif control in (DATA_UP, DATA_DOWN):
            yield Moved(kind, channel, number, 0, step=1 if control == DATA_UP else -1)
        if whole is not None:
            yield Moved(kind, channel, number, whole)
