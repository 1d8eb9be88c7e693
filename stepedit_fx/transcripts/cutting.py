"""Long sound in stretches that a recognizer takes, cut where it is quiet for longest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import numpy as np

from stepedit_fx.audio import Samples

RATE = 16_000  # that recognizers take
_HOP = round(0.05 * RATE)
_PAUSE_HOPS = 7  # 0.35 s: a pause is long as well as quiet


def resampled(parts: Iterable[Samples], rate: int) -> Iterator[Samples]:
    """Sound in parts, (channels, frames) at `rate`, mixed to mono at RATE, (frames,) each."""
    import soxr

    resampler = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    end = np.zeros((1, 0), np.float32)
    for part, following in pairwise(chain(parts, [end])):
        mono = part.mean(axis=0, dtype=np.float32)
        yield resampler.resample_chunk(mono, last=following is end)


def stretches(sound: Samples, longest_s: float) -> list[tuple[int, int]]:
    """Samples first..end of runs of at most `longest_s` seconds. sound: (frames,) at RATE."""
    longest = round(longest_s * RATE)
    spans = []
    first = 0
    while len(sound) - first > longest:
        end = first + quiet_cut(sound[first : first + longest])
        spans.append((first, end))
        first = end
    return [*spans, (first, len(sound))]


def quiet_cut(sound: Samples) -> int:
    """The middle of the quietest third of a second in the second half of a sound."""
    half = len(sound) // 2
    hops = (len(sound) - half) // _HOP
    if hops < _PAUSE_HOPS:
        return len(sound)
    power = np.square(sound[half : half + hops * _HOP].reshape(hops, _HOP)).mean(axis=1)
    quiet = np.convolve(10 * np.log10(power + 1e-9), np.ones(_PAUSE_HOPS), "valid")
    return half + round((int(np.argmin(quiet)) + _PAUSE_HOPS / 2) * _HOP)


def whole(parts: Iterable[Samples], rate: int) -> Samples:
    """All of a sound as `resampled` gives it, (frames,) at RATE: 230 MB for an hour."""
    return np.concatenate([np.zeros(0, np.float32), *resampled(parts, rate)])
