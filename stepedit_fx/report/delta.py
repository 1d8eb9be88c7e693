"""What one stage took away from another, where the two can be laid on each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stepedit_fx.audio import Audio, Samples, TimeMap
from stepedit_fx.timeline import at

# Of two stretches, how much their lengths may differ to be the same sound moved, not stretched.
STRETCH_TOLERANCE = 1e-4
LEAST_SHARE = 0.25
# Correlation of the two: a difference between sounds less alike than this is only their sum.
LEAST_LIKENESS = 0.4


@dataclass(frozen=True)
class Delta:
    """One stage less the next, level-matched, on the clock of the first.

    gain_db: what the second was raised by before it was taken off. share: how much of the first
    lies at the same pace in the second; the rest is silent here. level_dbfs: peak.
    """

    audio: Audio
    gain_db: float
    share: float
    level_dbfs: float


def delta_of(before: Audio, after: Audio) -> Delta | None:
    """What `after` lacks of `before`; None where they have too little in common to be subtracted.

    The gain is the one that leaves least, so that a change of level alone leaves nothing.
    """
    if before.sample_rate != after.sample_rate or before.frames == 0:
        return None
    first, second = before.mono(), after.mono()
    laid = np.zeros_like(first)
    is_kept = np.zeros(len(first), bool)  # the sound is heard in both
    is_gone = np.zeros(len(first), bool)  # cut out: all of it is taken away
    for start, end, there in _pieces(before, after):
        if there is None:
            is_gone[start:end] = True
            continue
        length = min(end - start, len(second) - there)
        if length > 0 and there >= 0:
            laid[start : start + length] = second[there : there + length]
            is_kept[start : start + length] = True
    share = float((is_kept | is_gone).mean())
    if share < LEAST_SHARE or _likeness(first[is_kept], laid[is_kept]) < LEAST_LIKENESS:
        return None
    gain = _best_gain(first[is_kept], laid[is_kept])
    left = np.where(is_kept, first - gain * laid, np.where(is_gone, first, 0)).astype(np.float32)
    peak = float(np.abs(left).max(initial=0.0))
    return Delta(
        Audio(left[None], before.sample_rate, before.start_s, time_map=before.time_map),
        20 * float(np.log10(max(gain, 1e-6))),
        share,
        20 * float(np.log10(max(peak, 1e-6))),
    )


def _likeness(first: Samples, second: Samples) -> float:
    power = float(np.dot(first, first)) * float(np.dot(second, second))
    return float(np.dot(first, second)) / np.sqrt(power) if power > 0 else 0.0


def _best_gain(first: Samples, second: Samples) -> float:
    power = float(np.dot(second, second))
    gain = float(np.dot(first, second)) / power if power > 0 else 0.0
    return gain if gain > 0 else 1.0


def _pieces(before: Audio, after: Audio) -> Iterator[tuple[int, int, int | None]]:
    """Spans of `before` (first frame, end) with the frame of `after` where each lies.

    None for a span that was cut out; spans that were stretched are left out.
    """
    rate = before.sample_rate
    for start_s, end_s, there_s, there_end_s in _laid(before, after):
        start, end = round(start_s * rate), min(round(end_s * rate), before.frames)
        length, there_length = end - start, round(there_end_s * rate) - round(there_s * rate)
        if length > 0 and there_length == 0:
            yield start, end, None
        elif abs(there_length - length) <= max(STRETCH_TOLERANCE * length, 1):
            yield start, end, round(there_s * rate)


def _laid(before: Audio, after: Audio) -> Iterator[tuple[float, float, float, float]]:
    """Spans (start, end) in `before` with their start and end in `after`, in seconds."""
    own, its = before.time_map, after.time_map
    length_s = own[-1][0] if own else before.duration_s
    sources = sorted({0.0, length_s, *(s for s, _ in own), *(s for s, _ in its)})
    for start_s, end_s in pairwise(sources):
        yield (*_span(own, start_s, end_s), *_span(its, start_s, end_s))


def _span(time_map: TimeMap, start_s: float, end_s: float) -> tuple[float, float]:
    """Where a span of the recording is heard: after what was put in where it begins, and before
    what was put in where it ends.
    """
    return at(time_map, start_s), at(time_map, end_s, is_end=True)
