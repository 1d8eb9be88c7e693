"""What non-verbal sounds are made of: one speaker's air, vowels and nasals.

Vowels are periods of one of the speaker's own, laid out anew along an f0 contour. Where another
vowel is wanted its formants take the place of those that were there: linear prediction gives the
envelope, its inverse filter what is left of the voice without it (Makhoul 1975), and a cascade of
resonators puts the wanted ones on (Klatt 1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import parselmouth
import soxr
from numpy.typing import NDArray
from scipy import fft
from scipy.linalg import solve_toeplitz
from scipy.signal import butter, lfilter, sosfilt

from stepedit_fx.engines.parametric.analysis import Analysis

Floats = NDArray[np.floating[Any]]

# Formants of men in hertz (Peterson & Barney 1952, means); the speaker's own tract scales them.
VOWELS: dict[str, tuple[float, float, float]] = {
    "ah": (730.0, 1090.0, 2440.0),
    "oh": (500.0, 840.0, 2410.0),
    "oo": (300.0, 870.0, 2240.0),
    "eh": (530.0, 1840.0, 2480.0),
    "ee": (270.0, 2290.0, 3010.0),
}
_MEAN_F3_HZ = 2480.0  # of the men above, over the vowels whose third formant moves little
_BANDWIDTHS_HZ = (80.0, 100.0, 140.0)  # Klatt 1980
# How often a grain gives way to its neighbour. At every pulse, two would take turns now and then,
# which is a voice an octave lower.
NEXT_GRAIN = 0.3
VARIED_FORMANT = 0.06  # about the deviation within one speaker's vowel (Peterson & Barney 1952)
_VOWEL_RATE = 12_000  # formants are shaped below 6 kHz; above there is air
_LPC_ORDER = 14  # two for each kilohertz, and two for the tilt
_STEP = 60  # samples at _VOWEL_RATE, 5 ms, between changes of the resonators


class Speaker:
    """What every sound is made with: a voice, a pitch, and random numbers."""

    def __init__(self, analysis: Analysis, f0_hz: float, rng: np.random.Generator) -> None:
        self.rate = analysis.rate
        self.f0_hz = f0_hz
        self.rng = rng
        self.mono = analysis.samples.mean(axis=0, dtype=np.float64)
        self.analysis = analysis
        spans = [(analysis.sample_of(a), analysis.sample_of(b)) for a, b in analysis.phrases]
        in_speech = [analysis.samples[:, a:b] for a, b in spans] or [analysis.samples]
        speech = np.concatenate(in_speech, axis=1)
        # Of all channels alike: a voice on one side alone is as loud as it is there.
        self.speech_rms = float(np.sqrt(np.mean(np.square(speech)))) if speech.size else 0.0

    def seconds(self, length: float) -> Floats:
        """Time from 0 to `length` seconds, varied by up to 20 %."""
        return np.arange(int(self.varied(length, 0.2) * self.rate)) / self.rate

    def varied(self, value: float, share: float) -> float:
        """A value up to this share of itself larger or smaller: what makes two sounds differ."""
        return value * float(self.rng.uniform(1 - share, 1 + share))

    def air(self, length: int, low_hz: float, high_hz: float) -> Floats:
        """Noise under the speaker's long-term spectrum, between two frequencies."""
        size = 1024
        spectrum = np.full(size // 2 + 1, 1e-6)
        usable = len(self.mono) // size * size
        if usable:
            windows = self.mono[:usable].reshape(-1, size) * np.hanning(size)
            spectrum = np.sqrt((np.abs(fft.rfft(windows, axis=1)) ** 2).mean(axis=0)) + 1e-6
        # The root flattens: the voice's own tilt is that of its pulses, which air lacks.
        response = np.sqrt(np.convolve(np.pad(spectrum, 12, "edge"), np.ones(25) / 25, "valid"))
        impulse = np.roll(fft.irfft(response), size // 2) * np.hanning(size)
        white = self.rng.standard_normal(length + size)
        out = fft.irfft(fft.rfft(white, length + 2 * size) * fft.rfft(impulse, length + 2 * size))[
            size : size + length
        ]
        high = min(high_hz, 0.45 * self.rate)
        low = min(low_hz, 0.5 * high)
        return np.asarray(
            sosfilt(butter(2, [low, high], "bandpass", fs=self.rate, output="sos"), out)
        )

    def voice(self, f0_hz: Floats) -> Floats:
        """A vowel of the speaker's along an f0 contour, (len(f0_hz),); noise if none is voiced.

        Two-period grains around the pulses of the steadiest vowel, overlapped at the new
        periods (pitch-synchronous overlap-add), in random order so that no loop is heard.
        """
        grains = self._grains()
        if not grains:
            return self.air(len(f0_hz), 300, 3000)
        out = np.zeros(len(f0_hz) + 2 * max(len(g) for g in grains))
        at = 0.0
        which = int(self.rng.integers(len(grains)))
        while at < len(f0_hz):
            if self.rng.random() < NEXT_GRAIN:
                which = int(np.clip(which + self.rng.choice([-1, 1]), 0, len(grains) - 1))
            grain = grains[which]
            start = int(at)
            out[start : start + len(grain)] += grain
            at += (
                self.rate
                / f0_hz[min(start, len(f0_hz) - 1)]
                * (1 + 0.008 * self.rng.standard_normal())
            )
        return out[: len(f0_hz)]

    def _grains(self) -> list[Floats]:
        first, end = _steadiest_vowel(self.analysis)
        if end - first < 3:
            return []
        f0 = float(np.median(self.analysis.f0[first:end]))
        period = round(self.rate / f0)
        at = self.analysis.sample_of(first) + period
        last = min(self.analysis.sample_of(end), len(self.mono) - period)
        grains: list[Floats] = []
        window = np.hanning(2 * period)
        while at + period < last:
            near = self.mono[at - period // 3 : at + period // 3 + 1]
            pulse = at - period // 3 + int(np.argmax(near))
            if pulse - period >= 0 and pulse + period <= len(self.mono):
                grains.append(self.mono[pulse - period : pulse + period] * window)
            at = pulse + period
        return grains

    def vowel(self, f0_hz: Floats, path: Sequence[tuple[float, str]]) -> Floats:
        """The voice along an f0 contour with the vowels of a path: (share of the time, vowel).

        No mouth makes a vowel the same way twice: each formant lies up to 6 % off.
        """
        voiced = self.voice(f0_hz)
        if not self._grains():
            return voiced  # nothing is voiced: there is no vowel to shape
        low = soxr.resample(voiced, self.rate, _VOWEL_RATE)
        share = np.linspace(0, 1, len(low))
        places = [place for place, _ in path]
        tract = [self.varied(self.tract, VARIED_FORMANT) for _ in range(3)]
        formants = np.stack(
            [
                np.interp(share, places, [VOWELS[name][n] * tract[n] for _, name in path])
                for n in range(3)
            ]
        )
        shaped = _resonated(_flattened(low), formants)
        out = np.asarray(soxr.resample(shaped, _VOWEL_RATE, self.rate))
        out = np.pad(out, (0, max(0, len(voiced) - len(out))))[: len(voiced)]
        return out * (_rms(voiced) / max(_rms(out), 1e-9))

    def nasal(self, f0_hz: Floats) -> Floats:
        """The voice along an f0 contour with the mouth closed, (len(f0_hz),)."""
        voiced = self.voice(f0_hz)
        hum = sosfilt(butter(3, 420, "lowpass", fs=self.rate, output="sos"), voiced)
        # A murmur has a weak second resonance near 1 kHz (Fujimura 1962).
        ring = sosfilt(
            butter(1, [800, min(1250, 0.45 * self.rate)], "bandpass", fs=self.rate, output="sos"),
            voiced,
        )
        both = np.asarray(hum + 0.15 * ring)
        return both * (0.8 * _rms(voiced) / max(_rms(both), 1e-9))

    @cached_property
    def tract(self) -> float:
        """How much shorter the speaker's vocal tract is than an average man's: 1.15 for women."""
        sound = parselmouth.Sound(self.mono, self.rate)
        if sound.duration < 0.1:
            return 1.0
        formants = sound.to_formant_burg(max_number_of_formants=5, maximum_formant=5500)
        seconds = np.flatnonzero(self.analysis.f0 > 0) / 100
        third = np.array([formants.get_value_at_time(3, float(s)) for s in seconds])
        third = third[np.isfinite(third)]
        return float(np.clip(np.median(third) / _MEAN_F3_HZ, 0.9, 1.35)) if len(third) else 1.0


def _flattened(samples: Floats) -> Floats:
    """A voice without its formants: what linear prediction of its bright copy leaves."""
    bright = np.append(samples[0], samples[1:] - 0.97 * samples[:-1]) * np.hanning(len(samples))
    power = np.abs(fft.rfft(bright, 2 * len(bright))) ** 2
    lags = fft.irfft(power)[: _LPC_ORDER + 1]
    if lags[0] <= 0:
        return samples
    lags[0] *= 1 + 1e-6
    predictor = solve_toeplitz(lags[:-1], lags[1:])
    return np.asarray(lfilter(np.append(1.0, -predictor), [1.0], samples))


def _resonated(samples: Floats, formants: Floats) -> Floats:
    """Samples at _VOWEL_RATE through resonators at moving formants, (3, frames) in hertz."""
    out = np.array(samples, np.float64)
    for centres, width_hz in zip(formants, _BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width_hz / _VOWEL_RATE)
        state = np.zeros(2)
        for first in range(0, len(out), _STEP):
            centre = min(float(centres[first]), 0.45 * _VOWEL_RATE)
            a1, a2 = -2 * radius * np.cos(2 * np.pi * centre / _VOWEL_RATE), radius**2
            block, state = lfilter([1 + a1 + a2], [1, a1, a2], out[first : first + _STEP], zi=state)
            out[first : first + _STEP] = block
    return out


def _steadiest_vowel(analysis: Analysis, frames: int = 9) -> tuple[int, int]:
    """The span of voiced frames whose f0 and level move least, (0, 0) if nothing is voiced."""
    best, found = np.inf, (0, 0)
    top = float(analysis.level_db.max())
    for nucleus in analysis.nuclei:
        first, end = max(0, nucleus - frames // 2), nucleus + frames // 2 + 1
        f0, level = analysis.f0[first:end], analysis.level_db[first:end]
        if len(f0) < frames or (f0 <= 0).any():
            continue
        moves = 12 * np.log2(f0.max() / f0.min()) + 0.5 * np.ptp(level) + 0.2 * (top - level.max())
        if moves < best:
            best, found = float(moves), (first, end)
    return found


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))
