"""What of MIDI can turn a parameter: one table of facts.

Numbers are those on the wire, from 0; channels are counted from 1, as everybody does.
Controller numbers: https://midi.org/midi-1-0-control-change-messages
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TOP_7_BIT = 127
TOP_14_BIT = 16383

# Controllers with a meaning of their own.
DATA_MSB, DATA_LSB = 6, 38
DATA_UP, DATA_DOWN = 96, 97
NRPN_LSB, NRPN_MSB = 98, 99
RPN_LSB, RPN_MSB = 100, 101
LSB_OFFSET = 32  # controllers 0 to 31 have their fine half at 32 to 63
NULL_NUMBER = TOP_14_BIT  # 127/127 selects no parameter


@dataclass(frozen=True)
class SourceSpec:
    """One type of source.

    top: its highest value; 0 for one that tells steps. numbers: how many numbers it has to choose
    from, 0: none. number_of: what the number is of. may_omit: without a number it is any, and the
    number that comes is its value. has_press: it can be pressed and let go.
    """

    help: str
    top: int
    numbers: int = 0
    number_of: str = ""
    may_omit: bool = False


SOURCES: Mapping[str, SourceSpec] = MappingProxyType(
    {
        "cc": SourceSpec("control change, 7 bits", TOP_7_BIT, 128, "controller"),
        "cc14": SourceSpec(
            "control change, 14 bits: controller n and, for the fine half, n + 32",
            TOP_14_BIT,
            LSB_OFFSET,
            "controller of the coarse half",
        ),
        "nrpn": SourceSpec(
            "non-registered parameter, 14 bits",
            TOP_14_BIT,
            TOP_14_BIT,
            "parameter, MSB * 128 + LSB",
        ),
        "rpn": SourceSpec(
            "registered parameter, 14 bits", TOP_14_BIT, TOP_14_BIT, "parameter, MSB * 128 + LSB"
        ),
        "cc_relative": SourceSpec("control change of an endless encoder", 0, 128, "controller"),
        "note": SourceSpec("a key or pad, as a switch or by its velocity", TOP_7_BIT, 128, "note"),
        "pitchbend": SourceSpec("pitch bend, 14 bits", TOP_14_BIT),
        "program_change": SourceSpec(
            "program change; without a number, which program", TOP_7_BIT, 128, "program", True
        ),
        "channel_pressure": SourceSpec("channel pressure (aftertouch)", TOP_7_BIT),
        "poly_pressure": SourceSpec("polyphonic key pressure", TOP_7_BIT, 128, "note"),
    }
)

# How endless encoders say how far they went, with what REAPER calls it.
ENCODINGS: Mapping[str, str] = MappingProxyType(
    {
        "twos_complement": "1 is one step up, 127 one down (REAPER: Relative 1)",
        "binary_offset": "65 is one step up, 63 one down (REAPER: Relative 2)",
        "sign_magnitude": "1 is one step up, 65 one down (REAPER: Relative 3)",
    }
)
NOTE_VALUES: Mapping[str, str] = MappingProxyType(
    {"gate": "on while it is held", "velocity": "how hard it was struck; stays when let go"}
)


def steps(value: int, encoding: str) -> int:
    """How many steps up (down below 0) a value of an endless encoder means."""
    if encoding == "binary_offset":
        return value - 64
    if encoding == "sign_magnitude":
        return -(value & 0x3F) if value & 0x40 else value
    return value - 128 if value >= 64 else value


@dataclass(frozen=True)
class Source:
    """What turns a parameter. channel: 1 to 16, None: any. number: None where it has none."""

    type: str
    channel: int | None = None
    number: int | None = None
    encoding: str = "twos_complement"
    value: str = "gate"

    @property
    def spec(self) -> SourceSpec:
        return SOURCES[self.type]

    @property
    def heard_as(self) -> str:
        """The type of the events that it is heard as."""
        return "cc" if self.type == "cc_relative" else self.type

    def hears(self, type: str, channel: int, number: int) -> bool:
        """Whether an event is its."""
        return (
            type == self.heard_as
            and self.channel in (None, channel)
            and self.number in (None, number)
        )

    def overlaps(self, other: Source) -> bool:
        """Whether a movement can be of both."""
        return (
            self.heard_as == other.heard_as
            and (self.channel == other.channel or None in (self.channel, other.channel))
            and (self.number == other.number or None in (self.number, other.number))
        )

    def __str__(self) -> str:
        number = "" if self.number is None else f" {self.number}"
        channel = "any channel" if self.channel is None else f"channel {self.channel}"
        return f"{self.type}{number} on {channel}"

    def data(self) -> dict[str, str | int]:
        """As a map's YAML has it."""
        found: dict[str, str | int] = {"type": self.type}
        if self.channel is not None:
            found["channel"] = self.channel
        if self.number is not None:
            found["number"] = self.number
        if self.type == "cc_relative":
            found["encoding"] = self.encoding
        if self.type == "note" and self.value != "gate":
            found["value"] = self.value
        return found
