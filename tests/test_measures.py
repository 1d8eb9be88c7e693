"""Figures that recipes are judged by: right on sounds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from stepedit_fx.measures import find_pauses, measure, track_f0, track_level

RATE = 16000


def voice(f0_hz: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    phase = np.arange(int(seconds * rate)) / rate * f0_hz
    harmonics = range(1, int(3000 / f0_hz))
    return np.asarray(0.1 * sum(np.sin(2 * np.pi * k * phase) / k for k in harmonics), np.float32)


@pytest.mark.parametrize("f0_hz", [75, 110, 220, 440])
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_f0_is_the_pitch_that_was_made(f0_hz, rate) -> None:
    f0 = track_f0(voice(f0_hz, rate=rate), rate)
    assert np.median(f0[f0 > 0]) == pytest.approx(f0_hz, rel=0.01)
    assert (f0 > 0).mean() > 0.85


def test_level_is_in_db_re_full_scale() -> None:
    sine = np.sin(np.arange(RATE) * 2 * np.pi * 500 / RATE).astype(np.float32)
    assert np.median(track_level(sine, RATE)) == pytest.approx(-3.01, abs=0.05)


def test_a_gap_between_words_is_a_pause_and_a_stop_closure_is_not() -> None:
    parts = [voice(120, 0.6), np.zeros(RATE // 2), voice(120, 0.6), np.zeros(RATE // 12)]
    sound = np.concatenate([*parts, voice(120, 0.6)]).astype(np.float32)
    pauses = find_pauses(track_level(sound, RATE), track_f0(sound, RATE))
    assert len(pauses) == 1
    assert pauses[0] == (pytest.approx(60, abs=4), pytest.approx(110, abs=4))


def test_noise_lowers_harmonics_to_noise_and_brightness_is_seen() -> None:
    rng = np.random.default_rng(0)
    clear = voice(150, 1.5)
    breathy = clear + rng.normal(0, 0.02, len(clear)).astype(np.float32)
    one, two = measure(clear, RATE), measure(breathy, RATE)
    assert two.hnr_db < one.hnr_db - 6
    assert two.bright_db > one.bright_db


def test_silence_and_nothing_have_no_figures_and_do_no_harm() -> None:
    for samples in (np.zeros(RATE, np.float32), np.zeros(0, np.float32), np.zeros(100, np.float32)):
        assert np.isnan(measure(samples, RATE).f0_median_hz)
