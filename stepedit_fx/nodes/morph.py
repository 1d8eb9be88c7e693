"""Between two sounds of the same words: time, pitch and spectrum, each part of the way.

Two edits of one voice cannot simply be cross-faded: their syllables do not lie at the same times,
their harmonics beat, and where both have the same their phases comb. So both are brought to the
times and the pitch between them first (formants stay), and then their short-time spectra are
blended, magnitudes on the decibel scale, with the phases of the nearer one alone.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.parametric.curves import at_samples, smooth
from stepedit_fx.engines.parametric.formants import move_formants
from stepedit_fx.engines.parametric.timbre import (
    Spectra,
    to_samples,
    to_spectra,
    window_size,
)
from stepedit_fx.measures import FRAME_S, track_f0
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.stretch import change_pitch_and_time, window
from stepedit_fx.timeline import at

Floats = NDArray[np.float64]

STRETCH_LIMITS = (0.1, 10.0)  # beyond, a pause is as good as gone, or all that there is
MAX_APART_ST = 7.0  # further from the usual distance of the two pitches is an octave error
# Where one of the two has little voice, or one that wanders (what is found in a whisper), there is
# no pitch between them.
LEAST_VOICED = 0.4
MAX_SPREAD_ST = 3.0
AROUND_STEP_S = 0.06  # of what is put in, which lies in a pause
LEAST_ST = 0.02  # less is not heard, and not worth a pass
BLOCK_S = 20.0  # of spectra at a time: hours fit in memory
FLOOR = 1e-7  # of magnitudes, some way below 24 bits
MAX_GAIN = 4.0  # that makes up for what two unlike noises lose between them


def between(lower: Audio, upper: Audio, share: float) -> Audio:
    """The sound `share` of the way from lower to upper, 0 < share < 1.

    Both are made from one source, which their time maps tell the way back to; rate and channels
    are the same.
    """
    source_s, lower_s, upper_s = _knots(lower, upper)
    there_s = (1 - share) * lower_s + share * upper_s
    count = max(round(float(there_s[-1]) * lower.sample_rate), 1)
    f0_lower, f0_upper = (track_f0(side.mono(), side.sample_rate) for side in (lower, upper))
    apart_st = _apart_st(_there(f0_lower, lower_s, there_s), _there(f0_upper, upper_s, there_s))
    low = _moved(lower, lower_s, there_s, share * apart_st, f0_lower, count)
    high = _moved(upper, upper_s, there_s, (share - 1) * apart_st, f0_upper, count)
    samples = _blended(low, high, share, lower.sample_rate)
    loudest = max(lower.peak, upper.peak)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > loudest:
        samples = samples * np.float32(loudest / peak)
    return replace(
        lower,
        samples=samples,
        transcript=_words(lower.transcript, lower_s, there_s),
        time_map=tuple(zip(source_s.tolist(), there_s.tolist(), strict=True)),
    )


def _knots(lower: Audio, upper: Audio) -> tuple[Floats, Floats, Floats]:
    """Moments of the source, and when they are heard in either.

    Where one of the two has something put in (a pause made longer), the other's pause there is
    stretched: all of it comes from the moments around.
    """
    maps = [audio.time_map for audio in (lower, upper)]
    ends = [time_map[-1][0] for time_map in maps if time_map]
    end_s = max(ends, default=lower.duration_s)
    seconds = {0.0, end_s, *(second for time_map in maps for second, _ in time_map)}
    steps = {a for time_map in maps for (a, _), (b, _) in pairwise(time_map) if a == b}
    kept = {s for s in seconds if all(abs(s - step) > AROUND_STEP_S for step in steps)}
    kept |= {step + side for step in steps for side in (-AROUND_STEP_S, AROUND_STEP_S)}
    source_s = np.array(sorted({0.0, end_s} | {s for s in kept if 0 < s < end_s}))
    first, second = (np.array([at(m, float(s)) for s in source_s]) for m in maps)
    return source_s, first, second


def _there(f0: Floats, here_s: Floats, there_s: Floats) -> Floats:
    """An f0 (frames,) on the frames of the result, hertz, 0 where unvoiced."""
    frames = int(np.ceil(there_s[-1] / FRAME_S)) + 1
    seconds = np.interp(np.arange(frames) * FRAME_S, there_s, here_s)
    found: Floats = f0[np.clip(np.rint(seconds / FRAME_S).astype(int), 0, len(f0) - 1)]
    return found


def _apart_st(lower: Floats, upper: Floats) -> Floats:
    """How far apart the two pitches are, semitones, smooth, and bridged where one has none."""
    voiced = np.flatnonzero((lower > 0) & (upper > 0))
    if len(voiced) < LEAST_VOICED * max((lower > 0).sum(), (upper > 0).sum(), 1):
        return np.zeros(len(lower))
    apart = 12 * np.log2(upper[voiced] / lower[voiced])
    usual = float(np.median(apart))
    off = np.abs(apart - usual)
    if float(np.median(off)) > MAX_SPREAD_ST:
        return np.zeros(len(lower))
    apart = np.where(off > MAX_APART_ST, usual, apart)
    apart = median_filter(apart, size=5, mode="nearest")
    return smooth(np.interp(np.arange(len(lower)), voiced, apart), 7)


def _moved(
    audio: Audio, here_s: Floats, there_s: Floats, pitch_st: Floats, f0: Floats, count: int
) -> Samples:
    """An audio with its moments at other times and its pitch moved, (channels, count).

    pitch_st: the move, per frame of the result. f0: hertz, per frame of the audio.
    """
    rate = audio.sample_rate
    stretch = _stretch(audio.frames, here_s * rate, there_s * rate)
    margin = 2 * window(rate)
    ends = (margin, margin)
    samples = np.pad(audio.samples, ((0, 0), ends))
    pitch_at = np.zeros(samples.shape[1])
    if np.abs(pitch_st).max(initial=0.0) > LEAST_ST:
        frame = np.interp(np.arange(len(f0)) * FRAME_S, here_s, there_s) / FRAME_S
        move = np.interp(frame, np.arange(len(pitch_st)), pitch_st)
        pitch_at = at_samples(move, -margin, audio.frames + margin, rate)
        clock_s = np.arange(-margin, audio.frames + margin) / rate
        samples = move_formants(samples, rate, clock_s, np.zeros(len(f0)), move, f0)
    stretch = np.pad(stretch, ends, constant_values=1.0)
    return change_pitch_and_time(samples, rate, pitch_at, stretch, margin, count)


def _stretch(frames: int, here: Floats, there: Floats) -> Floats:
    """How long each sample becomes, (frames,)."""
    if len(here) < 2 or np.allclose(here, there, atol=0.5):
        return np.ones(frames)
    ratio = np.diff(there) / np.maximum(np.diff(here), 1.0)
    ratio = np.clip(ratio, *STRETCH_LIMITS)
    which = np.searchsorted(here, np.arange(frames), side="right") - 1
    stretch = ratio[np.clip(which, 0, len(ratio) - 1)]
    scaled: Floats = stretch * (there[-1] / stretch.sum())
    return scaled


def _blended(lower: Samples, upper: Samples, share: float, rate: int) -> Samples:
    """Two aligned sounds, (channels, frames), as one between them."""
    size = window_size(rate)
    block = max(1, round(BLOCK_S * rate / size)) * size
    frames = lower.shape[1]
    out = np.empty_like(lower)
    for start in range(0, frames, block):
        end = min(start + block, frames)
        wide = slice(max(start - size, 0), end + size)
        low, high = (to_spectra(side[:, wide], size) for side in (lower, upper))
        blended = to_samples(_between_spectra(low, high, share), size, lower[:, wide].shape[1])
        out[:, start:end] = blended[:, start - wide.start : end - wide.start]
    return out


def _between_spectra(lower: Spectra, upper: Spectra, share: float) -> Spectra:
    """Spectra (channels, windows, bins): magnitudes between the two, phases of the nearer."""
    logs = [np.log(np.maximum(np.abs(side), FLOOR)) for side in (lower, upper)]
    magnitude = np.exp((1 - share) * logs[0] + share * logs[1])
    # Two noises have their troughs at different places, so that between them is less of either.
    levels = [np.log(np.square(np.abs(side)).sum(2) + FLOOR**2) for side in (lower, upper)]
    wanted = np.exp((1 - share) * levels[0] + share * levels[1])
    gain = np.sqrt(wanted / (np.square(magnitude).sum(2) + FLOOR**2))
    nearer = lower if share < 0.5 else upper
    phase = nearer / np.maximum(np.abs(nearer), FLOOR)
    scaled = magnitude * np.clip(gain, 1 / MAX_GAIN, MAX_GAIN)[..., None]
    blended: Spectra = (scaled * phase).astype(np.complex64)
    return blended


def _words(transcript: Transcript, here_s: Floats, there_s: Floats) -> Transcript:
    def moved(second: float) -> float:
        return float(np.interp(second, here_s, there_s))

    words = tuple(Word(w.text, moved(w.start_s), moved(w.end_s)) for w in transcript.words)
    return replace(transcript, words=words)
