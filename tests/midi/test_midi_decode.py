"""MIDI messages to movements: what takes several messages put together, and junk let be."""

from __future__ import annotations

from typing import Any

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.midi.decode import WAIT_S, Decoder, Moved, parsed
from stepedit_fx.midi.feedback import messages
from stepedit_fx.midi.sources import ENCODINGS, SOURCES, Source, steps

channels = st.integers(1, 16)


def cc(channel: int, control: int, value: int) -> Any:
    return mido.Message("control_change", channel=channel - 1, control=control, value=value)


def feed(decoder: Decoder, *sent: Any, now_s: float = 0.0) -> list[Moved]:
    return [move for message in sent for move in decoder.feed(message, now_s)]


def of(moves: list[Moved], kind: str) -> list[tuple[int, int, int]]:
    return [(m.channel, m.number, m.value) for m in moves if m.type == kind]


@st.composite
def gestures(draw: st.DrawFn) -> tuple[list[Any], tuple[str, int, int, int]]:
    """The messages of one movement of a control, and what should be heard of it."""
    kind = draw(st.sampled_from(["cc14", "nrpn", "rpn", "pitchbend"]))
    channel = draw(channels)
    # Neither the data entry pair nor the null parameter, which mean something else.
    wanted = {"cc14": (0, 5), "pitchbend": (0, 0)}.get(kind, (0, SOURCES[kind].numbers - 1))
    number = draw(st.integers(*wanted))
    value = draw(st.integers(0, 16383))
    sent = messages(Source(kind, channel, number), value / 16383, channel)
    return sent, (kind, channel, number, value)


@given(gestures())
def test_what_is_encoded_is_decoded(gesture: tuple[list[Any], tuple[str, int, int, int]]) -> None:
    """Fourteen bits arrive as fourteen bits, on the right channel and number."""
    sent, (kind, channel, number, value) = gesture
    assert of(feed(Decoder(), *sent), kind) == [(channel, number, value)]


@given(st.lists(gestures(), max_size=16, unique_by=lambda g: g[1][1]), st.randoms())
def test_channels_do_not_mix(
    found: list[tuple[list[Any], tuple[str, int, int, int]]], random: Any
) -> None:
    """Two controllers that are moved at once, each on a channel of its own, are told apart."""
    waiting = [list(sent) for sent, _ in found]
    decoder, moves = Decoder(), []
    while any(waiting):
        sent = random.choice([w for w in waiting if w])
        moves += decoder.feed(sent.pop(0), 0.0)
    for _, (kind, channel, number, value) in found:
        assert [m for m in of(moves, kind) if m[0] == channel] == [(channel, number, value)]


def test_a_coarse_half_alone_counts_after_a_short_wait() -> None:
    """A 7-bit knob works where the map says cc14: late once, at once from then on."""
    decoder = Decoder()
    assert of(feed(decoder, cc(1, 1, 127)), "cc14") == []
    assert decoder.next_due_s() == pytest.approx(WAIT_S)
    assert of(decoder.due(WAIT_S), "cc14") == [(1, 1, 16383)]
    assert decoder.next_due_s() is None
    assert of(feed(decoder, cc(1, 1, 0), now_s=1.0), "cc14") == [(1, 1, 0)]
    # And should fine halves come after all, they count again.
    assert of(feed(decoder, cc(1, 33, 5), now_s=1.0), "cc14") == [(1, 1, 5)]
    assert of(feed(decoder, cc(1, 1, 2), now_s=2.0), "cc14") == []


def test_data_entry_without_a_fine_half_counts() -> None:
    """A 7-bit NRPN controller turns its parameter, also where the next one follows at once."""
    decoder = Decoder()
    moves = feed(decoder, cc(3, 99, 1), cc(3, 98, 2), cc(3, 6, 64))
    moves += feed(decoder, cc(3, 99, 1), cc(3, 98, 3), cc(3, 6, 65))
    moves += decoder.due(WAIT_S)
    whole = [(3, 130, 64 << 7 | 64), (3, 131, 65 << 7 | 65)]
    assert of(moves, "nrpn") == whole


def test_steps_up_and_down_of_a_parameter() -> None:
    """Data increment and decrement step the parameter that is selected."""
    moves = feed(Decoder(), cc(1, 101, 0), cc(1, 100, 1), cc(1, 96, 0), cc(1, 97, 0))
    assert [(m.type, m.number, m.step) for m in moves if m.type == "rpn"] == [
        ("rpn", 1, 1),
        ("rpn", 1, -1),
    ]


def test_the_null_parameter_takes_no_data() -> None:
    """After 127/127, data entry turns nothing."""
    decoder = Decoder()
    feed(decoder, cc(1, 99, 0), cc(1, 98, 7), cc(1, 99, 127), cc(1, 98, 127))
    assert of(feed(decoder, cc(1, 6, 1), cc(1, 38, 1), cc(1, 96, 1)), "nrpn") == []


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=60), st.floats(0, 100))
def test_junk_never_raises(data: list[bytes], start_s: float) -> None:
    """Whatever a broken cable sends, the next knob still works, with values within their range."""
    decoder = Decoder()
    for index, one in enumerate(data):
        message = parsed([one[0] | 0x80, *(b & 0x7F for b in one[1:])])
        if message is None:
            continue
        for move in decoder.feed(message, start_s + index * 0.004):
            assert 1 <= move.channel <= 16
            assert 0 <= move.value <= SOURCES[move.type].top
    assert of(feed(decoder, cc(9, 70, 33), now_s=1e6), "cc")[-1:] == [(9, 70, 33)]


@given(st.sampled_from(list(ENCODINGS)), st.integers(-63, 63))
def test_endless_encoders(encoding: str, count: int) -> None:
    """Steps up go up and steps down go down, as many as were turned, in each encoding."""
    value = {
        "twos_complement": count & 0x7F,
        "binary_offset": count + 64,
        "sign_magnitude": abs(count) | (0x40 if count < 0 else 0),
    }[encoding]
    assert steps(value, encoding) == count


SENT = [kind for kind in SOURCES if kind not in ("cc_relative", "program_change")]


@given(st.sampled_from(SENT), channels)
def test_every_source_is_heard_and_only_on_its_channel(kind: str, channel: int) -> None:
    """Each type of the table of sources can be mapped."""
    number = 5 if SOURCES[kind].numbers else None
    sent = {
        "channel_pressure": [mido.Message("aftertouch", channel=channel - 1, value=9)],
        "poly_pressure": [mido.Message("polytouch", channel=channel - 1, note=5, value=9)],
    }.get(kind) or messages(Source(kind, channel, number), 0.5, channel)
    moves = feed(Decoder(), *sent)
    heard = Source(kind, channel, number)
    assert [m for m in moves if heard.hears(m.type, m.channel, m.number)]
    elsewhere = Source(kind, channel % 16 + 1, number)
    assert not [m for m in moves if elsewhere.hears(m.type, m.channel, m.number)]
