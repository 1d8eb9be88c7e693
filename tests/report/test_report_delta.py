"""What a stage took away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.report.delta import delta_of

RATE = 8000


def noise(frames: int, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, (1, frames)).astype(np.float32)
    return Audio(samples, RATE)


def test_it_is_what_was_taken_away() -> None:
    """Whoever listens to what denoise took must hear the noise, and none of the voice."""
    voice, hiss = noise(RATE), noise(RATE, 1).with_samples(0.2 * noise(RATE, 1).samples)
    delta = delta_of(voice.with_samples(voice.samples + hiss.samples), voice)
    assert delta is not None
    assert delta.share == 1.0
    np.testing.assert_allclose(delta.audio.samples, hiss.samples, atol=0.01)


@given(st.floats(-20, 20))
@settings(max_examples=20)
def test_a_change_of_level_takes_nothing(gain_db: float) -> None:
    """A quieter copy of the voice in the delta would hide what was really taken."""
    before = noise(RATE)
    delta = delta_of(before, before.with_samples(before.samples * 10 ** (gain_db / 20)))
    assert delta is not None
    assert delta.gain_db == pytest.approx(-gain_db, abs=0.01)
    assert delta.level_dbfs < -90


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), min_size=1, max_size=6))
@settings(max_examples=60)
def test_cut_pauses_are_heard_and_the_rest_is_silent(spans: list[tuple[int, int]]) -> None:
    """After vad the delta is what was cut out, in its place, wherever the cuts lie."""
    before = noise(sum(a + b for a, b in spans) + 500)
    kept, cut = np.ones(before.frames, bool), 0
    knots: list[tuple[float, float]] = [(0.0, 0.0)]
    here = 0
    for keep, drop in spans:
        here += keep
        knots += [(here / RATE, (here - cut) / RATE), ((here + drop) / RATE, (here - cut) / RATE)]
        kept[here : here + drop] = False
        here, cut = here + drop, cut + drop
    knots.append((before.frames / RATE, (before.frames - cut) / RATE))
    after = Audio(before.samples[:, kept], RATE, time_map=tuple(knots))
    delta = delta_of(before, after)
    assert delta is not None
    assert delta.share > 0.99
    edges = np.abs(np.diff(kept.astype(int), prepend=1)) > 0  # spans of one frame may be rounded
    sure = ~(edges | np.roll(edges, 1) | np.roll(edges, -1))
    expected = np.where(kept, 0, before.samples[0])
    np.testing.assert_allclose(delta.audio.samples[0][sure], expected[sure], atol=1e-6)


def test_what_moved_at_another_pace_is_not_subtracted() -> None:
    """Two copies of a word that do not lie on each other sound like an echo, not a difference."""
    before = noise(RATE)
    slower = Audio(np.repeat(before.samples, 2, axis=1), RATE, time_map=((0.0, 0.0), (1.0, 2.0)))
    assert delta_of(before, slower) is None
    assert delta_of(before, noise(RATE, 5)) is None
    assert delta_of(Audio(np.zeros((1, 0)), RATE), Audio(np.zeros((1, 0)), RATE)) is None


def test_before_what_was_put_in_and_after_it() -> None:
    """A sigh that was put in moves what follows; that is still compared with itself."""
    before = noise(2 * RATE)
    sigh = noise(RATE // 2, 7).samples
    samples = np.concatenate([before.samples[:, :RATE], sigh, before.samples[:, RATE:]], axis=1)
    after = Audio(samples, RATE, time_map=((0.0, 0.0), (1.0, 1.0), (1.0, 1.5), (2.0, 2.5)))
    delta = delta_of(before, after)
    assert delta is not None
    assert delta.share == 1.0
    assert delta.level_dbfs < -90
