"""Formants stay where they are when pitch moves, and move when they are asked to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter, welch

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.engines.parametric.formants import log_envelope, move_formants
from stepedit_fx.engines.parametric.timbre import mean_power, to_spectra, window_size
from stepedit_fx.files import read_audio
from stepedit_fx.measures import track_f0
from stepedit_fx.nodes.morph import between
from stepedit_fx.stretch import change_pitch_and_time

RATE = 16_000
FRAMES = RATE
GRID = np.arange(FRAMES // 160 + 1)
CLOCK_S = np.arange(FRAMES) / RATE
FORMANTS_HZ = (700.0, 1200.0, 2600.0, 3600.0, 4500.0, 5500.0, 6500.0, 7500.0)
WIDTHS_HZ = (90.0, 110.0, 160.0, 220.0, 250.0, 300.0, 350.0, 400.0)
HEARD_HZ = (250.0, 4000.0)
DB = 20 / np.log(10)


def shape_db(hz: NDArray[np.floating], ratio: float = 1.0) -> NDArray[np.float64]:
    """The vowel's envelope, its formants moved by a ratio."""
    s = 2j * np.pi * hz
    out = np.ones(len(hz), complex)
    for formant, width in zip(FORMANTS_HZ, WIDTHS_HZ, strict=True):
        pole = np.pi * width - 2j * np.pi * formant * ratio
        out = out * np.abs(pole) ** 2 / ((s + pole) * (s + np.conj(pole)))
    return 20 * np.log10(np.abs(out))


def vowel(f0: float) -> Samples:
    """A second of it at a steady pitch, (1, frames)."""
    hz = np.arange(1, int(7500 / f0) + 1) * f0
    level = 10 ** (shape_db(hz) / 20)
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, len(hz))
    waves = level[:, None] * np.sin(2 * np.pi * hz[:, None] * CLOCK_S + phase[:, None])
    sound = waves.sum(axis=0)
    return np.asarray(0.1 * sound / sound.std(), np.float32)[None]


def envelope_db(samples: Samples, f0: float) -> tuple[NDArray, NDArray]:
    """What is heard of a sound's middle, and at which hertz."""
    size = window_size(RATE)
    power = mean_power(to_spectra(samples, size))[8:-8]
    hz = np.fft.rfftfreq(size, 1 / RATE)
    heard = (hz > HEARD_HZ[0]) & (hz < HEARD_HZ[1])
    found = log_envelope(power, RATE, np.full(len(power), f0)).mean(axis=0)
    return DB * found[heard], hz[heard]


def off_db(samples: Samples, f0: float, ratio: float) -> float:
    """How far the envelope is from the vowel's with formants at this ratio, level aside."""
    found, hz = envelope_db(samples, f0)
    off = found - shape_db(hz, ratio)
    return float(np.abs(off - np.median(off)).mean())


def moved(f0: float, pitch_st: float, ratio: float) -> Samples:
    """The vowel with its pitch moved and its formants as asked."""
    frames = len(GRID)
    ready = move_formants(
        vowel(f0),
        RATE,
        CLOCK_S,
        np.full(frames, np.log(ratio)),
        np.full(frames, pitch_st),
        np.full(frames, f0),
    )
    return change_pitch_and_time(ready, RATE, np.full(FRAMES, pitch_st), np.ones(FRAMES), 0, FRAMES)


@pytest.mark.parametrize("f0", [90.0, 150.0, 220.0, 290.0])
def test_the_envelope_is_the_mouth_and_not_the_pitch(f0: float) -> None:
    """An envelope that follows single harmonics would move them about with the formants."""
    assert off_db(vowel(f0), f0, 1.0) < 1.6


@pytest.mark.parametrize("pitch_st", [-5.0, -2.0, 3.0, 6.0])
@pytest.mark.parametrize("f0", [110.0, 210.0])
def test_formants_stay_when_pitch_moves(f0: float, pitch_st: float) -> None:
    """A raised voice with raised formants sounds like a chipmunk."""
    heard_f0 = f0 * 2 ** (pitch_st / 12)
    stayed = off_db(moved(f0, pitch_st, 1.0), heard_f0, 1.0)
    went_along = off_db(moved(f0, pitch_st, 2 ** (pitch_st / 12)), heard_f0, 1.0)
    assert stayed < 1.6
    assert stayed < 0.5 * went_along


@pytest.mark.parametrize("ratio", [0.9, 1.1, 1.2])
@pytest.mark.parametrize("pitch_st", [0.0, 4.0])
def test_formants_go_where_they_are_asked(pitch_st: float, ratio: float) -> None:
    """A child's tract, whatever is done to the pitch beside it."""
    out = moved(160.0, pitch_st, ratio)
    heard_f0 = 160.0 * 2 ** (pitch_st / 12)
    asked, stayed = (off_db(out, heard_f0, where) for where in (ratio, 1.0))
    assert asked < 1.6
    assert asked < 0.5 * stayed


@pytest.mark.parametrize(("pitch_st", "ratio"), [(4.0, 1.0), (-4.0, 1.0), (0.0, 1.15)])
def test_the_engine_does_so(pitch_st: float, ratio: float) -> None:
    """From the curves of a take to its sound."""
    engine = ParametricEngine()
    take = engine.encode([Audio(vowel(210.0), RATE)])[0]
    frames = len(take.voice.arrays["f0"])
    curves = {"pitch_st": pitch_st, "formant_ln": np.log(ratio)}
    codes = {name: np.full(frames, by, np.float32) for name, by in curves.items()}
    out = engine.decode([replace(take, codes={**codes, "seed": np.array([1])})])[0]
    assert off_db(out.samples, 210.0 * 2 ** (pitch_st / 12), ratio) < 1.8


def test_between_two_pitches_the_mouth_is_the_same() -> None:
    """A fader between a raised voice and its source must not pass through other vowels."""
    low, high = 140.0, 190.0
    out = between(Audio(vowel(low), RATE), Audio(vowel(high), RATE), 0.5)
    assert off_db(out.samples, (low * high) ** 0.5, 1.0) < 1.5
    start, middle = (np.square(out.samples[:, a : a + 800]).mean() for a in (0, FRAMES // 2))
    assert abs(10 * np.log10(start / middle)) < 2  # the ends are as loud as the rest


@settings(max_examples=25)
@given(
    st.floats(-0.45, 0.45),
    st.sampled_from([85.0, 160.0, 340.0, 0.0]),
    st.sampled_from([8000, 16_000, 44_100]),
)
@example(0.45, 160.0, 16_000)
@example(-0.45, 160.0, 16_000)
def test_level_and_length_stay(formant_ln: float, f0: float, rate: int) -> None:
    """Whatever is asked of whatever sound: as loud as before, and nothing that is no number."""
    white = np.random.default_rng(1).standard_normal((2, rate // 2))
    source = lfilter([0.02], [1, -0.97], white, axis=1).astype(np.float32)
    source[:, : rate // 8] = 0.0
    frames = 51
    out = move_formants(
        source,
        rate,
        np.arange(rate // 2) / rate,
        np.full(frames, formant_ln),
        np.zeros(frames),
        np.full(frames, f0),
    )
    assert out.shape == source.shape
    assert np.isfinite(out).all()
    change_db = 10 * np.log10(np.square(out).mean() / np.square(source).mean())
    assert abs(change_db) < 0.7


def test_what_is_lost_over_nyquist_is_made_up_for_and_no_more() -> None:
    """An s of a raised voice stays an s; a whine in the room does not bring the room up."""
    noise = np.random.default_rng(2).standard_normal((1, FRAMES))
    above = np.fft.rfftfreq(FRAMES, 1 / RATE) > 6500
    hiss = np.fft.irfft(np.fft.rfft(noise) * np.where(above, 1.0, 0.1), FRAMES)
    whine = 1e-3 * noise + 0.1 * np.sin(2 * np.pi * 7600 * CLOCK_S)
    levels = []
    for sound in (hiss, whine):
        ready = move_formants(
            sound.astype(np.float32),
            RATE,
            CLOCK_S,
            np.zeros(len(GRID)),
            np.full(len(GRID), 5.0),
            np.zeros(len(GRID)),
        )
        kept = np.fft.rfftfreq(FRAMES, 1 / RATE) < 5500
        change = [np.square(np.abs(np.fft.rfft(x)[:, kept])).sum() for x in (ready, sound)]
        levels.append(10 * np.log10(change[0] / change[1]))
    assert levels[0] > 10.0
    assert levels[1] < 10.0


@pytest.mark.parametrize(("rate", "pitch_st"), [(8000, 5.0), (16_000, 5.0), (16_000, -4.0)])
def test_an_s_stays_an_s(rate: int, pitch_st: float) -> None:
    """Raised or not, as loud and as bright as it was: it has no pitch.

    Its top goes over Nyquist when it is read faster, and its middle must be there instead.
    """
    hz = np.fft.rfftfreq(rate, 1 / rate)
    white = np.fft.rfft(np.random.default_rng(2).standard_normal((1, rate)))
    hiss = np.fft.irfft(white * np.clip(hz / 3400, 0.05, 1.0) ** 2, rate).astype(np.float32)
    moves, silent = np.full(len(GRID), pitch_st), np.zeros(len(GRID))
    ready = move_formants(hiss, rate, np.arange(rate) / rate, silent, moves, silent)
    out = change_pitch_and_time(ready, rate, np.full(rate, pitch_st), np.ones(rate), 0, rate)
    settled = slice(rate // 8, -rate // 8)
    (hz, before), (_, after) = (welch(x[0, settled], rate, nperseg=rate // 50) for x in (hiss, out))
    change_db = 10 * np.log10(after / before)[(hz > 800) & (hz < 3000)]
    assert np.abs(change_db).max() < 3.0
    assert abs(change_db.mean()) < 2.0


@pytest.mark.parametrize("pitch_st", [-5.0, -2.0, 3.0, 5.0])
def test_a_voice_stays_as_loud_wherever_its_pitch_goes(sample_clip: Path, pitch_st: float) -> None:
    """Else a wide melody swells and fades, and a fader between two pitches dips on its way."""
    source = read_audio(sample_clip)
    f0 = track_f0(source.mono(), source.sample_rate)
    clock_s = np.arange(source.frames) / source.sample_rate
    moves, rest = np.full(len(f0), pitch_st), np.zeros(len(f0))
    ready = move_formants(source.samples, source.sample_rate, clock_s, rest, moves, f0)
    change_db = 10 * np.log10(np.square(ready).mean() / np.square(source.samples).mean())
    assert abs(change_db) < 0.5


def test_nothing_asked_is_nothing_done() -> None:
    """Both at rest: the pass is clean, but for the ends, where spectra settle."""
    rest = np.zeros(len(GRID))
    out = move_formants(vowel(200.0), RATE, CLOCK_S, rest, rest, np.full(len(GRID), 200.0))
    settled = slice(window_size(RATE), -window_size(RATE))
    assert np.abs(out - vowel(200.0))[:, settled].max() < 1e-5
