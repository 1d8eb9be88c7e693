"""Packets to bytes and back, against python-osc where it can be trusted."""

from __future__ import annotations

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from stepedit_fx.errors import RequestError
from stepedit_fx.osc.wire import (
    NOW,
    Arg,
    Bundle,
    Color,
    Impulse,
    MalformedPacket,
    Message,
    Midi,
    Timetag,
    decode,
    encode,
)

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
FLOATS = st.floats(width=32, allow_nan=False)
PLAIN = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1), FLOATS, TEXTS, st.booleans(), st.binary(max_size=20)
)
ODD = st.one_of(
    st.none(),
    st.builds(Timetag, st.integers(0, (1 << 64) - 1)),
    st.just(Impulse()),
    st.builds(Color, st.integers(0, (1 << 32) - 1)),
    st.builds(Midi, st.binary(min_size=4, max_size=4)),
)
ARGS = st.recursive(PLAIN | ODD, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=8)
ADDRESSES = TEXTS.map(lambda text: "/" + text)
MESSAGES = st.builds(Message, ADDRESSES, st.lists(ARGS, max_size=6).map(tuple))
TIMES = st.builds(Timetag, st.integers(0, (1 << 64) - 1))
PACKETS = st.recursive(
    MESSAGES,
    lambda inner: st.builds(Bundle, TIMES, st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)


@given(PACKETS)
def test_what_is_sent_is_what_is_read(packet: Message | Bundle) -> None:
    """A value that is turned by OSC must not arrive as another."""
    assert decode(encode(packet)) == packet


@given(ADDRESSES, st.lists(PLAIN, max_size=6))
def test_other_programs_read_what_we_send(address: str, args: list[Arg]) -> None:
    """A surface built on python-osc sees the addresses and values that we meant."""
    read = OscMessage(encode(Message(address, tuple(args))))
    assert read.address == address
    assert read.params == args


@given(ADDRESSES, st.lists(st.integers(-(1 << 31), (1 << 31) - 1) | FLOATS | TEXTS, max_size=6))
def test_we_read_what_other_programs_send(address: str, args: list[int | float | str]) -> None:
    """A message that python-osc sends means the same here."""
    builder = OscMessageBuilder(address)
    for arg in args:
        builder.add_arg(arg)
    assert decode(builder.build().dgram) == Message(address, tuple(args))


def test_a_bundle_of_another_program_is_read() -> None:
    """Moves that a surface sends together arrive together, with their time."""
    builder = OscBundleBuilder(1_700_000_000.5)  # type: ignore[arg-type]
    message = OscMessageBuilder("/a")
    message.add_arg(0.5)
    builder.add_content(message.build())
    read = decode(builder.build().dgram)
    assert isinstance(read, Bundle)
    assert read.items == (Message("/a", (0.5,)),)
    assert read.time.unix_s == pytest.approx(1_700_000_000.5, abs=1e-3)


@given(MESSAGES, st.data())
def test_a_packet_cut_short_is_refused(message: Message, data: st.DataObject) -> None:
    """Half a packet must never turn a knob: python-osc reads `/a ,f` as 0.0."""
    whole = encode(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        read = decode(whole[:cut])
    except MalformedPacket:
        return
    # An old sender's message without tags is all that may remain.
    assert read == Message(message.address)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_or_refused(data: bytes) -> None:
    """Nothing that comes from the network can raise anything but a refusal."""
    with contextlib.suppress(MalformedPacket):
        assert isinstance(decode(data), Message | Bundle)


@given(PACKETS, st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_byte_is_another_packet_or_refused(
    packet: Message | Bundle, place: int, flip: int
) -> None:
    """A damaged packet is refused with a message, or is one in its own right."""
    damaged = bytearray(encode(packet))
    damaged[place % len(damaged)] ^= flip
    with contextlib.suppress(MalformedPacket):
        assert isinstance(decode(bytes(damaged)), Message | Bundle)


def nested(depth: int) -> bytes:
    data = encode(Message("/a"))
    for _ in range(depth):
        data = b"#bundle\0" + struct.pack(">Qi", 1, len(data)) + data
    return data


@pytest.mark.parametrize(
    ("data", "why", "address"),
    [
        (b"", "multiple of 4", ""),
        (b"/a\0", "multiple of 4", ""),
        (b"/abc", "without an end", ""),
        (b"\0\0\0\0", "without an address", ""),
        (b"/a\0x,i\0\0\0\0\0\1", "not zero", ""),
        (b"/a\0\0,f\0\0", "in the middle of a value", "/a"),
        (b"/a\0\0,i\0\0\0\0\0\1\0\0\0\2", "after the last", "/a"),
        (b"/a\0\0i\0\0\0\0\0\0\1", "comma", "/a"),
        (b"/a\0\0,x\0\0", "unknown tag", "/a"),
        (b"/a\0\0,[i\0\0\0\0\1", "without an end", "/a"),
        (b"/a\0\0,]\0\0", "did not begin", "/a"),
        (b"/a\0\0,b\0\0\xff\xff\xff\xff", "in the middle", "/a"),
        (b"/a\0\0,b\0\0\0\0\0\1ab\0\0", "not zero", "/a"),
        (b"/a\0\0,s\0\0\xff\0\0\0", "UTF-8", "/a"),
        (b"/\xff\0\0", "UTF-8", ""),
        (b"/a\0\0,c\0\0\0\0\xd8\0", "none", "/a"),
        (b"/a\0\0," + b"[" * 11 + b"\0" * 4, "deep", "/a"),
        (b"#bundle\0", "time tag", ""),
        (b"#bundle\0" + bytes(8) + b"\0\0\0\0", "element of 0", ""),
        (b"#bundle\0" + bytes(8) + b"\xff\xff\xff\xfc/a\0\0", "element of -4", ""),
        (b"#bundle\0" + bytes(8) + b"\0\0\1\0/a\0\0", "element of 256", ""),
        (nested(9), "deep", ""),
    ],
)
def test_a_bad_packet_says_why(data: bytes, why: str, address: str) -> None:
    """Whoever writes a client reads what is wrong with its packets."""
    with pytest.raises(MalformedPacket, match=why) as caught:
        decode(data)
    assert caught.value.address == address


def test_eight_bundles_deep_are_read() -> None:
    """The limit is the one that the docs give."""
    assert isinstance(decode(nested(8)), Bundle)


def test_all_tags_are_read() -> None:
    """No tag is dropped, which would shift the arguments after it."""
    body = struct.pack(">ifqd", 1, 0.5, 1 << 40, 0.1) + b"a\0\0\0" + b"s\0\0\0"
    body += struct.pack(">i4sQi", 2, b"xy\0\0", 1, ord("é")) + b"\1\2\3\4" + b"\0\x90\x40\x7f"
    tags = b",ifhdsSbtcrm[TF]NI"
    data = b"/a\0\0" + tags + bytes(4 - len(tags) % 4) + body
    args: tuple[Arg, ...] = (1, 0.5, 1 << 40, 0.1, "a", "s", b"xy", NOW, "é")
    args += (Color(0x01020304), Midi(b"\0\x90\x40\x7f"), (True, False), None, Impulse())
    read = decode(data)
    assert read == Message("/a", args)
    assert encode(read) == data  # by the tags it came with


def test_an_address_without_a_slash_is_told() -> None:
    """Ardour's "#reply" is read, and known for what it is."""
    read = decode(encode(Message("#reply", ("/x", 1))))
    assert isinstance(read, Message)
    assert not read.is_addressed
    assert read.args == ("/x", 1)


def test_nan_goes_through() -> None:
    """The codec carries NaN; it is the control that refuses it, by name."""
    read = decode(encode(Message("/a", (math.nan, math.inf, 1e300))))
    assert isinstance(read, Message)
    assert read.tags == "ffd"
    assert math.isnan(read.args[0])  # type: ignore[arg-type]
    assert read.args[1:] == (math.inf, 1e300)


@pytest.mark.parametrize(
    "message",
    [
        Message("/a", ("x\0y",)),
        Message("/a", ("\ud800",)),
        Message("/a", (1 << 63,)),
        Message("/a", ("x",), "i"),
        Message("/a", (1,), "ii"),
        Message("/a", (1, 2), "i"),
        Message("/a", ((1, 2),), "[i]"),
        Message("/a", (1,), "i]"),
        Message("/a", (1,), "q"),
        Message("/a", (0.5,), "i"),
        Message("/a", (1e300,), "f"),
    ],
)
def test_what_cannot_be_sent_is_refused(message: Message) -> None:
    """`stepedit-fx osc send` says what is wrong instead of sending something else."""
    with pytest.raises(RequestError):
        encode(message)


@given(st.floats(0, 4e9))
def test_times_go_there_and_back(unix_s: float) -> None:
    """A bundle for later plays when it was meant to."""
    if unix_s < 2_085_978_496:  # NTP's 32 bits of seconds end in 2036
        assert Timetag.at(unix_s).unix_s == pytest.approx(unix_s, abs=1e-6)
