"""What is wrong or unusual with a recording, found from its samples alone.

Meant to be told, not to stop anything: thresholds are set so that ordinary speech, noisy speech
and whispering voices in `shared/speech` and the shipped clip give nothing that is not so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from stepedit_fx.audio import Audio, Samples

Code = Literal[
    "silent", "short", "quiet", "clipped", "dc-offset", "out-of-phase", "narrow-band", "noisy",
    "no-voice", "tone", "music", "two-speakers",
]  # fmt: skip
Array = NDArray[np.float64]
Span = tuple[float, float]

RATE = 8000  # enough for f0 and the partials that tell music from speech
FRAME, HOP = 512, 160  # 64 ms every 20 ms
HOP_S = HOP / RATE
MIN_F0_HZ, MAX_F0_HZ = 60.0, 500.0
VOICED = 0.6  # autocorrelation of a periodic frame (Boersma 1993 takes 0.45 after weighting)
LOUD_DB = 25.0  # how far under the loudest frames one may be and still count as sound

SILENT_PEAK = 1e-4  # -80 dBFS
QUIET_DBFS = -50.0  # of the loud frames
LEAST_CLIPPED_RUNS, CLIPPED_RUN = 3, 3
DC_SHARE, DC_LEAST = 0.05, 0.005  # of the peak; of full scale
PHASE_SHARE = 0.1  # what is left of the power when the channels are summed
NARROW_DB = 50.0  # speech has at least this much above 4 kHz, in its loudest fricatives
# As `snr_db` estimates it: white noise 8 dB under speech gives 18, studio speech 45 and more.
NOISY_SNR_DB = 18.0
SHORTEST_S = 0.1
LEAST_VOICED_SHARE, LEAST_VOICED_S = 0.05, 0.1
STEADY_ST = 0.15  # of a tone; a sung note moves more
MUSIC_SHARE = 0.5
SPEAKERS_ST, STRAY_SHARE, LEAST_SPEAKER_S = 7.0, 0.1, 0.8


@dataclass(frozen=True)
class Finding:
    """One thing about a recording. words: for people. spans: where, in seconds; none: all of it."""

    code: Code
    words: str
    spans: tuple[Span, ...] = ()


def findings(audio: Audio) -> tuple[Finding, ...]:
    """What is wrong or unusual, the gravest first; nothing for an ordinary recording.

    Costs 2 ms (16 kHz) to 4 ms (44.1 kHz) for a second of sound.
    """
    if audio.peak < SILENT_PEAK:
        return (Finding("silent", "it is silent: there is nothing to edit"),)
    mono = audio.mono()
    found = [*_of_samples(audio)]
    if audio.duration_s < SHORTEST_S:
        length_ms = 1000 * audio.duration_s
        words = f"it lasts {length_ms:.0f} ms: too short for anything to be found out about a voice"
        return (*found, Finding("short", words))
    if not np.any(np.abs(mono) >= SILENT_PEAK):
        return tuple(found)  # the channels cancel: nothing more can be said of their sum
    found += _of_band(mono, audio.sample_rate)
    found += _of_voice(_Frames.of(mono, audio.sample_rate))
    return tuple(found)


def _of_samples(audio: Audio) -> Iterator[Finding]:
    if clipped := _clipped(audio):
        yield clipped
    offset = float(np.abs(audio.samples.mean(axis=1)).max())
    if offset > max(DC_LEAST, DC_SHARE * audio.peak):
        yield Finding(
            "dc-offset", f"it stands off zero by {offset:.3f} of full scale: cut it with a highpass"
        )
    if audio.channels == 2:
        each = float(np.square(audio.samples).mean())
        if float(np.square(audio.mono()).mean()) < PHASE_SHARE * each and _both_sound(audio):
            yield Finding(
                "out-of-phase", "its channels are out of phase and cancel: turn one of them round"
            )


def _both_sound(audio: Audio) -> bool:
    power = np.square(audio.samples).mean(axis=1)
    return bool(power.min() > 0.1 * power.max())


def _clipped(audio: Audio) -> Finding | None:
    """Runs of equal samples at the very top or bottom: a peak between samples is never flat."""
    tops: list[int] = []
    for channel in audio.samples:
        for extreme in (channel.max(), channel.min()):
            if abs(extreme) >= 0.05:  # few steps of 16 bits are flat by themselves
                tops += _runs(channel == extreme)
    if len(tops) < LEAST_CLIPPED_RUNS:
        return None
    spans = _joined(np.sort(np.array(tops)) / audio.sample_rate, gap_s=0.5)
    return Finding("clipped", f"it is clipped, {len(tops)} times: its peaks are cut flat", spans)


def _runs(flags: NDArray[np.bool_]) -> list[int]:
    """Where runs of at least CLIPPED_RUN begin."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.view(np.int8), [0]])))
    return [int(a) for a, b in edges.reshape(-1, 2) if b - a >= CLIPPED_RUN]


def _joined(seconds: Array, *, gap_s: float) -> tuple[Span, ...]:
    """Moments as spans, those no more than gap_s apart together."""
    cuts = np.flatnonzero(np.diff(seconds) > gap_s) + 1
    return tuple((float(part[0]), float(part[-1])) for part in np.split(seconds, cuts))


def _of_band(mono: Samples, rate: int) -> Iterator[Finding]:
    if rate <= 2 * 4200:
        yield Finding("narrow-band", f"it has {rate} Hz, as a telephone: it has no high sounds")
        return
    size = 1 << int(np.ceil(np.log2(0.02 * rate)))
    count = len(mono) // size
    if count == 0:
        return
    every_other = mono[: count * size].reshape(count, size)[::2]  # enough to find the fricatives
    frames = every_other * np.hanning(size).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    hz = np.fft.rfftfreq(size, 1 / rate)
    low = power[:, (hz >= 300) & (hz < 3400)].sum(axis=1)
    high = power[:, hz >= 4200].sum(axis=1)
    tops = np.percentile(np.stack([low, high]), 98, axis=1)
    if tops[0] > 0 and 10 * np.log10(max(tops[1] / tops[0], 1e-20)) < -NARROW_DB:
        yield Finding(
            "narrow-band", f"it has nothing above 4 kHz, though its rate is {rate} Hz: a telephone?"
        )


@dataclass(frozen=True)
class _Frames:
    """A recording in overlapping frames at 8 kHz. level_db: (frames,). f0: hertz, 0 unvoiced.
    power: (frames, bins) of each frame's spectrum, zero-padded to twice its length.
    """

    level_db: Array
    f0: Array
    power: NDArray[np.float32]

    @property
    def is_loud(self) -> NDArray[np.bool_]:
        """The frames that are not background."""
        loud: NDArray[np.bool_] = self.level_db > np.percentile(self.level_db, 98) - LOUD_DB
        return loud

    @classmethod
    def of(cls, mono: Samples, rate: int) -> _Frames:
        at_rate = soxr.resample(mono, rate, RATE, quality="LQ") if rate != RATE else mono
        padded = np.pad(at_rate, (0, max(0, FRAME - len(at_rate))))
        views = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
        frames = views - views.mean(axis=1, keepdims=True)
        level_db = 10 * np.log10(np.maximum(np.square(frames).mean(axis=1), 1e-12))
        window = np.hanning(FRAME).astype(np.float32)
        power = np.square(np.abs(np.fft.rfft(frames * window, 2 * FRAME, axis=1)))
        return cls(level_db.astype(np.float64), _f0(power, window), power.astype(np.float32))


def _f0(power: Array, window: NDArray[np.float32]) -> Array:
    """f0 of each frame by autocorrelation over the window's own (Boersma 1993), 0 unvoiced."""
    first, end = int(RATE / MAX_F0_HZ), int(RATE / MIN_F0_HZ) + 1
    own = np.fft.irfft(np.square(np.abs(np.fft.rfft(window, 2 * FRAME))))[: end + 1]
    lags = np.fft.irfft(power, axis=1)[:, : end + 1]
    share = (lags / np.maximum(lags[:, :1], 1e-12)) / (own / own[0])
    inner = share[:, first:end]
    is_peak = (inner >= share[:, first - 1 : end - 1]) & (inner > share[:, first + 1 : end + 1])
    # A slight cost for long lags: every multiple of the period is as good a period.
    cost = 0.02 * np.log2(np.arange(first, end) / first)
    scores = np.where(is_peak, inner - cost, -1.0)
    best = scores.argmax(axis=1)
    is_voiced = np.take_along_axis(scores, best[:, None], 1)[:, 0] > VOICED
    f0: Array = np.where(is_voiced, RATE / (best + first), 0.0)
    return f0


def _of_voice(frames: _Frames) -> Iterator[Finding]:
    loud = frames.is_loud
    if np.percentile(frames.level_db, 98) < QUIET_DBFS:
        yield Finding("quiet", "it is very quiet: its loud parts are under -50 dBFS")
    voiced = loud & (frames.f0 > 0)
    if voiced.sum() * HOP_S < LEAST_VOICED_S or voiced.sum() < LEAST_VOICED_SHARE * loud.sum():
        yield Finding("no-voice", "no voice was found in it: noise, or a whisper?")
        return
    semitones = 12 * np.log2(frames.f0[voiced] / 100.0)
    if voiced.sum() * HOP_S >= 0.5 and _spread(semitones) < STEADY_ST:
        hz = np.median(frames.f0[voiced])
        yield Finding("tone", f"its pitch stays at {hz:.0f} Hz: a tone or a machine, not a voice")
        return
    if _steady_share(frames) > MUSIC_SHARE:
        yield Finding("music", "it sounds like music: edits are made for one speaking voice")
        return
    if snr_db(frames.level_db) < NOISY_SNR_DB:
        yield Finding("noisy", "it is very noisy: denoise it first (`denoise`)")
    if two := _two_speakers(frames):
        yield two


def _spread(semitones: Array) -> float:
    low, high = np.percentile(semitones, [10, 90])
    return float(high - low)


def snr_db(level_db: Array) -> float:
    """How far the loud frames stand above the quiet ones; only a recording with pauses has both."""
    floor, top = np.percentile(level_db, [5, 90])
    return float(top - floor)


def _steady_share(frames: _Frames) -> float:
    """How much of the power between 250 Hz and 4 kHz lies in partials that stay where they are.

    A partial is steady that is a peak of every spectrum for 240 ms, within one bin (8 Hz): those
    of a voice glide with its f0, the higher the faster; those of an instrument do not.
    """
    power = frames.power[frames.is_loud]
    hold = 12  # frames
    if len(power) < 2 * hold:
        return 0.0
    first = round(250 / RATE * 2 * FRAME)
    inner = power[:, first:-1]
    is_peak = (inner > power[:, first - 1 : -2]) & (inner >= power[:, first + 1 :])
    is_peak &= inner > 1e-3 * inner.max(axis=1, keepdims=True)
    near = is_peak.copy()  # a peak here or in a neighbouring bin
    near[:, 1:] |= is_peak[:, :-1]
    near[:, :-1] |= is_peak[:, 1:]
    held = np.cumsum(np.pad(near.astype(np.int32), ((1, 0), (0, 0))), axis=0)
    is_held = (held[hold:] - held[:-hold]) == hold  # for all of the frames from here on
    steady = np.zeros(near.shape, bool)
    for shift in range(hold):
        steady[shift : shift + len(is_held)] |= is_held
    steady &= is_peak
    # A peak's power lies in its bin and the one on either side.
    of_peaks = power[:, first - 1 : -2] + inner + power[:, first + 1 :]
    return float((of_peaks * steady).sum() / max(float(inner.sum()), 1e-30))


def _two_speakers(frames: _Frames) -> Finding | None:
    """Phrases in two groups of f0 that lie far apart, with next to nothing between them."""
    phrases = sorted(_phrases(frames), key=lambda phrase: float(np.median(phrase[0])))
    if len(phrases) < 2:
        return None
    medians = [float(np.median(semitones)) for semitones, _ in phrases]
    cut = int(np.argmax(np.diff(medians))) + 1
    if medians[cut] - medians[cut - 1] < SPEAKERS_ST:
        return None
    low, high = (np.concatenate([f0 for f0, _ in side]) for side in (phrases[:cut], phrases[cut:]))
    if min(len(low), len(high)) * HOP_S < LEAST_SPEAKER_S:
        return None
    middle = (np.median(low) + np.median(high)) / 2
    if max((low > middle).mean(), (high < middle).mean()) > STRAY_SHARE:
        return None  # one speaker who goes up and down, or octaves mixed up
    hz = [100 * 2 ** (float(np.median(side)) / 12) for side in (low, high)]
    return Finding(
        "two-speakers",
        f"two people seem to speak in it, at {hz[0]:.0f} and {hz[1]:.0f} Hz: edits take them for "
        "one; cut them apart first",
        tuple(sorted(span for _, span in phrases[cut:])),
    )


def _phrases(frames: _Frames) -> Iterator[tuple[Array, Span]]:
    """f0 of the voiced frames in semitones, and the place, of each stretch between pauses."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], _closed(frames.is_loud), [0]])))
    for a, b in edges.reshape(-1, 2):
        voiced = frames.f0[a:b][frames.f0[a:b] > 0]
        if len(voiced) * HOP_S >= 0.3:
            yield 12 * np.log2(voiced / 100.0), (a * HOP_S, b * HOP_S)


def _closed(flags: NDArray[np.bool_]) -> NDArray[np.int8]:
    """The flags, 0 and 1, with gaps under 150 ms filled: those are stops, not pauses."""
    out = flags.astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], flags.view(np.int8), [1]])))
    for a, b in edges.reshape(-1, 2):
        if (b - a) * HOP_S < 0.15:
            out[a:b] = 1
    return out
