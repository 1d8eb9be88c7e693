"""Edits that change over time, for a model that edits whole clips: pieces cut at pauses.

Where an edit changes, the take is cut at the pause there, or at the quietest spot near; each piece
then has an edit of its own that does not change. What strength comes to nothing in stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.engines.step_audio.takes import Reference, Segment, Source, pack, unpack
from stepedit_fx.engines.step_audio.vocabulary import GROUP, GROUP_S
from stepedit_fx.errors import RequestError
from stepedit_fx.measures import FRAME_S, find_pauses, track_level
from stepedit_fx.speech import Edit, Speech

SNAP_S = 0.6  # a pause this near is where the change is made
QUIET_S = 0.3  # else at the quietest spot this near
SHORTEST_S = 1.0  # the model needs some words around to say one well
GRID_S = 0.01  # how finely an edit is looked at

Frames = NDArray[np.int64]


def is_over_time(edit: Edit) -> bool:
    return bool(edit.strengths or edit.values)


def split(take: Speech, edit: Edit) -> tuple[Speech, list[Edit]]:
    """The take cut where the edit changes, and the edit of each of its segments.

    An edit that does not change leaves the take as it is and stands alone in the list. Raises
    RequestError for new words, which have no source whose clock could count.
    """
    if not is_over_time(edit):
        return take, [edit]
    segments, around = unpack(take)
    source = Source.of(take.voice)
    if len({segment.reference for segment in segments}) < len(segments) or any(
        segment.words is not None for segment in segments
    ):
        raise RequestError(
            "an edit over time goes by the source's clock, and a clone has none",
            remedy="Write the clone to a file first, and edit that.",
        )
    rate = take.place.sample_rate
    cuts = _cuts(source, edit, rate)
    pieces = [
        piece
        for segment in segments
        for piece in _cut(segment, source.references[segment.reference], cuts, rate)
    ]
    references = tuple(reference for _, reference in pieces)
    numbered = [replace(one, reference=n) for n, (one, _) in enumerate(pieces)]
    voice = replace(source, references=references).voice()
    edits = [_still(edit, one.span[0] / rate, one.span[1] / rate) for one in references]
    return pack(numbered, around, voice, take.place, take.transcript), edits


def _cuts(source: Source, edit: Edit, rate: int) -> Frames:
    """The frames of the source to cut at."""
    level_db = track_level(source.samples.mean(axis=0), rate)
    pauses = find_pauses(level_db, np.zeros(len(level_db)))
    middles = np.array([(a + b) / 2 for a, b in pauses])
    cuts = []
    for second in _changes(edit, source.samples.shape[1] / rate):
        at = second / FRAME_S
        near = middles[np.abs(middles - at) <= SNAP_S / FRAME_S]
        if len(near):
            cuts.append(float(near[np.argmin(np.abs(near - at))]))
            continue
        first = max(int(at - QUIET_S / FRAME_S), 0)
        around = level_db[first : int(at + QUIET_S / FRAME_S) + 1]
        if len(around):
            cuts.append(first + int(np.argmin(around)))
    return np.unique(np.round(np.array(cuts) * FRAME_S * rate).astype(np.int64))


def _changes(edit: Edit, duration_s: float) -> Iterator[float]:
    """When the edit becomes another one: its tag, or how often it is done."""
    seconds = np.arange(0.0, duration_s, GRID_S)
    states = [_state(edit, np.array([second])) for second in seconds]
    for (_, before), (second, after) in pairwise(zip(seconds, states, strict=True)):
        if after != before:
            yield float(second)


def _state(edit: Edit, seconds: NDArray[np.float64]) -> tuple[str, int]:
    """The tag in the middle of some seconds, and how often the edit is done there on average."""
    strength, value = edit.strength, edit.value
    if edit.strengths:
        times, strengths = zip(*edit.strengths, strict=True)
        strength = float(np.interp(seconds, times, strengths).mean())
    for at, one in edit.values:
        if at <= seconds[len(seconds) // 2]:
            value = one
    return value, math.floor(strength * edit.iterations + 0.5)


def _still(edit: Edit, start_s: float, end_s: float) -> Edit:
    """The edit of one piece: as often as its strength there comes to on average."""
    value, times = _state(edit, np.arange(start_s, max(end_s, start_s + GRID_S), GRID_S))
    return replace(
        edit,
        value=value,
        strength=float(times > 0),
        iterations=max(times, 1),
        strengths=(),
        values=(),
    )


def _cut(
    segment: Segment, reference: Reference, cuts: Frames, rate: int
) -> Iterator[tuple[Segment, Reference]]:
    """A segment and what it sounds like, in pieces of whole groups."""
    groups = len(reference.tokens) // GROUP
    said = len(segment.tokens) // GROUP  # more or fewer, once it has been edited
    start = reference.span[0] - reference.padding[0]
    least = math.ceil(SHORTEST_S / GROUP_S)
    edges = [0]
    for cut in cuts.tolist():
        at = round((cut - start) / (GROUP_S * rate))
        if at - edges[-1] >= least and groups - at >= least:
            edges.append(at)
    for first, end in pairwise([*edges, groups]):
        a, b = (round(edge * said / groups) for edge in (first, end))
        yield (
            replace(segment, tokens=segment.tokens[a * GROUP : b * GROUP]),
            _part(reference, first, end, groups, rate),
        )


def _part(reference: Reference, first: int, end: int, groups: int, rate: int) -> Reference:
    """Groups first to end of what a segment sounds like."""
    start = reference.span[0] - reference.padding[0]
    a, b = (start + round(edge * GROUP_S * rate) for edge in (first, end))
    mel_frames = len(reference.mel) // groups
    is_first, is_last = first == 0, end == groups
    return Reference(
        span=(
            reference.span[0] if is_first else a,
            reference.span[1] if is_last else b,
        ),
        padding=(reference.padding[0] * is_first, reference.padding[1] * is_last),
        tokens=reference.tokens[first * GROUP : end * GROUP],
        mel=reference.mel[first * mel_frames : end * mel_frames],
        gain=reference.gain,
    )


def of_segment(edits: Sequence[Edit], number: int) -> Edit:
    """The edit of a segment, of those that `split` gave."""
    return edits[number] if len(edits) > 1 else edits[0]
