"""Maps of time run forward and back, and a locked take is where its source was."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio, TimeMap
from stepedit_fx.errors import RequestError
from stepedit_fx.loudness import limited, loudness_lufs, true_peak
from stepedit_fx.speech import Place, Transcript, Word
from stepedit_fx.timeline import (
    as_loud,
    at,
    composed,
    fitted,
    inverse,
    moved,
    placed,
    reduced,
    simplest,
)

RATE = 16000


@st.composite
def maps(draw: st.DrawFn, least: float = 0.0) -> TimeMap:
    """Random maps; steps of 0 are cuts and additions. least: of a step that is none."""
    step = st.floats(max(least, 0.05), 3.0)
    if not least:
        step = st.one_of(st.just(0.0), step)
    steps = draw(st.lists(st.tuples(step, step), min_size=1, max_size=8))
    knots = [(0.0, 0.0)]
    for there, here in steps:
        knots.append((knots[-1][0] + there, knots[-1][1] + here))
    return tuple(knots)


@given(maps())
def test_time_never_runs_backwards_and_the_ends_meet(time_map: TimeMap) -> None:
    """Words in the wrong order would be the end of every sidecar."""
    ends = time_map[-1]
    seconds = np.linspace(0, ends[0], 50)
    heard = [at(time_map, s) for s in seconds]
    assert all(a <= b + 1e-9 for a, b in pairwise(heard))
    assert at(time_map, 0.0, is_end=True) == 0.0
    assert at(time_map, ends[0]) == pytest.approx(ends[1])


@given(maps(least=0.05), st.floats(0, 1))
def test_the_inverse_leads_back(time_map: TimeMap, share: float) -> None:
    second = share * time_map[-1][0]
    assert at(inverse(time_map), at(time_map, second)) == pytest.approx(second, abs=1e-6)


@given(maps())
def test_a_simpler_map_says_the_same(time_map: TimeMap) -> None:
    simple = simplest(time_map)
    assert len(simple) <= len(time_map)
    for second in np.linspace(0.013, time_map[-1][0], 23):
        # Not where something was put in: there the two sides differ.
        if all(abs(second - there) > 1e-6 for there, _ in time_map):
            assert at(simple, second) == pytest.approx(at(time_map, second), abs=1e-6)


@given(maps(least=0.05), maps(least=0.05), st.floats(0.01, 0.99))
def test_two_maps_in_one(first: TimeMap, then: TimeMap, share: float) -> None:
    second = share * first[-1][0]
    one_by_one = at(then, at(first, second))
    if at(first, second) < then[-1][0]:
        assert at(composed(first, then), second) == pytest.approx(one_by_one, abs=1e-6)


def test_nothing_moved_is_no_map() -> None:
    assert simplest([(0, 0), (1, 1), (2.5, 2.5)]) == ()
    assert at((), 3.25) == 3.25


@given(st.integers(0, 2**31))
def test_few_knots_keep_a_curve_to_a_millisecond(seed: int) -> None:
    """Words' times come from these knots."""
    rng = np.random.default_rng(seed)
    there = np.arange(400) * 0.01
    here = np.cumsum(0.01 * np.exp(0.3 * np.repeat(rng.normal(size=40), 10)))
    knots = reduced(there, here)
    kept = np.interp(there, *zip(*knots, strict=True))
    assert np.abs(kept - here).max() < 1e-3
    assert len(knots) < 200


def test_words_are_heard_where_the_map_says() -> None:
    """A word before a sound that was put in ends before it, the one after starts after it."""
    words = (Word("one", 0.0, 1.0), Word("two", 1.0, 2.0))
    put_in = ((0.0, 0.0), (1.0, 1.0), (1.0, 1.5), (2.0, 2.5))
    there = moved(Transcript("one two", words=words), put_in)
    assert [(w.start_s, w.end_s) for w in there.words] == [(0.0, 1.0), (1.5, 2.5)]


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    loud = 0.05 + 0.1 * (np.sin(2 * np.pi * 1.3 * t) > -0.5)
    return (loud * (voice + 0.1 * rng.normal(size=len(t))))[None].astype(np.float32)


@settings(max_examples=15)
@given(maps(least=0.3))
def test_a_lock_is_exact_for_any_map(time_map: TimeMap) -> None:
    """A dubbed line that ends a frame late walks away from its picture."""
    there, here = time_map[-1]
    audio = Audio(speech(here), RATE, time_map=simplest(time_map))
    frames = round(there * RATE)
    is_far = any(
        not 0.26 < (c - a) / (d - b) < 3.9 for (a, b), (c, d) in pairwise(simplest(time_map))
    )
    if is_far:
        return
    home = fitted(audio, frames, "lock")
    assert home.frames == frames
    for second, _ in time_map:
        assert at(home.time_map, second) == pytest.approx(second, abs=2e-4)


def test_a_click_comes_home_with_a_lock() -> None:
    """A click under the source lands within a millisecond."""
    clicks = np.array([0.5, 0.93, 1.4, 1.9, 2.3])
    stretched = np.array([0.0, 1.0, 2.2, 2.5]), np.array([0.0, 1.2, 2.2, 2.6])
    samples = 0.02 * speech(2.6)
    heard = np.round(np.interp(clicks, *stretched) * RATE).astype(int)
    samples[0, heard] += 0.8
    audio = Audio(samples, RATE, time_map=tuple(zip(*map(tuple, stretched), strict=True)))
    home = fitted(audio, round(2.5 * RATE), "lock")
    for second in clicks:
        near = slice(round((second - 0.02) * RATE), round((second + 0.02) * RATE))
        found = near.start + int(np.argmax(np.abs(np.diff(home.samples[0], 2)[near]))) + 1
        assert abs(found / RATE - second) < 0.001
    assert home.time_map == ()


def test_what_did_not_move_is_not_touched() -> None:
    """A pause between two edited sentences keeps its very samples."""
    audio = Audio(speech(3.0), RATE, time_map=((0.0, 0.0), (1.0, 1.0), (1.8, 2.0), (2.8, 3.0)))
    home = fitted(audio, round(2.8 * RATE), "lock")
    seam = round(0.006 * RATE)
    assert np.array_equal(home.samples[:, : RATE - seam], audio.samples[:, : RATE - seam])
    tail = RATE - seam
    assert np.array_equal(home.samples[:, -tail:], audio.samples[:, -tail:])


@pytest.mark.parametrize(("share", "frames"), [(0.05, 42_000), (0.2, 44_000), (0.0, 40_000)])
def test_within_stretches_only_as_far_as_it_must(share: float, frames: int) -> None:
    audio = Audio(speech(2.75), RATE)
    assert fitted(audio, 40_000, share).frames == frames
    assert fitted(audio, 44_000, share) is audio


def test_what_cannot_be_stretched_is_refused_with_a_way_out() -> None:
    with pytest.raises(RequestError, match="length: free"):
        fitted(Audio(speech(3.0), RATE), RATE // 2, "lock")


def test_a_take_is_as_loud_as_its_source_whatever_was_put_in() -> None:
    """A shout between two words must not turn the words down."""
    quiet = Audio(0.3 * speech(3.0), RATE)
    want = loudness_lufs(speech(3.0), RATE)
    assert loudness_lufs(as_loud(quiet, want).samples, RATE) == pytest.approx(want, abs=0.05)
    shout = np.full((1, RATE), 0.9, np.float32) * np.sign(speech(1.0))
    samples = np.concatenate([speech(1.5), shout, speech(3.0)[:, 24_000:]], axis=1)
    put_in = Audio(samples, RATE, time_map=((0.0, 0.0), (1.5, 1.5), (1.5, 2.5), (3.0, 4.0)))
    gain = as_loud(put_in, want).samples[0, :100] / samples[0, :100]
    assert np.abs(20 * np.log10(gain)).max() < 0.2


def test_silence_stays_silence() -> None:
    silence = Audio(np.zeros((2, RATE), np.float32), RATE)
    assert as_loud(silence, -23.0) is silence
    place = Place(RATE, 2, RATE, loudness_lufs=-23.0)
    assert placed(silence, place, "lock", is_matched=True, true_peak_db=-1) is silence


@settings(max_examples=25)
@given(
    st.integers(0, 2**31), st.floats(0.05, 1.5), st.sampled_from([8000, 24000, 48000]),
    st.integers(1, 3),
)  # fmt: skip
def test_no_peak_is_over_the_ceiling(seed: int, ceiling: float, rate: int, channels: int) -> None:
    """Between samples too: a converter would clip there."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 0.3, (channels, rate // 4)).astype(np.float32)
    samples[:, rate // 8 :: 97] *= 3
    held = limited(samples, rate, ceiling)
    assert true_peak(held, rate) <= ceiling
    if true_peak(samples, rate) <= ceiling:
        assert held is samples


def test_the_limiter_leaves_quiet_parts_alone_and_does_not_click() -> None:
    t = np.arange(24000) / 24000
    samples = (0.2 * np.sin(2 * np.pi * 200 * t))[None].astype(np.float32)
    samples[:, 12000:12480] *= 4
    held = limited(samples, 24000, 0.5)
    assert np.array_equal(held[:, :11500], samples[:, :11500])
    assert np.array_equal(held[:, -11000:], samples[:, -11000:])
    gain = held[0] / np.where(np.abs(samples[0]) > 0.02, samples[0], np.nan)
    assert np.nanmax(np.abs(np.diff(gain))) < 0.01
