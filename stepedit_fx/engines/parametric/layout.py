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

from stepedit_fx.audio import TimeMap
from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, at_samples, limited
from stepedit_fx.measures import FRAME_S
from stepedit_fx.timeline import at, inverse, reduced, simplest

MAX_PIECE_S = 15.0  # bounds what a piece takes while it is rendered
FASTER = 1.3  # how fast speech may go beside a sound that needs room
MOST_GIVEN = 0.9  # of any time, however short the recording is
PAUSE_GIVES = 0.8  # the share of a pause that such a sound may take
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
    here, shift = 0, 0
    for first, end, pause, insert in _spans(analysis, inserts, edges):
        span = (analysis.sample_of(first), analysis.sample_of(end))
        length, insert_at = span[1] - span[0], 0
        if abs(position[end] - position[first] - length) > 1e-3:
            # What the pieces before were rounded by is made good where something stretches anyway.
            length = max(round(float(position[end])) + shift - here, 0)
        if insert is not None:
            room = max(length, len(insert.samples) + 2 * insert.room)
            # A breath belongs to what follows, so it sits late in a pause longer than it; but
            # after the last word it follows that.
            late = room - insert.room - len(insert.samples)
            insert_at = insert.room if end >= analysis.frames - 1 else late
            shift += room - length
            length = room
        pieces.append(Piece(*span, here, length, pause or insert is not None, insert, insert_at))
        here += length
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


def borrowed(analysis: Analysis, inserts: Sequence[Insert]) -> Curve:
    """A duration curve that makes room for sounds where nothing else may move.

    What a sound needs beyond the pause that it is put into is taken from the time around it, as
    near as can be, by pauses first to give; further off everything stays where it is.
    """
    gives = np.full(analysis.frames, 1 - 1 / FASTER)  # the share of each frame that it can give
    for first, end in analysis.pauses:
        gives[first:end] = PAUSE_GIVES
    taken = np.zeros(analysis.frames)
    for first, end, _, insert in _spans(analysis, inserts, ()):
        if insert is None:
            continue
        need = len(insert.samples) + 2 * insert.room
        missing = (need / analysis.rate) / FRAME_S - (end - first)
        gives[first:end] = 0.0
        if 0 < gives.sum() < missing:  # a short recording: all of it goes as fast as it takes
            gives = np.minimum(gives * (1.001 * missing / gives.sum()), MOST_GIVEN - taken)
        before, after = slice(first - 1, None, -1) if first else slice(0, 0), slice(end, -1)
        for side, wanted in ((before, missing / 2), (after, None), (before, None)):
            left = missing if wanted is None else wanted
            given = np.diff(np.minimum(np.cumsum(gives[side]), max(left, 0.0)), prepend=0.0)
            gives[side] -= given
            taken[side] += given
            missing -= float(given.sum())
    return np.log(np.maximum(1 - taken, 1e-3)).astype(np.float32)


def time_map(pieces: Sequence[Piece], curves: Mapping[str, Curve], analysis: Analysis) -> TimeMap:
    """Where the source is heard in the output, in seconds."""
    knots: list[tuple[float, float]] = []
    for piece in pieces:
        knots += _pause_knots(piece) if piece.pause else _speech_knots(piece, curves, analysis.rate)
    return simplest((there / analysis.rate, here / analysis.rate) for there, here in knots)


def _pause_knots(piece: Piece) -> list[tuple[float, float]]:
    """A pause is cut or filled in its middle; what a sound lies over is not heard."""
    now, until = piece.end - piece.first, piece.at + piece.length
    kept = min(now, piece.length) / 2
    left, right = (piece.first + kept, piece.at + kept), (piece.end - kept, until - kept)
    knots = [(float(piece.first), float(piece.at)), left, right, (float(piece.end), float(until))]
    if piece.insert is None:
        return knots
    sound = piece.at + piece.insert_at
    ends = (float(sound), float(sound + len(piece.insert.samples)))
    back = inverse(tuple(knots))
    under = (at(back, ends[0], is_end=True), at(back, ends[1]))
    return [
        *(knot for knot in knots if knot[1] < ends[0]),
        *((under[0], end) for end in ends),
        (under[1], ends[1]),
        *(knot for knot in knots if knot[1] > ends[1]),
    ]


def _speech_knots(
    piece: Piece, curves: Mapping[str, Curve], rate: int
) -> list[tuple[float, float]]:
    ends = [(piece.first, piece.at), (piece.end, piece.at + piece.length)]
    if piece.length == 0 or is_still(piece, curves, rate):
        return [(float(a), float(b)) for a, b in ends]
    sums = np.concatenate([[0.0], np.cumsum(stretch_of(piece, curves, rate))])
    steps = np.unique([*range(0, len(sums), max(1, round(FRAME_S * rate))), len(sums) - 1])
    inside = reduced(steps / rate, sums[steps] / rate)
    return [(piece.first + a * rate, piece.at + b * rate) for a, b in inside]


def is_still(piece: Piece, curves: Mapping[str, Curve], rate: int) -> bool:
    """Whether nothing stretches a piece."""
    if "stretch_ln" not in curves or piece.length != piece.end - piece.first:
        return piece.length == piece.end - piece.first
    step = FRAME_S * rate
    # Its own frames alone: a pause that is cut beside it must not take it through the stretcher.
    a, b = round(piece.first / step), round(piece.end / step)
    return not curves["stretch_ln"][a : max(b, a + 1)].any()


def stretch_of(piece: Piece, curves: Mapping[str, Curve], rate: int) -> np.ndarray:
    """How far each sample of a piece is stretched, (end - first,); its length in all."""
    stretch = np.ones(piece.end - piece.first)
    if "stretch_ln" in curves and len(stretch):
        frames = len(curves["stretch_ln"])
        stretch = np.exp(
            at_samples(limited(curves, "stretch_ln", frames), piece.first, piece.end, rate)
        )
        stretch *= piece.length / stretch.sum()
    return stretch


def total_length(pieces: Sequence[Piece]) -> int:
    """Output samples in all."""
    return max((p.at + p.length for p in pieces), default=0)
