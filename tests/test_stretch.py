"""Pitch goes where its curve says, time where the stretch says, and neither clicks."""

from __future__ import annotations

import numpy as np
import pytest

from stepedit_fx.measures import semitones, track_f0
from stepedit_fx.stretch import change_pitch_and_time, read_between
from stepedit_fx.timeline import seam_in
from stepedit_fx.transients import lay_over, without_clicks


def vowel(rate: int, seconds: float, f0_hz: float = 130.0) -> np.ndarray:
    phase = np.cumsum(np.full(int(rate * seconds), f0_hz)) / rate
    partials = int(0.4 * rate / f0_hz)
    wave = sum(np.sin(2 * np.pi * k * phase) / k**1.5 for k in range(1, partials))
    return (0.2 * np.asarray(wave, np.float32))[None]


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_the_pitch_follows_its_curve(rate) -> None:
    samples = vowel(rate, 2.0)
    seconds = np.arange(samples.shape[1]) / rate
    curve = 3 * np.sin(2 * np.pi * 2 * seconds)
    out = change_pitch_and_time(samples, rate, curve, np.ones(len(curve)), 0, len(curve))
    heard = semitones(track_f0(out[0], rate), 130.0)[20:-20]
    asked = curve[:: rate // 100][20 : 20 + len(heard)]
    assert np.nanmedian(np.abs(heard - asked)) < 0.15
    assert np.abs(np.diff(out[0])).max() < 2 * np.abs(np.diff(samples[0])).max()


@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_bursts_land_where_the_stretch_says(rate) -> None:
    rng = np.random.default_rng(0)
    count, burst = 3 * rate, rate // 100
    samples = np.zeros((1, count), np.float32)
    starts = [int(s * rate) for s in np.arange(0.5, 2.5, 0.25)]
    for start in starts:
        samples[0, start : start + burst] = rng.normal(0, 0.2, burst) * np.hanning(burst)
    seconds = np.arange(count) / rate
    rest = np.clip((seconds - 0.2) / 0.1, 0, 1) * np.clip((2.8 - seconds) / 0.1, 0, 1)
    stretch = 1 + 0.25 * rest * np.sin(2 * np.pi * seconds)
    place = np.cumsum(stretch)
    out = change_pitch_and_time(samples, rate, 2 * rest, stretch, 0, int(place[-1]))
    energy = np.square(out[0].astype(float))
    for start in starts:
        wanted = place[start + burst // 2]
        near = np.arange(int(wanted - 0.08 * rate), int(wanted + 0.08 * rate))
        heard = (near * energy[near]).sum() / energy[near].sum()
        assert abs(heard - wanted) / rate < 0.012


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_a_click_in_a_voice_stays_sharp_and_in_its_place(rate) -> None:
    voice = vowel(rate, 2.0)
    samples, place = voice.copy(), rate
    samples[:, place] += 0.8
    curve, still = np.full(samples.shape[1], 5.0), np.ones(samples.shape[1])
    out = change_pitch_and_time(samples, rate, curve, 1.25 * still, 0, round(1.25 * len(still)))
    highs = np.abs(np.diff(out[0], 3))
    heard = int(np.argmax(highs)) + 1.5
    assert abs(heard - 1.25 * place) / rate < 0.0005
    assert highs.max() > 0.7 * np.abs(np.diff(samples[0], 3)).max()


def test_what_is_laid_aside_as_a_click_is_what_is_missing() -> None:
    rng = np.random.default_rng(0)
    samples = np.repeat(vowel(16000, 1.0), 2, axis=0)
    places = [2000, 5003, 5100, 15990]  # two at once, and one at the very end
    samples[:, places] += rng.uniform(0.5, 1.0, (2, 4)).astype(np.float32)
    rest, clicks = without_clicks(samples, 16000)
    assert [click.place for click in clicks] == [2000]
    lay_over(rest, clicks, [click.place for click in clicks])
    assert rest == pytest.approx(samples, abs=1e-6)


@pytest.mark.parametrize("f0_hz", [45.0, 130.0, 400.0])
def test_pulses_of_a_voice_and_noise_are_not_clicks(f0_hz) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
    pulses = np.zeros((1, 16000), np.float32)
    pulses[:, :: round(16000 / f0_hz)] = 0.5
    for samples in (noise, pulses, vowel(16000, 1.0, f0_hz)):
        inside = slice(800, -800)  # where it begins and ends all at once, that is a click
        rest, _ = without_clicks(samples, 16000)
        assert np.array_equal(rest[:, inside], samples[:, inside])


def test_reading_between_samples_hits_the_samples_themselves() -> None:
    samples = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    assert read_between(samples, np.arange(50.0)) == pytest.approx(samples, abs=1e-6)


def test_a_seam_near_the_very_front_has_no_step() -> None:
    out, body = np.zeros((1, 1000), np.float32), np.ones((1, 400), np.float32)
    seam_in(out, body, 20, 80)
    assert np.abs(np.diff(out[0, :340])).max() < 0.01
