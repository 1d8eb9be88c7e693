"""Which stretch of the source becomes which stretch of the output, to the sample.

The source is cut where a listener cannot hear a seam: at pauses, and inside long runs of speech
where the level is lowest. Every piece has an exact length in the output, so that what follows
never drifts, whatever the time-stretcher makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, limited
from stepedit_fx.measures import FRAME_S

MAX_PIECE_S = 15.0  # bounds what a piece takes while it is rendered
SEARCH_S = 3.0  # how far from the even cut a quieter place is looked for


@dataclass(frozen=True, eq=False)
class Insert:
    """A sound to put in at a frame of the source: samples (frames at rate,), and room around."""

    frame: int
    samples: np.ndarray
    room: int  # samples of pause wanted before and after


@dataclass(frozen=True)
class Piece:
    """Source samples first..end become `length` output samples, starting at `at`.

    insert: the sound laid over this piece, at `insert_at` samples after its start.
    """

    first: int
    end: int
    at: int
    length: int
    pause: bool
    insert: Insert | None = None
    insert_at: int = 0


def lay_out(
    analysis: Analysis,
    curves: Mapping[str, Curve],
    inserts: Sequence[Insert],
    edges: Sequence[int] = (),
) -> tuple[Piece, ...]:
    """The pieces in order: they cover the source and the output without a gap.

    edges: frames to cut at as well, between what is edited and what is not.
    """
    position = _positions(analysis, curves)
    pieces: list[Piece] = []
    shift = 0
    for first, end, pause, insert in _spans(analysis, inserts, edges):
        at, until = round(float(position[first])), round(float(position[end]))
        length, insert_at = until - at, 0
        if insert is not None:
            length = max(length, len(insert.samples) + 2 * insert.room)
            # A breath belongs to what follows, so it sits late in a pause longer than it; but
            # after the last word it follows that.
            late = length - insert.room - len(insert.samples)
            insert_at = insert.room if end >= analysis.frames - 1 else late
        span = (analysis.sample_of(first), analysis.sample_of(end))
        pieces.append(
            Piece(*span, at + shift, length, pause or insert is not None, insert, insert_at)
        )
        shift += length - (until - at)
    return tuple(pieces)


def _positions(analysis: Analysis, curves: Mapping[str, Curve]) -> np.ndarray:
    """The output sample of each frame of the source, sounds left out, (frames,)."""
    source = np.array([analysis.sample_of(k) for k in range(analysis.frames)], np.float64)
    if "stretch_ln" not in curves:
        return source
    stretch = np.exp(limited(curves, "stretch_ln", analysis.frames).astype(np.float64))
    # Frame k's factor holds from k to k + 1: spans of frames are then exact sums.
    steps = np.diff(source) * stretch[:-1]
    return np.concatenate([[0.0], np.cumsum(steps)])


def _spans(
    analysis: Analysis, inserts: Sequence[Insert], edges: Sequence[int]
) -> list[tuple[int, int, bool, Insert | None]]:
    """Spans of frames, each a pause or speech, cut where a sound goes in and where too long."""
    last = analysis.frames - 1
    pauses = [(min(a, last), min(b, last)) for a, b in analysis.pauses]
    cuts = {0, last, *(edge for span in pauses for edge in span)}
    cuts.update(edge for edge in edges if 0 < edge < last)
    waiting = sorted(inserts, key=lambda i: i.frame)
    out: list[tuple[int, int, bool, Insert | None]] = []
    for first, end in pairwise(sorted(cuts)):
        pause = any(a <= first and end <= b for a, b in pauses)
        here = [i for i in waiting if first <= i.frame < end or (i.frame >= last and end == last)]
        waiting = [i for i in waiting if i not in here]
        if pause and len(here) == 1:
            out.append((first, end, True, here[0]))
            continue
        at = first
        for insert in here:
            frame = min(max(insert.frame, at), end)
            out += [(a, b, pause, None) for a, b in _short(analysis, at, frame)]
            out.append((frame, frame, True, insert))
            at = frame
        out += [(a, b, pause, None) for a, b in _short(analysis, at, end)]
    return out


def _short(analysis: Analysis, first: int, end: int) -> list[tuple[int, int]]:
    """first..end in runs of at most MAX_PIECE_S, cut at the quietest frame near the even cut."""
    longest = round(MAX_PIECE_S / FRAME_S)
    cuts = [first]
    while end - cuts[-1] > longest:
        near = cuts[-1] + longest - round(SEARCH_S / FRAME_S)
        far = min(cuts[-1] + longest, end - 1)
        cuts.append(near + int(np.argmin(analysis.level_db[near:far])))
    cuts.append(end)
    return [(a, b) for a, b in pairwise(cuts) if b > a]


def map_time(pieces: Sequence[Piece], analysis: Analysis, seconds: float) -> float:
    """Where a moment of the source is heard in the output, in seconds (linear inside a piece)."""
    sample = seconds * analysis.rate
    for piece in pieces:
        if sample <= piece.end and piece.end > piece.first:
            share = (sample - piece.first) / (piece.end - piece.first)
            return float(piece.at + share * piece.length) / analysis.rate
    return total_length(pieces) / analysis.rate


def total_length(pieces: Sequence[Piece]) -> int:
    """Output samples in all."""
    return max((p.at + p.length for p in pieces), default=0)
