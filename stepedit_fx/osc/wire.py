"""OSC 1.0 packets to and from bytes, strictly.

Our own: python-osc reads a truncated packet as values, and drops tags it does not know so that
the arguments after them shift. Here a packet is read whole or refused.

https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import Union

from stepedit_fx.errors import RequestError

MAX_DEPTH = 8  # of bundles in bundles, and of arrays in arrays
_BUNDLE = b"#bundle\0"
_NTP_EPOCH_S = 2_208_988_800  # from 1900, where NTP counts from, to 1970
_FLOAT32_MAX = 3.4028235677973366e38  # what still rounds to a finite float32

_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_UINT64 = struct.Struct(">Q")
_FLOAT32 = struct.Struct(">f")
_FLOAT64 = struct.Struct(">d")


class MalformedPacket(RequestError):
    """Bytes that are no OSC packet. address: of the message, where that much could be read."""

    address: str = ""


def _malformed(cause: str, address: str = "") -> MalformedPacket:
    error = MalformedPacket(cause)
    error.address = address
    return error


@dataclass(frozen=True)
class Timetag:
    """A moment as NTP has it: 32 bits of seconds since 1900, 32 bits of their fraction."""

    ntp: int

    @classmethod
    def at(cls, unix_s: float) -> Timetag:
        """The time tag of a time.time()."""
        return cls(round((unix_s + _NTP_EPOCH_S) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF)

    @property
    def unix_s(self) -> float:
        """The moment as time.time() counts; `NOW` is long past."""
        return self.ntp / (1 << 32) - _NTP_EPOCH_S


NOW = Timetag(1)  # what the specification calls "immediately"


@dataclass(frozen=True)
class Impulse:
    """The argument of tag I: nothing but "now"."""


@dataclass(frozen=True)
class Color:
    """The argument of tag r. rgba: eight bits each."""

    rgba: int


@dataclass(frozen=True)
class Midi:
    """The argument of tag m. data: port, status, and two bytes of data."""

    data: bytes


Arg = Union[
    int, float, str, bool, bytes, None, Timetag, Impulse, Color, Midi, "tuple[Arg, ...]"
]  # a Union, for Python 3.10 does not join strings with |


@dataclass(frozen=True)
class Message:
    """One message. args: a list as a tuple of its own.

    tags: those it came with; to send, those to send by, and empty where the values say it.
    """

    address: str
    args: tuple[Arg, ...] = ()
    tags: str = field(default="", compare=False)

    @property
    def is_addressed(self) -> bool:
        """Whether the address is one; Ardour, for one, sends "#reply"."""
        return self.address.startswith("/")


@dataclass(frozen=True)
class Bundle:
    """Messages, and bundles of them, that belong together."""

    time: Timetag = NOW
    items: tuple[Message | Bundle, ...] = ()


# Bytes of values


def encode(packet: Message | Bundle) -> bytes:
    """The bytes of a packet. Raises RequestError for values that OSC has no form for."""
    if isinstance(packet, Bundle):
        items = [encode(item) for item in packet.items]
        head = _BUNDLE + _UINT64.pack(packet.time.ntp)
        return head + b"".join(_INT32.pack(len(item)) + item for item in items)
    tags = packet.tags or "".join(map(_tag, packet.args))
    return b"".join((_text(packet.address), _text(f",{tags}"), _arguments(packet, tags)))


def _tag(value: Arg) -> str:
    """The tag a value is sent by when nobody says: what every peer reads, where that will do."""
    if value is None:
        return "N"
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int):
        return "i" if -(1 << 31) <= value < 1 << 31 else "h"
    if isinstance(value, float):
        return "d" if math.isfinite(value) and abs(value) >= _FLOAT32_MAX else "f"
    if isinstance(value, tuple):
        return "[" + "".join(map(_tag, value)) + "]"
    return _TAGS[type(value)]


_TAGS: dict[type, str] = {str: "s", bytes: "b", Timetag: "t", Impulse: "I", Color: "r", Midi: "m"}


def _arguments(message: Message, tags: str) -> bytes:
    waiting = [iter(message.args)]
    parts = []
    try:
        for tag in tags:
            if tag == "[":
                inner = next(waiting[-1])
                if not isinstance(inner, tuple):
                    raise TypeError(f"{inner!r:.60} is no list")
                waiting.append(iter(inner))
            elif tag == "]":
                if next(waiting.pop(), waiting) is not waiting or not waiting:
                    raise ValueError("tags and values differ in number")
            else:
                parts.append(_bytes(tag, next(waiting[-1])))
        if len(waiting) != 1 or next(waiting[0], waiting) is not waiting:
            raise ValueError("tags and values differ in number")
    except StopIteration:
        raise RequestError(f"{message.address}: fewer values than the tags '{tags}'") from None
    except (struct.error, OverflowError, ValueError, TypeError) as error:
        cause = f"{message.address}: cannot be sent by the tags '{tags}': {error}"
        raise RequestError(cause) from error
    return b"".join(parts)


def _bytes(tag: str, value: Arg) -> bytes:
    if tag in _FIXED and isinstance(value, int | float):
        return _FIXED[tag].pack(float(value) if tag in "fd" else value)
    if tag in _CONSTANTS and _CONSTANTS[tag] == value:
        return b""
    if tag in "sS" and isinstance(value, str):
        return _text(value)
    if tag == "b" and isinstance(value, bytes):
        return _INT32.pack(len(value)) + value + bytes(-len(value) % 4)
    if tag == "c" and isinstance(value, str):
        return _INT32.pack(ord(value))
    if tag == "t" and isinstance(value, Timetag):
        return _UINT64.pack(value.ntp)
    if tag == "r" and isinstance(value, Color):
        return struct.pack(">I", value.rgba)
    if tag == "m" and isinstance(value, Midi) and len(value.data) == 4:
        return value.data
    raise ValueError(f"'{tag}' is no tag for {value!r:.60}")


_FIXED = {"i": _INT32, "h": _INT64, "f": _FLOAT32, "d": _FLOAT64}
_CONSTANTS: dict[str, Arg] = {"T": True, "F": False, "N": None, "I": Impulse()}


def _text(text: str) -> bytes:
    if "\0" in text:
        raise RequestError("a text that goes by OSC holds no NUL")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise RequestError("a text that goes by OSC must be Unicode") from error
    return data + bytes(4 - len(data) % 4)


# Values of bytes


def decode(data: bytes) -> Message | Bundle:
    """The packet that bytes hold. Raises MalformedPacket for anything but one whole packet."""
    return _decode(data, 1)


def _decode(data: bytes, depth: int) -> Message | Bundle:
    if not data or len(data) % 4:
        raise _malformed(f"a packet is a multiple of 4 bytes, not {len(data)}")
    if data.startswith(_BUNDLE):
        return _decode_bundle(data, depth)
    reader = _Reader(data)
    address = reader.text()
    if not address:
        raise _malformed("a message without an address")
    reader.address = address
    if reader.at_end:  # of old senders: no tags where there are no arguments
        return Message(address)
    tags = reader.text()
    if not tags.startswith(","):
        raise _malformed("tags start with a comma", address)
    args = reader.arguments(tags)
    if not reader.at_end:
        raise _malformed("bytes after the last argument", address)
    return Message(address, args, tags[1:])


def _decode_bundle(data: bytes, depth: int) -> Bundle:
    if depth > MAX_DEPTH:
        raise _malformed(f"bundles more than {MAX_DEPTH} deep")
    if len(data) < 16:
        raise _malformed("a bundle without a time tag")
    time = Timetag(_UINT64.unpack_from(data, 8)[0])
    items = []
    place = 16
    while place < len(data):
        size = _INT32.unpack_from(data, place)[0]
        place += 4
        if not 0 < size <= len(data) - place:
            raise _malformed(f"a bundle's element of {size} bytes where {len(data) - place} follow")
        items.append(_decode(data[place : place + size], depth + 1))
        place += size
    return Bundle(time, tuple(items))


class _Reader:
    """Takes a message's parts off its bytes, one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
        self.address = ""

    @property
    def at_end(self) -> bool:
        return self.place == len(self.data)

    def fault(self, cause: str) -> MalformedPacket:
        return _malformed(cause, self.address)

    def take(self, size: int) -> bytes:
        start, self.place = self.place, self.place + size
        if size < 0 or self.place > len(self.data):
            raise self.fault("a packet that ends in the middle of a value")
        return self.data[start : self.place]

    def text(self) -> str:
        end = self.data.find(b"\0", self.place)
        if end < 0:
            raise self.fault("a text without an end")
        raw = self.data[self.place : end]
        if any(self.data[end : end + 4 - len(raw) % 4]):
            raise self.fault("padding that is not zero")
        self.place = end + 4 - len(raw) % 4
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise self.fault("a text that is not UTF-8") from None

    def arguments(self, tags: str) -> tuple[Arg, ...]:
        lists: list[list[Arg]] = [[]]
        for tag in tags[1:]:
            if tag == "[":
                lists.append([])
                if len(lists) > MAX_DEPTH:
                    raise self.fault(f"arrays more than {MAX_DEPTH} deep")
            elif tag == "]":
                if len(lists) == 1:
                    raise self.fault("an array that ends and did not begin")
                inner = tuple(lists.pop())
                lists[-1].append(inner)
            else:
                lists[-1].append(self.argument(tag))
        if len(lists) > 1:
            raise self.fault("an array without an end")
        return tuple(lists[0])

    def argument(self, tag: str) -> Arg:
        if tag in _FIXED:
            form = _FIXED[tag]
            value: int | float = form.unpack(self.take(form.size))[0]
            return value
        if tag in _CONSTANTS:
            return _CONSTANTS[tag]
        if tag in "sS":
            return self.text()
        if tag == "b":
            return self.blob()
        if tag == "c":
            return self.character()
        if tag == "t":
            return Timetag(_UINT64.unpack(self.take(8))[0])
        if tag == "r":
            return Color(struct.unpack(">I", self.take(4))[0])
        if tag == "m":
            return Midi(self.take(4))
        raise self.fault(f"an unknown tag {tag!r:.20}")

    def blob(self) -> bytes:
        size = _INT32.unpack(self.take(4))[0]
        blob = self.take(size)
        if any(self.take(-size % 4)):
            raise self.fault("padding that is not zero")
        return blob

    def character(self) -> str:
        code = _INT32.unpack(self.take(4))[0]
        if not 0 <= code < 0x11_0000 or 0xD800 <= code < 0xE000:
            raise self.fault("a character that is none")
        return chr(code)
