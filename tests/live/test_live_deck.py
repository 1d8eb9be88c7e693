from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.live.deck import Deck, Program, Sound
from stepedit_fx.live.devices import NullDevice
from stepedit_fx.live.meter import Meter
from stepedit_fx.live.rack import Rack
from tests.live.conftest import BLOCK, GENTLE, RATE, largest_step, rack_of, sine


def sound(samples: Samples) -> Sound:
    return Sound.of(Audio(samples, RATE))


def deck_with(samples: Samples, rack: Rack | None = None) -> tuple[Deck, NullDevice, Program]:
    deck = Deck(RATE, BLOCK)
    program = Program(sound(samples), rack or rack_of([]))
    deck.load(program)
    deck.playing = True
    device = NullDevice(RATE, BLOCK, clock=False)
    device.start(deck)
    return deck, device, program


def test_a_sound_is_played_to_its_end_and_again() -> None:
    """A loop would drop or repeat frames, or click where it wraps."""
    samples = sine(0.5)
    _, device, program = deck_with(samples)
    heard = device.pump(300)
    played = program.sound.samples[0]
    for turn in range(2):
        at = turn * len(played)
        there = heard[0, at : at + len(played)]
        assert np.array_equal(there[480:], played[480:])
    assert np.array_equal(heard[0], heard[1])
    assert largest_step(heard) <= 1.01 * largest_step(samples)


def test_played_once_it_ends_in_silence_and_says_so() -> None:
    """`--once` would never come to an end, or cut what rings on."""
    deck, device, _ = deck_with(sine(0.2), rack_of(GENTLE))
    deck.loop = False
    heard = device.pump(40)
    assert not deck.is_over  # the room still rings
    assert np.abs(heard[:, -BLOCK:]).max() > 1e-4
    device.pump(1_000)
    assert deck.is_over
    assert not deck.faults


def test_an_echo_after_a_pause_is_waited_for() -> None:
    """`--once` would end in the pause before the echo."""
    rack = rack_of([{"Delay": {"delay_seconds": 0.8, "mix": 0.5}}])
    deck, device, _ = deck_with(sine(0.1), rack)
    deck.loop = False
    heard = device.pump(100)
    assert not deck.is_over
    heard = np.concatenate([heard, device.pump(100)], axis=1)
    assert np.abs(heard[:, round(0.8 * RATE) :]).max() > 0.1
    device.pump(300)
    assert deck.is_over


def test_play_and_stop_do_not_click() -> None:
    """Each press of stop would crackle."""
    deck, device, _ = deck_with(sine(2.0))
    heard = [device.pump(20)]
    for playing in (False, True) * 10:
        deck.playing = playing
        heard.append(device.pump(7))
    assert largest_step(np.concatenate(heard, axis=1)) <= 1.5 * largest_step(sine(1.0))
    assert np.abs(heard[-2][:, -BLOCK:]).max() == 0.0


def test_a_stopped_sound_stands_where_it_was_stopped() -> None:
    """Stop and play would skip."""
    deck, device, _ = deck_with(sine(2.0))
    device.pump(20)
    deck.playing = False
    device.pump(10)
    there = deck.position
    device.pump(50)
    assert deck.position == there
    assert 20 * BLOCK < there < 24 * BLOCK


def test_locating_does_not_click() -> None:
    """Clicking about in the sound would crackle."""
    deck, device, program = deck_with(sine(1.0))
    heard = [device.pump(10)]
    for place in (40_000, 100, 10**9, -5, 24_000):
        deck.locate(place)
        heard.append(device.pump(10))
    assert largest_step(np.concatenate(heard, axis=1)) <= 1.5 * largest_step(sine(1.0))
    # 15 ms of cross-fade later it is exactly there.
    at = 24_000 + 9 * BLOCK
    assert np.array_equal(heard[-1][0, -BLOCK:], program.sound.samples[0, at : at + BLOCK])


def test_a_hundred_swaps_do_not_click() -> None:
    """Turning an edit's knob while it plays would crackle with each new render."""
    samples = sine(1.0)
    rack = rack_of(GENTLE)
    deck, device, _ = deck_with(samples, rack)
    heard = [device.pump(40)]
    for number in range(100):
        level = 0.5 + 0.5 * (number % 2)
        deck.load(Program(sound(samples * np.float32(level)), rack))
        heard.append(device.pump(5))
    assert deck.swaps == 100
    own = largest_step(heard[0][:, RATE // 10 :])
    assert largest_step(np.concatenate(heard, axis=1)[:, RATE // 10 :]) <= 1.5 * own


def test_the_place_in_the_speech_is_kept_when_its_pace_changes() -> None:
    """Slowing the voice down would throw the playback to another word."""
    rack = rack_of([])
    deck, device, _ = deck_with(sine(1.0), rack)
    device.pump(90)
    before = deck.position / RATE
    deck.load(Program(sound(sine(2.0)), rack))
    device.pump(1)
    assert deck.position / RATE == pytest.approx(2 * before, abs=2 * BLOCK / RATE)


def test_only_the_newest_of_many_renders_is_taken_up() -> None:
    """Old renders would play one after another, each for 15 ms."""
    rack = rack_of([])
    deck, device, _ = deck_with(sine(1.0), rack)
    device.pump(5)
    for level in (0.1, 0.2, 0.3, 0.9):
        newest = Program(sound(sine(1.0, level=level)), rack)
        deck.load(newest)
    device.pump(10)
    assert deck.swaps == 1
    assert deck.program is newest


def test_another_rack_fades_in() -> None:
    """Opening another graph would click."""
    samples = sine(1.0)
    deck, device, _ = deck_with(samples, rack_of(GENTLE))
    heard = [device.pump(60)]
    deck.load(Program(sound(samples), rack_of([{"Gain": {"gain_db": 0}}])))
    heard.append(device.pump(60))
    assert largest_step(np.concatenate(heard, axis=1)) <= 1.5 * largest_step(samples)
    assert len(deck.spent) == 1


def test_stereo_comes_in_after_mono() -> None:
    """A graph that pans would fail after one that does not."""
    deck, device, _ = deck_with(sine(1.0), rack_of(GENTLE))
    device.pump(20)
    both = sine(1.0, channels=2)
    both[1] *= 0.5
    deck.load(Program(sound(both), rack_of([], channels=2)))
    heard = device.pump(40)
    assert not deck.faults
    assert np.abs(heard[0, -BLOCK:] - 2 * heard[1, -BLOCK:]).max() < 1e-6


class Failing(Rack):
    """Effects that fail, or whose sound runs away, for some blocks."""

    answer: Any = None
    left = 0

    def process(self, block: Samples, position: int, playing: bool) -> Samples:
        if self.left:
            self.left -= 1
            if isinstance(self.answer, Exception):
                raise self.answer
            return np.full_like(block, self.answer)
        return super().process(block, position, playing)


@pytest.mark.parametrize("answer", [ValueError("broken"), np.nan, np.inf])
def test_a_fault_mutes_and_the_sound_comes_back(answer: Any) -> None:
    """One bad block of one effect would end the sound, or blow the loudspeakers."""
    rack = rack_of(GENTLE)
    rack.__class__ = Failing
    assert isinstance(rack, Failing)
    deck, device, _ = deck_with(sine(1.0), rack)
    heard = [device.pump(40)]
    rack.answer, rack.left = answer, 3
    heard.append(device.pump(3))
    heard.append(device.pump(60))
    assert deck.faults == 3
    assert deck.last_fault is not None
    everything = np.concatenate(heard, axis=1)
    assert np.isfinite(everything).all()
    assert np.abs(heard[1][:, BLOCK:]).max() == 0.0
    assert np.abs(heard[2]).max() > 0.1
    # Even so it fades: the mute takes 64 frames.
    assert largest_step(everything) < 0.1


def test_no_sound_and_an_empty_sound_are_silence() -> None:
    """Before the first render the device would get noise, or the callback would fail."""
    deck = Deck(RATE, BLOCK)
    deck.playing = True
    device = NullDevice(RATE, BLOCK, clock=False)
    device.start(deck)
    assert not device.pump(5).any()
    deck.load(Program(sound(np.zeros((1, 0), np.float32)), rack_of(GENTLE)))
    assert not device.pump(5).any()
    deck.load(Program(sound(sine(0.001)), rack_of(GENTLE)))
    device.pump(20)
    assert not deck.faults


def test_the_clock_asks_for_as_many_blocks_as_time_passes() -> None:
    """The null device would run away, or fall behind."""
    deck = Deck(RATE, BLOCK)
    device = NullDevice(RATE, BLOCK)
    device.start(deck)
    began = time.monotonic()
    time.sleep(0.5)
    device.stop()
    device.stop()
    due = (time.monotonic() - began) * RATE / BLOCK
    assert 0.5 * due < deck.meter.blocks < 1.2 * due + 2
    made = deck.meter.blocks
    time.sleep(0.05)
    assert deck.meter.blocks == made


def test_a_callback_that_takes_too_long_is_blamed_itself() -> None:
    """A slow effect would be taken for a busy machine."""
    meter = Meter()
    meter.begin()
    end = time.perf_counter() + 0.03
    while time.perf_counter() < end:
        pass
    meter.end(0.001)
    meter.begin()
    meter.end(1.0)
    meter.close()
    assert (meter.late, meter.blocks) == (1, 2)
    assert meter.longest_s > 0.001
