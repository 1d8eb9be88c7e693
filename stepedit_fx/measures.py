"""Acoustic measures of speech: tracks on a 10 ms grid, and the figures that describe a clip.

Frame k of every track is centred on second k * FRAME_S, so tracks of one clip line up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import parselmouth
import soxr
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from stepedit_fx.audio import Samples

Track = NDArray[np.float64]
Spans = tuple[tuple[int, int], ...]  # (first frame, end frame) each, in order, not overlapping

FRAME_S = 0.01
F0_FLOOR_HZ, F0_CEILING_HZ = 60.0, 600.0  # low creaky men to small children
ROUGH_STEP_S = 0.03  # of the first pass, which only looks for the range
ANALYSIS_RATE = 16000  # f0 and its harmonics up to 8 kHz; higher rates only cost time
SILENCE_DB = -120.0
MIN_PAUSE_S = 0.15  # shorter gaps are the closures of stops (Campione & Veronis 2002)
LEVEL_WINDOW_S = 0.03


def frame_count(frames: int, rate: int) -> int:
    """How many 10 ms frames cover this many samples; at least one."""
    return int(np.ceil(frames / rate / FRAME_S)) + 1


def _sound(mono: Samples, rate: int) -> parselmouth.Sound:
    if rate > ANALYSIS_RATE:
        mono = soxr.resample(mono, rate, ANALYSIS_RATE)
        rate = ANALYSIS_RATE
    return parselmouth.Sound(mono.astype(np.float64), rate)


def _pitch(
    sound: parselmouth.Sound, floor_hz: float, ceiling_hz: float, step_s: float = FRAME_S
) -> tuple[Track, Track]:
    """Times and f0 (0 where unvoiced) by Praat's autocorrelation method."""
    pitch = sound.to_pitch_ac(time_step=step_s, pitch_floor=floor_hz, pitch_ceiling=ceiling_hz)
    return pitch.xs(), pitch.selected_array["frequency"]


def track_f0(mono: Samples, rate: int) -> Track:
    """Fundamental frequency in hertz, 0 where unvoiced, (frames,).

    Two passes, the second in the range that the first suggests (Hirst 2011), which removes
    most octave errors. All zeros for a clip too short or too quiet to have a pitch.
    """
    count = frame_count(len(mono), rate)
    # Praat needs three periods of the floor in its window.
    if len(mono) < rate * 3.5 / F0_FLOOR_HZ or not np.any(mono):
        return np.zeros(count)
    sound = _sound(mono, rate)
    rough = _pitch(sound, F0_FLOOR_HZ, F0_CEILING_HZ, ROUGH_STEP_S)[1]
    voiced = rough[rough > 0]
    floor_hz, ceiling_hz = F0_FLOOR_HZ, F0_CEILING_HZ
    if len(voiced) > 0.1 * len(rough):  # fewer are errors in noise, and would set the range
        low, high = np.percentile(voiced, [25, 75])
        floor_hz = max(F0_FLOOR_HZ, 0.75 * low)
        ceiling_hz = max(2.5 * low, min(F0_CEILING_HZ, 1.9 * high))
    times, f0 = _pitch(sound, floor_hz, ceiling_hz)
    nearest = np.rint((np.arange(count) * FRAME_S - times[0]) / FRAME_S).astype(int)
    inside = (nearest >= 0) & (nearest < len(f0))
    track: Track = np.where(inside, f0[np.clip(nearest, 0, len(f0) - 1)], 0.0)
    return track


def track_level(mono: Samples, rate: int) -> Track:
    """Root-mean-square level in dB re full scale over 30 ms, (frames,)."""
    count = frame_count(len(mono), rate)
    power = np.concatenate([[0.0], np.cumsum(np.square(mono, dtype=np.float64))])
    centre = np.arange(count) * FRAME_S * rate
    half = LEVEL_WINDOW_S * rate / 2
    first = np.clip(centre - half, 0, len(mono)).astype(int)
    end = np.clip(centre + half, 0, len(mono)).astype(int)
    mean = (power[end] - power[first]) / np.maximum(end - first, 1)
    out: Track = 10 * np.log10(np.maximum(mean, 10 ** (SILENCE_DB / 10)))
    return out


def speech_threshold_db(level_db: Track) -> float:
    """The level that parts speech from background: a third of the way up from the floor."""
    floor, top = np.percentile(level_db, [5, 95])
    threshold = max(top - 35.0, floor + 0.3 * (top - floor))
    return float(min(threshold, top - 10.0))


def find_pauses(level_db: Track, f0: Track, threshold_db: float | None = None) -> Spans:
    """Spans of at least 150 ms with neither speech level nor voicing.

    threshold_db: speech's level, None for `speech_threshold_db`.
    """
    speech_db = speech_threshold_db(level_db) if threshold_db is None else threshold_db
    quiet = (level_db < speech_db) & (f0 <= 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(int), [0]])))
    spans = edges.reshape(-1, 2)
    return tuple((int(a), int(b)) for a, b in spans if (b - a) * FRAME_S >= MIN_PAUSE_S)


def find_nuclei(level_db: Track, f0: Track) -> NDArray[np.int64]:
    """Frames of syllable nuclei: voiced level peaks standing out by 2 dB (de Jong & Wempe 2009)."""
    smooth = uniform_filter1d(level_db, 5)
    peaks, _ = find_peaks(smooth, height=speech_threshold_db(level_db), prominence=2.0)
    near_voice = uniform_filter1d((f0 > 0).astype(float), 3)[peaks] > 0
    found: NDArray[np.int64] = peaks[near_voice]
    return found


def semitones(hz: Track | float, re_hz: float) -> Track:
    """Interval above re_hz in semitones; nan where hz is 0."""
    hz = np.asarray(hz, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.where(hz > 0, 12 * np.log2(hz / re_hz), np.nan)


@dataclass(frozen=True)
class Measures:
    """What ears notice about a clip, in figures; nan where there is nothing to measure.

    f0_median_hz, f0_range_st (5 to 95 %), speech_s (time outside pauses), pause_s,
    syllables_per_s (of speech time), level_db (RMS outside pauses), bright_db (1 to 5 kHz over
    50 Hz to 1 kHz: the alpha ratio of eGeMAPS, Eyben et al. 2016), hnr_db (Praat's
    cross-correlation method), jitter and shimmer (local, as fractions), voiced_share (of speech
    time).
    """

    f0_median_hz: float
    f0_range_st: float
    speech_s: float
    pause_s: float
    syllables_per_s: float
    level_db: float
    bright_db: float
    hnr_db: float
    jitter: float
    shimmer: float
    voiced_share: float


def measure(mono: Samples, rate: int) -> Measures:
    """Measure one clip, (frames,) at `rate`."""
    f0, level_db = track_f0(mono, rate), track_level(mono, rate)
    in_pause = np.zeros(len(f0), dtype=bool)
    for first, end in find_pauses(level_db, f0):
        in_pause[first:end] = True
    speech = ~in_pause
    voiced = f0[f0 > 0]
    spread = np.percentile(semitones(voiced, 100.0), [5, 95]) if len(voiced) else [np.nan] * 2
    speech_s = float(speech.sum() * FRAME_S)
    power = 10 ** (level_db[speech] / 10)
    jitter, shimmer = _perturbation(mono, rate)
    return Measures(
        f0_median_hz=float(np.median(voiced)) if len(voiced) else np.nan,
        f0_range_st=float(spread[1] - spread[0]),
        speech_s=speech_s,
        pause_s=float(in_pause.sum() * FRAME_S),
        syllables_per_s=len(find_nuclei(level_db, f0)) / speech_s if speech_s else np.nan,
        level_db=float(10 * np.log10(power.mean())) if power.size else np.nan,
        bright_db=_bright_db(mono, rate),
        hnr_db=_harmonicity_db(mono, rate),
        jitter=jitter,
        shimmer=shimmer,
        voiced_share=float((f0[speech] > 0).mean()) if speech.any() else np.nan,
    )


def _bright_db(mono: Samples, rate: int) -> float:
    if len(mono) == 0:
        return np.nan
    power = np.square(np.abs(np.fft.rfft(mono)))
    hz = np.fft.rfftfreq(len(mono), 1 / rate)
    low = power[(hz >= 50) & (hz < 1000)].sum()
    high = power[(hz >= 1000) & (hz < 5000)].sum()
    return float(10 * np.log10(high / low)) if low > 0 and high > 0 else np.nan


def _harmonicity_db(mono: Samples, rate: int) -> float:
    if len(mono) < rate * 0.1 or not np.any(mono):
        return np.nan
    values = (
        _sound(mono, rate).to_harmonicity_cc(time_step=FRAME_S, minimum_pitch=F0_FLOOR_HZ).values
    )
    voiced = values[values > -100]  # Praat writes -200 where there is no periodicity
    return float(voiced.mean()) if voiced.size else np.nan


def _perturbation(mono: Samples, rate: int) -> tuple[float, float]:
    if len(mono) < rate * 0.1 or not np.any(mono):
        return np.nan, np.nan
    sound = _sound(mono, rate)
    call = parselmouth.praat.call
    pulses = call(sound, "To PointProcess (periodic, cc)", F0_FLOOR_HZ, F0_CEILING_HZ)
    limits = (0, 0, 0.0001, 0.02, 1.3)  # Praat's defaults
    jitter = call(pulses, "Get jitter (local)", *limits)
    shimmer = call([sound, pulses], "Get shimmer (local)", *limits, 1.6)
    return float(jitter), float(shimmer)
