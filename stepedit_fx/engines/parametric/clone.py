"""New words in something like the speaker's voice: a sketch, by espeak-ng and measured moves.

espeak-ng speaks; what it said is moved to the reference's pace, f0 (median and range), long-term
spectrum and loudness. The words are there and sit where they should; the person is not. The
step-audio engine is the real one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import fftconvolve

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.engines.parametric import takes as work
from stepedit_fx.engines.parametric.analysis import Analysis, analysis_of
from stepedit_fx.engines.parametric.apply import intonation
from stepedit_fx.engines.parametric.curves import LIMITS
from stepedit_fx.loudness import limited, loudness_lufs, true_peak
from stepedit_fx.measures import FRAME_S
from stepedit_fx.speech import Edit, Speech
from stepedit_fx.tags import DIALECTS
from stepedit_fx.transcripts import espeak

log = logging.getLogger(__name__)

Floats = NDArray[np.floating[Any]]

SKETCH = (
    "clone on the parametric engine is a sketch: espeak-ng's words at the speaker's pitch, pace "
    "and spectrum; the step-audio engine clones the voice"
)
MAX_EQ_DB = 12.0  # more would bring up noise where espeak-ng has no sound
EQ_RANGE_HZ = (80.0, 9000.0)  # espeak-ng's voices end at 11 kHz
EQ_TAPS = 2048
TRUE_PEAK = 0.89  # -1 dBTP (EBU R 128)
HIGH_VOICE_HZ = 160.0  # above it espeak-ng speaks with its female variant
# Of espeak-ng's female variants one without breath, which it makes from memory that it never sets:
# f2, f3 and f5 differ from run to run (1.52.0, measured).
HIGH_VARIANT = "+f1"
# How far the f0 range is moved in one pass; further, and words are misheard (measured: 12 errors in
# 10 words at 2.5, 8 at 1.5, for one reference in noise).
RANGE_RATIOS = (0.3, 1.5)
LEAST_SYLLABLES = 4  # fewer say nothing of a pace
# Prefixes of the text that name a dialect -> the voice that comes nearest.
_DIALECT_VOICES = {
    "[Sichuanese]": "cmn",
    "[Cantonese]": "yue",
    "[Japanese]": "ja",
    "[Korean]": "ko",
}


def clone(reference: Speech, edit: Edit) -> Speech:
    """The text of an edit as a take of this engine, in something like the reference's voice.

    Raises RequestError for a text that espeak-ng cannot say and where its wheel is missing.
    """
    rate = reference.place.sample_rate
    model = analysis_of(reference.voice, rate)
    text, language = _worded(edit.text, reference.transcript.language)
    take = _spoken(text, language, model, rate)
    log.warning(SKETCH)
    heard = work.decode(_moved(take, model))
    samples = _coloured(heard.samples[0], model)
    return work.encode(
        Audio(_levelled(samples, model), rate, reference.place.start_s, heard.transcript)
    )


def _worded(text: str, language: str) -> tuple[str, str]:
    """The words to say, and the language that a dialect's prefix or the reference names."""
    text = text.strip()
    for prefix, voice in _DIALECT_VOICES.items():
        if text.startswith(prefix):
            if voice == "cmn":
                log.warning("espeak-ng knows no %s; it speaks Mandarin", DIALECTS[prefix].meaning)
            return text.removeprefix(prefix).strip(), voice
    return text, language


def _spoken(text: str, language: str, model: Analysis, rate: int) -> Speech:
    """espeak-ng's own reading, at the reference's rate, and near its pace, height and range.

    What espeak-ng does by itself costs no clarity; what is left is moved.
    """
    espeak.check_text(text)
    voice = espeak.voice_for(text, language)
    if model.median_f0_hz > HIGH_VOICE_HZ:
        voice += HIGH_VARIANT
    said = _take(espeak.speak(text, voice), rate)
    own = analysis_of(said.voice, rate)
    pace = _pace_ratio(own, model)
    words_a_minute = round(float(np.clip(espeak.USUAL_RATE * pace, *espeak.RATES)))
    if not (np.any(own.f0 > 0) and np.any(model.f0 > 0)):
        return _take(espeak.speak(text, voice, rate=words_a_minute), rate)
    wider = _range_st(model) / max(_range_st(own), 1.0)
    width = round(float(np.clip(espeak.USUAL_RANGE * wider, 0, 100)))
    height = _height(text, voice, words_a_minute, width, model, rate)
    spoken = espeak.speak(text, voice, rate=words_a_minute, pitch=height, pitch_range=width)
    return _take(spoken, rate)


def _height(
    text: str, voice: str, words_a_minute: int, width: int, model: Analysis, rate: int
) -> int:
    """The pitch to ask espeak-ng for, between the lowest and the highest that it has."""
    heights = []
    for pitch in (0, 100):
        spoken = espeak.speak(text, voice, rate=words_a_minute, pitch=pitch, pitch_range=width)
        heights.append(np.log(analysis_of(_take(spoken, rate).voice, rate).median_f0_hz))
    if heights[1] <= heights[0]:
        return espeak.USUAL_PITCH
    return round(float(np.interp(np.log(model.median_f0_hz), heights, (0, 100))))


def _take(spoken: espeak.Spoken, rate: int) -> Speech:
    samples = soxr.resample(spoken.samples, spoken.rate, rate)
    return work.encode(Audio(samples[None], rate, transcript=spoken.transcript))


def _moved(take: Speech, model: Analysis) -> Speech:
    """A take that is to have the reference's pace, median f0 and f0 range."""
    own = analysis_of(take.voice, take.place.sample_rate)
    codes: dict[str, Floats] = {"seed": np.zeros(1, np.int64)}
    pace = _pace_ratio(own, model)
    codes["stretch_ln"] = np.full(own.frames, -np.log(pace), np.float32)
    if np.any(own.f0 > 0) and np.any(model.f0 > 0):
        shift = 12 * np.log2(model.median_f0_hz / own.median_f0_hz)
        wider = float(np.clip(_range_st(model) / max(_range_st(own), 1.0), *RANGE_RATIOS))
        curve = shift + (wider - 1) * intonation(own)
        codes["pitch_st"] = np.clip(curve, *LIMITS["pitch_st"]).astype(np.float32)
    return replace(take, codes=codes)


def _pace_ratio(own: Analysis, model: Analysis) -> float:
    """How many times as fast the reference speaks, in syllables a second outside pauses."""
    if min(len(own.nuclei), len(model.nuclei)) < LEAST_SYLLABLES:
        return 1.0
    rates = [
        len(analysis.nuclei) / sum((b - a) * FRAME_S for a, b in analysis.phrases)
        for analysis in (own, model)
    ]
    return float(np.clip(rates[1] / rates[0], 0.4, 2.5))


def _range_st(analysis: Analysis) -> float:
    """From the 5th to the 95th percentile of f0, in semitones."""
    low, high = np.percentile(analysis.f0[analysis.f0 > 0], [5, 95])
    return float(12 * np.log2(high / low))


def _coloured(mono: Samples, model: Analysis) -> Samples:
    """Sound through a minimum-phase filter that gives it the reference's long-term spectrum."""
    rate = model.rate
    if not model.samples.any():
        return mono
    reference: Samples = model.samples.mean(axis=0, dtype=np.float32)
    source, wanted = long_term_db(mono, rate), long_term_db(reference, rate)
    hz = np.fft.rfftfreq(EQ_TAPS, 1 / rate)
    gain_db = np.interp(np.log(hz + 1), np.log(BANDS_HZ + 1), _difference(wanted, source))
    size = 4 * EQ_TAPS
    log_gain = np.interp(np.fft.rfftfreq(size, 1 / rate), hz, gain_db) * (np.log(10) / 20)
    cepstrum = fft.irfft(log_gain)
    cepstrum[1 : size // 2] *= 2  # folded: what came before time 0 comes after it
    cepstrum[size // 2 + 1 :] = 0
    impulse = fft.irfft(np.exp(fft.rfft(cepstrum)))[:EQ_TAPS]
    return np.asarray(fftconvolve(mono, impulse)[: len(mono)], np.float32)


def _difference(wanted: Floats, source: Floats) -> Floats:
    """The gain in dB for each band, held to MAX_EQ_DB, none outside EQ_RANGE_HZ."""
    low_hz, high_hz = EQ_RANGE_HZ
    inside = (low_hz <= BANDS_HZ) & (high_hz >= BANDS_HZ)
    apart = np.where(np.isfinite(wanted - source), wanted - source, 0.0)
    apart = apart - apart[inside].mean()
    return np.where(inside, np.clip(apart, -MAX_EQ_DB, MAX_EQ_DB), 0.0)


# A third of an octave apart: formants of one vowel do not show, the voice's tilt does.
BANDS_HZ = 1000 * 2.0 ** (np.arange(-13, 11) / 3)


def long_term_db(mono: Samples, rate: int) -> Floats:
    """The long-term average spectrum of speech in bands of a third of an octave around BANDS_HZ.

    Power in dB, quiet windows left out; nan in bands that the rate does not reach.
    """
    size = 2 ** int(np.ceil(np.log2(rate * 0.04)))
    padded = np.pad(mono, (0, max(0, size - len(mono))))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    level = np.square(windows).mean(axis=1)
    loud = windows[level >= 10**-3 * level.max()]
    power = np.zeros(size // 2 + 1)
    for first in range(0, len(loud), 256):
        block = loud[first : first + 256] * np.hanning(size)
        power += np.square(np.abs(fft.rfft(block, axis=1))).sum(axis=0)
    hz = np.fft.rfftfreq(size, 1 / rate)
    edges = np.stack([BANDS_HZ * 2 ** (-1 / 6), BANDS_HZ * 2 ** (1 / 6)])
    total = np.concatenate([[0.0], np.cumsum(power)])
    at = np.interp(edges, hz, np.arange(len(hz))) + 0.5
    band = np.diff(np.interp(at, np.arange(len(total)), total), axis=0)[0]
    return np.where(edges[1] < rate / 2, 10 * np.log10(band / len(loud) + 1e-12), np.nan)


def _levelled(mono: Samples, model: Analysis) -> Samples:
    """Sound on the reference's channels, as loud in each as the voice was, (channels, frames)."""
    shares = np.sqrt(np.square(model.samples, dtype=np.float64).sum(axis=1))
    spread = shares / shares.max() if shares.max() > 0 else np.ones(len(shares))
    samples = (spread[:, None] * mono).astype(np.float32)
    wanted, given = (loudness_lufs(x, model.rate) for x in (model.samples, samples))
    gain = 10 ** ((wanted - given) / 20) if np.isfinite([wanted, given]).all() else 1.0
    ceiling = max(TRUE_PEAK, true_peak(model.samples, model.rate))
    return limited(np.asarray(samples * gain, np.float32), model.rate, ceiling)
