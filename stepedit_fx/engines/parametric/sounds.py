"""Non-verbal sounds, made of the speaker's own voice, and where in the clip they belong.

A breath or a sigh is noise under the speaker's own long-term spectrum; an "uhm" and a laugh are
periods of one of the speaker's own vowels, laid out anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import butter, sosfilt

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.measures import FRAME_S
from stepedit_fx.tags import Sound, word_spans

Floats = NDArray[np.floating[Any]]

ROOM_S = 0.09  # pause kept before and after a sound
SNAP_S = 0.4  # a pause this near to the wanted place is the place
PUNCTUATED_SNAP_S = 1.5  # where the text says that there is one


def place_sound(sound: Sound, text: str, analysis: Analysis, word_starts: list[float]) -> int:
    """The frame at which a sound goes in.

    word_starts: seconds at which each word of `text` begins, where known. Otherwise letters are
    taken to be spread over the syllables, and a pause near by is preferred: any within reach
    where the text has a comma or a full stop, only a close one inside a phrase.
    """
    spans = word_spans(text)
    speech = analysis.phrases
    start, end = (speech[0][0], speech[-1][1]) if speech else (0, analysis.frames - 1)
    if sound.before_word <= 0:
        return start
    if sound.before_word >= len(spans):
        return min(end, analysis.frames - 1)
    if len(word_starts) == len(spans):
        return _quietest(analysis, round(word_starts[sound.before_word] / FRAME_S), 8)
    # One CJK character is a syllable, which other scripts write with about three letters.
    weights = [3 if b - a == 1 and ord(text[a]) > 0x2E80 else b - a for a, b in spans]
    guess = _syllable_time(sum(weights[: sound.before_word]) / sum(weights), analysis)
    between = text[spans[sound.before_word - 1][1] : spans[sound.before_word][0]]
    reach_s = PUNCTUATED_SNAP_S if between.strip() else SNAP_S
    pauses = [(abs((a + b) / 2 - guess), a, b) for a, b in analysis.inner_pauses]
    if pauses and min(pauses)[0] * FRAME_S <= reach_s:
        _, first, last = min(pauses)
        return (first + last) // 2
    return _quietest(analysis, guess, 15)


def _syllable_time(share: float, analysis: Analysis) -> int:
    """The frame by which this share of the syllables has been spoken."""
    if len(analysis.nuclei) < 2:
        return round(share * analysis.frames)
    edges = (np.array(analysis.nuclei[1:]) + np.array(analysis.nuclei[:-1])) / 2
    marks = np.concatenate([[analysis.phrases[0][0]], edges, [analysis.phrases[-1][1]]])
    return round(float(np.interp(share * len(analysis.nuclei), np.arange(len(marks)), marks)))


def _quietest(analysis: Analysis, frame: int, reach: int) -> int:
    """The frame with the lowest level within `reach` of this one."""
    first = max(0, min(frame - reach, analysis.frames - 2))
    return first + int(np.argmin(analysis.level_db[first : frame + reach + 1]))


def make_sound(tag: str, analysis: Analysis, strength: float, pitch_st: float, seed: int) -> Floats:
    """One sound, (frames,) at the source's rate, level-matched to the speaker.

    strength: 0..1 sets its level. pitch_st: how far the voice has been moved by other edits.
    """
    rng = np.random.default_rng([seed, sorted(MAKERS).index(tag)])
    maker = _Maker(analysis, analysis.median_f0_hz * 2 ** (pitch_st / 12), rng)
    sound, level_db = MAKERS[tag](maker)
    rms = float(np.sqrt(np.mean(np.square(sound)))) or 1.0
    wanted = maker.speech_rms * 10 ** ((level_db + 20 * np.log10(max(strength, 1e-3))) / 20)
    out: Floats = sound * (wanted / rms)
    return out


class _Maker:
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
        """Time from 0 to `length` seconds, varied by up to 10 %."""
        return np.arange(int(length * self.rng.uniform(0.9, 1.1) * self.rate)) / self.rate

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
            which = int(np.clip(which + self.rng.integers(-1, 2), 0, len(grains) - 1))
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


def _swell(time: Floats, attack_s: float, release_s: float) -> Floats:
    """Up in attack_s, down in release_s, both smooth."""
    up = np.clip(time / attack_s, 0, 1)
    down = np.clip((time[-1] - time) / release_s, 0, 1)
    out: Floats = np.sin(up * np.pi / 2) ** 2 * np.sin(down * np.pi / 2) ** 2
    return out


def _breathing(make: _Maker) -> tuple[Floats, float]:
    """A quick breath in: air through the mouth, opening towards its end."""
    time = make.seconds(0.42)
    share = time / time[-1]
    dark, bright = make.air(len(time), 350, 1800), make.air(len(time), 1500, 6500)
    return (dark * (1 - 0.5 * share) + bright * (0.5 + share)) * _swell(time, 0.22, 0.09), -16.0


def _sigh(make: _Maker) -> tuple[Floats, float]:
    """A breath let out: a soft voiced start that falls, then air that darkens."""
    time = make.seconds(0.95)
    share = time / time[-1]
    air = make.air(len(time), 250, 1500) + make.air(len(time), 1200, 5000) * (1 - share)
    voiced = make.voice(make.f0_hz * 2 ** (-5 * share / 12))
    voiced *= np.clip(1 - time / 0.4, 0, 1) * 0.35 * _rms(air) / max(_rms(voiced), 1e-9)
    return (air * (1 - share) ** 1.2 + voiced) * _swell(time, 0.1, 0.35), -13.0


def _laughter(make: _Maker) -> tuple[Floats, float]:
    """Breathy bursts, five a second, each shorter and lower (Bachorowski et al. 2001)."""
    bursts = []
    count = int(make.rng.integers(4, 6))
    for burst in range(count):
        time = make.seconds(0.21 - 0.008 * burst)
        h = make.air(len(time), 500, 5000) * np.exp(-time / 0.05)
        contour = make.f0_hz * 2 ** ((4.5 - 1.3 * burst - 12 * time) / 12)
        voiced = (
            make.voice(contour) * _swell(time, 0.05, 0.10) * np.clip((time - 0.02) / 0.03, 0, 1)
        )
        voiced /= max(_rms(voiced), 1e-9)
        h /= max(_rms(h), 1e-9)
        level = 0.82**burst if burst else 0.85
        bursts.append((voiced + 0.45 * h) * level * _swell(time, 0.008, 0.03))
    return np.concatenate(bursts), -4.0


def _uhm(make: _Maker) -> tuple[Floats, float]:
    """A level vowel that closes into a nasal, a little below the speaker's usual pitch."""
    time = make.seconds(0.55)
    contour = make.f0_hz * 2 ** ((-1.5 - 1.5 * time / time[-1]) / 12)
    vowel = make.voice(contour)
    nasal = np.asarray(sosfilt(butter(3, 420, "lowpass", fs=make.rate, output="sos"), vowel))
    nasal *= 0.8 * _rms(vowel) / max(_rms(nasal), 1e-9)
    closing = np.clip((time - 0.26) / 0.09, 0, 1)
    closing = closing * closing * (3 - 2 * closing)
    return (vowel * (1 - closing) + nasal * closing) * _swell(time, 0.05, 0.14), -5.0


def _rms(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound))))


MAKERS: Mapping[str, Callable[[_Maker], tuple[Floats, float]]] = {
    "Breathing": _breathing,
    "Laughter": _laughter,
    "Sigh": _sigh,
    "Uhm": _uhm,
}
