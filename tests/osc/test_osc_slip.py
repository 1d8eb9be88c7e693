"""Packets on a stream: whatever pieces they come in, and whatever lies between them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pythonosc import slip as reference

from stepedit_fx.osc.slip import END, ESC, Unframer, frame

# Many of the bytes that mean something.
BYTES = st.lists(st.sampled_from([0xC0, 0xDB, 0xDC, 0xDD, 0x2F, 0x00]) | st.integers(0, 255))
PACKETS = BYTES.map(bytes).filter(bool)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.lists(PACKETS, max_size=5), st.lists(st.integers(0, 10_000), max_size=6))
def test_packets_come_back_however_the_stream_is_cut(packets: list[bytes], cuts: list[int]) -> None:
    """TCP delivers in pieces of its own; every message must arrive once, in order."""
    unframer = Unframer()
    stream = b"".join(map(frame, packets))
    assert [p for piece in pieces(stream, cuts) for p in unframer.feed(piece)] == packets


@given(PACKETS)
def test_frames_are_those_of_other_programs(packet: bytes) -> None:
    """python-osc's TCP client and ours understand each other."""
    assert frame(packet) == reference.encode(packet)


@given(st.binary(max_size=300), PACKETS)
def test_after_rubbish_the_next_packet_is_read(rubbish: bytes, packet: bytes) -> None:
    """A client that sends nonsense once is understood again afterwards."""
    unframer = Unframer(1 << 16)
    unframer.feed(rubbish)
    assert unframer.feed(frame(packet))[-1:] == [packet]


def test_a_frame_over_the_cap_is_dropped_whole() -> None:
    """Nobody fills the memory with a frame that never ends, and no half of it is read."""
    unframer = Unframer(100)
    for _ in range(1000):
        assert unframer.feed(b"x" * 64) == []
    assert len(unframer._begun) <= 100
    assert unframer.feed(b"rest" + END + frame(b"next")) == [b"next"]
    assert unframer.dropped == 1


def test_an_escape_that_is_none_drops_its_frame() -> None:
    """A damaged frame is not guessed at."""
    unframer = Unframer()
    assert unframer.feed(END + b"a" + ESC + b"b" + END + frame(b"next")) == [b"next"]
    assert unframer.dropped == 1
