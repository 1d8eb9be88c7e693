"""A clip made ready for the tokenizers: level, rates, and silence trimmed with what went noted.

One span of the clip is kept, in three forms. All come from the same samples, so that codes, prompt
mel and speaker describe the same sound (the reference takes codes from trimmed sound, but mel and
speaker from all of it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.errors import NothingToEdit

CODE_RATE_HZ = 16000
MEL_RATE_HZ = 24000

PROMPT_PEAK = 0.6  # a louder clip is brought down to it
CODE_PEAK = 0.999  # what the tokenizers hear
QUIETEST_PEAK = 0.01  # a quieter clip is raised as if it had this peak
SILENT_PEAK = 1e-4  # -80 dB: dither alone

# librosa's trim: frames quieter than this below the loudest one are silence.
TRIM_DB = 20.0
TRIM_FRAME = 512  # samples at 16 kHz
TRIM_HOP = 128
KEPT_BEFORE = 800  # samples: 50 ms
KEPT_AFTER = 3520  # 220 ms
KEPT_HOP = 240  # what is kept between them is whole hops of 15 ms
SHORTEST_S = 0.3  # of sound kept: two groups of codes


@dataclass(frozen=True)
class Kept:
    """A span of samples at 16 kHz; it may reach beyond the clip, where it is zeros."""

    start: int
    end: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """The kept span of one clip.

    samples_16k: (n,) float32 with peak 0.999 over the whole clip, for the tokenizers.
    prompt_16k: (n,), the same at the prompt's level (peak at most 0.6), for the speaker encoder.
    samples_24k: (n * 3 / 2,), the same at the prompt's level, for the prompt mel.
    gain: the source was multiplied by it to come to the prompt's level.
    start_frame, end_frame: the span in the source's frames, within the source.
    padding_before_frames, padding_after_frames: zeros that the span has beyond the source's ends,
    in frames at the source's rate.
    """

    samples_16k: Samples
    prompt_16k: Samples
    samples_24k: Samples
    gain: float
    start_frame: int
    end_frame: int
    padding_before_frames: int
    padding_after_frames: int


def prepare(samples: Samples, sample_rate: int) -> Prepared:
    """Level, resample and trim one clip.

    samples: (frames,) mono, finite, at 8 to 192 kHz. Raises EngineError for silence, and where less
    than 0.3 s of sound is left.
    """
    peak = _peak(samples)
    if peak < SILENT_PEAK:
        raise NothingToEdit(
            "the clip is silent", remedy="Give speech that peaks above -80 dB full scale."
        )
    gain = min(1.0, PROMPT_PEAK / peak)
    prompt = samples if gain == 1.0 else samples * np.float32(gain)
    prompt_16k = _resampled(prompt, sample_rate, CODE_RATE_HZ)
    levelled = code_level(prompt_16k)
    kept = kept_span(levelled)
    frames = len(samples)
    start, end = (round(n * sample_rate / CODE_RATE_HZ) for n in (kept.start, kept.end))
    start_frame, end_frame = max(start, 0), min(end, frames)
    if end_frame - start_frame < SHORTEST_S * sample_rate:
        raise NothingToEdit(
            f"only {(end_frame - start_frame) / sample_rate:.2f} s of sound is left of "
            f"{frames / sample_rate:.2f} s",
            remedy=f"Give at least {SHORTEST_S} s of speech.",
        )
    at_24k = Kept(kept.start * 3 // 2, kept.end * 3 // 2)  # both ends are even
    return Prepared(
        samples_16k=cut(levelled, kept),
        prompt_16k=cut(prompt_16k, kept),
        samples_24k=cut(_resampled(prompt, sample_rate, MEL_RATE_HZ), at_24k),
        gain=gain,
        start_frame=start_frame,
        end_frame=end_frame,
        padding_before_frames=start_frame - start,
        padding_after_frames=end - end_frame,
    )


def code_level(samples: Samples) -> Samples:
    """Samples scaled to the peak that the tokenizers were trained on."""
    # In this order each sample rounds as it does in the reference.
    scaled: Samples = samples / np.float32(max(_peak(samples), QUIETEST_PEAK))
    return scaled * np.float32(CODE_PEAK)


def kept_span(samples: Samples) -> Kept:
    """Where speech is, with 50 ms before and 220 ms after, in samples at 16 kHz.

    samples: (n,), not empty. The span's length is 0.27 s and whole hops of 15 ms; both ends are
    even, so that they are whole samples at 24 kHz too.
    """
    loud = np.flatnonzero(_frame_power_db(samples) > -TRIM_DB)
    first = int(loud[0]) * TRIM_HOP
    last = min((int(loud[-1]) + 1) * TRIM_HOP, len(samples))
    hops = -(-(last - first) // KEPT_HOP)
    return Kept(first - KEPT_BEFORE, first + hops * KEPT_HOP + KEPT_AFTER)


def cut(samples: Samples, kept: Kept) -> Samples:
    """The samples of a span, zeros where it reaches beyond them, (end - start,)."""
    out = np.zeros(kept.end - kept.start, np.float32)
    inside = samples[max(kept.start, 0) : max(kept.end, 0)]
    at = max(-kept.start, 0)
    out[at : at + len(inside)] = inside
    return out


def _frame_power_db(samples: Samples) -> NDArray[np.float64]:
    """Power of centred frames against the loudest one; frames of four hops, so sums of four."""
    hops = len(samples) // TRIM_HOP + TRIM_FRAME // TRIM_HOP
    padded = np.zeros(hops * TRIM_HOP, np.float32)
    padded[TRIM_FRAME // 2 :][: len(samples)] = samples
    rows = padded.reshape(hops, TRIM_HOP)
    of_hop = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)  # (hops,)
    power = np.lib.stride_tricks.sliding_window_view(of_hop, TRIM_FRAME // TRIM_HOP).sum(axis=1)
    # librosa's floor on an amplitude is 1e-5, so 1e-10 on the mean square.
    decibels = 10 * np.log10(np.maximum(power / TRIM_FRAME, 1e-10))
    return np.asarray(decibels - decibels.max(), np.float64)


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0.0))


def _resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted:
        return samples
    return np.asarray(soxr.resample(samples, rate, wanted, quality="VHQ"), np.float32)
