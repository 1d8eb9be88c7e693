"""Where sound stands: maps of time, and a result put back in the place of its source.

A map is a tuple of (second there, second here) knots, straight between them. Where it stands still
there, something was put in; where it stands still here, something was cut. Empty: nothing moved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Audio, Samples, TimeMap
from stepedit_fx.errors import RequestError
from stepedit_fx.loudness import limited, loudness_lufs, true_peak
from stepedit_fx.speech import Place, Transcript, Word

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Length = Literal["free", "lock"] | float  # a number: how far off it may be, as a share

SEAM_S = 0.005  # half of the cross-fade between pieces
TOLERANCE_S = 0.0005  # within which knots of a map may be left out
PAUSES_GIVE = 4.0  # how much more readily than speech a pause is stretched
LEAST, MOST = 0.25, 4.0  # how far anything is stretched
WARNED = 0.05  # a stretch beyond this is said at warning level
SLIP_S = 0.001  # what an engine that keeps its time may be off by, from rounding
SAME_LU = 0.1  # a difference in loudness that is left alone
MOST_GAIN_DB = 20.0


# Maps


def at(time_map: TimeMap, second: float, *, is_end: bool = False) -> float:
    """Where a moment is heard; of one where something was put in, after that, or before (is_end).

    Beyond the map time goes on as it did there.
    """
    if not time_map:
        return second
    there, here = np.array(time_map).T
    index = int(np.searchsorted(there, second, side="left" if is_end else "right"))
    if index == 0:
        return float(here[0] + second - there[0])
    if index == len(there):
        return float(here[-1] + second - there[-1])
    width = there[index] - there[index - 1]
    share = (second - there[index - 1]) / width
    return float(here[index - 1] + share * (here[index] - here[index - 1]))


def inverse(time_map: TimeMap) -> TimeMap:
    """The map the other way."""
    return tuple((here, there) for there, here in time_map)


def moved(transcript: Transcript, time_map: TimeMap) -> Transcript:
    """A transcript with its words' times where the map says that they are heard."""
    if not time_map or not transcript.words:
        return transcript
    words = (
        Word(w.text, at(time_map, w.start_s), at(time_map, w.end_s, is_end=True))
        for w in transcript.words
    )
    return replace(
        transcript, words=tuple(replace(w, end_s=max(w.start_s, w.end_s)) for w in words)
    )


def composed(first: TimeMap, then: TimeMap) -> TimeMap:
    """The map that goes by one and then by the other."""
    if not first or not then:
        return first or then
    back = inverse(first)
    knots = [(a, at(then, b, is_end=side)) for a, b in first for side in (True, False)]
    knots += [(at(back, b, is_end=side), c) for b, c in then for side in (True, False)]
    low, high = knots[0][0], first[-1][0]
    within = [(min(max(a, low), high), c) for a, c in knots]
    return simplest(sorted(within))


def simplest(knots: Iterable[tuple[float, float]]) -> TimeMap:
    """A map without the knots that say nothing; empty where none has moved."""
    out: list[tuple[float, float]] = []
    for knot in knots:
        here = (float(knot[0]), float(knot[1]))
        if out and _is_near(out[-1], here):
            continue
        while len(out) > 1 and _is_straight(out[-2], out[-1], here):
            out.pop()
        out.append(here)
    if all(abs(there - here) < 1e-9 for there, here in out):
        return ()
    return tuple(out)


def _is_near(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return abs(a[0] - b[0]) < 1e-9 and abs(a[1] - b[1]) < 1e-9


def _is_straight(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    across = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    return abs(across) <= 1e-9 * max(c[0] - a[0], c[1] - a[1])


def reduced(there: Floats, here: Floats) -> list[tuple[float, float]]:
    """As few knots of a curve as keep it right to half a millisecond (Douglas & Peucker 1973)."""
    kept, open_spans = {0, len(there) - 1}, [(0, len(there) - 1)]
    while open_spans:
        first, last = open_spans.pop()
        if last - first < 2:
            continue
        inner = slice(first + 1, last)
        line = np.interp(there[inner], there[[first, last]], here[[first, last]])
        off = np.abs(here[inner] - line)
        worst = int(np.argmax(off))
        if off[worst] > TOLERANCE_S:
            middle = first + 1 + worst
            kept.add(middle)
            open_spans += [(first, middle), (middle, last)]
    return [(float(there[k]), float(here[k])) for k in sorted(kept)]


# Placing


def placed(
    audio: Audio, place: Place, length: Length, *, is_matched: bool, true_peak_db: float
) -> Audio:
    """A decoded take back where its source stood: as long as asked, as loud, no higher peaks.

    What has not been changed comes back as it is. Raises RequestError where the length cannot be.
    """
    audio = fitted(audio, place.frames, length)
    if is_matched and place.loudness_lufs is not None:
        audio = as_loud(audio, place.loudness_lufs)
    ceiling = 10 ** (true_peak_db / 20)
    if place.true_peak > ceiling and true_peak(audio.samples, audio.sample_rate) == place.true_peak:
        return audio  # its loudest moment is the source's own
    # As high as the source, but over full scale an integer file would clip it.
    ceiling = max(ceiling, min(place.true_peak, 1.0))
    samples = limited(audio.samples, audio.sample_rate, ceiling)
    return audio if samples is audio.samples else audio.with_samples(samples)


def as_loud(audio: Audio, loudness: float) -> Audio:
    """The audio at a loudness in LUFS, by one gain; what was put in does not count."""
    is_heard = np.ones(audio.frames, np.bool_)
    for (there, first), (still, end) in pairwise(audio.time_map):
        if still == there:
            is_heard[round(first * audio.sample_rate) : round(end * audio.sample_rate)] = False
    heard = audio.samples if is_heard.all() else audio.samples[:, is_heard]
    missing = loudness - loudness_lufs(heard, audio.sample_rate)
    if not np.isfinite(missing) or abs(missing) < SAME_LU:
        return audio
    gain = 10 ** (float(np.clip(missing, -MOST_GAIN_DB, MOST_GAIN_DB)) / 20)
    return audio.with_samples(audio.samples * np.float32(gain))


def fitted(audio: Audio, frames: int, length: Length) -> Audio:
    """The audio, of a source this many frames long, as long as asked.

    lock: every moment where the source had it. One that is as long as its source already was
    made so by its engine and stays. Raises RequestError where it would be stretched too far.
    """
    if length == "free" or audio.frames == frames:
        return audio
    if length == "lock" and abs(audio.frames - frames) <= SLIP_S * audio.sample_rate:
        return audio.with_samples(_around(audio.samples, 0, frames))
    if length == "lock":
        spans = _home(audio, frames)
        # Where too little time is left for some stretch, all of it has to give.
        return _laid(audio, spans if all(map(_is_near_enough, spans)) else _whole(audio, frames))
    least, most = np.ceil(frames * (1 - length)), np.floor(frames * (1 + length))
    wanted = int(np.clip(audio.frames, least, most))
    if wanted == audio.frames:
        return audio
    return _laid(audio, _whole(audio, wanted))


@dataclass(frozen=True)
class _Span:
    """Frames first to end of what there is, and how many they are to become."""

    first: int
    end: int
    length: int
    is_even: bool = True  # or pauses stretch before speech

    @property
    def now(self) -> int:
        return self.end - self.first


def _whole(audio: Audio, length: int) -> list[_Span]:
    return [_Span(0, audio.frames, length, is_even=False)]


def _is_near_enough(span: _Span) -> bool:
    return span.now == 0 or LEAST <= span.length / span.now <= MOST


def _home(audio: Audio, frames: int) -> list[_Span]:
    """Spans between moments of the source, each as long as there.

    A span with a cut or an addition in it reaches to the next moments around that went straight.
    """
    rate = audio.sample_rate
    ends = (frames / rate, audio.duration_s)
    known = audio.time_map or ((0.0, 0.0), ends)
    knots = [
        (0, 0),
        *((round(a * rate), round(b * rate)) for a, b in known),
        (frames, audio.frames),
    ]
    knots = [knot for knot, _ in groupby(knots)]
    is_sound = [c > a and d > b for (a, b), (c, d) in pairwise(knots)]
    inner = [k for k, both in zip(knots[1:-1], pairwise(is_sound), strict=True) if all(both)]
    firm = [knots[0], *inner, knots[-1]]
    return [_Span(b, d, c - a) for (a, b), (c, d) in pairwise(firm)]


def _laid(audio: Audio, spans: Sequence[_Span]) -> Audio:
    """The spans one after the other, each stretched to its length, with soft seams."""
    rate, half = audio.sample_rate, round(SEAM_S * audio.sample_rate)
    total = sum(span.length for span in spans)
    out = np.zeros((audio.channels, total), np.float32)
    knots: list[tuple[float, float]] = []
    to = 0
    for span in spans:
        body, inner = _stretched(audio, span, half)
        seam_in(out, body, to, half)
        knots += [((span.first + a) / rate, (to + b) / rate) for a, b in inner]
        to += span.length
    _say(spans, rate)
    shift = simplest(knots)
    words = moved(audio.transcript, shift)
    known = audio.time_map or ((0.0, 0.0), (total / rate, audio.duration_s))
    return replace(audio, samples=out, transcript=words, time_map=composed(known, shift))


def _say(spans: Sequence[_Span], rate: int) -> None:
    """By how much the furthest stretched span was."""
    furthest = max((s for s in spans if s.now), key=lambda s: abs(s.length / s.now - 1))
    share = furthest.length / furthest.now - 1
    level = logging.WARNING if abs(share) > WARNED else logging.INFO
    before, after = furthest.now / rate, furthest.length / rate
    log.log(level, "stretched by %+.1f %% (%.2f s to %.2f s)", 100 * share, before, after)


def _stretched(audio: Audio, span: _Span, half: int) -> tuple[Samples, list[tuple[float, float]]]:
    """A span at its length with `half` samples more on both sides; where its frames went."""
    ends = [(0.0, 0.0), (float(span.now), float(span.length))]
    if span.now == 0:
        return np.zeros((audio.channels, span.length + 2 * half), np.float32), ends
    if span.length == span.now:
        return _around(audio.samples, span.first - half, span.end + half), ends
    if not _is_near_enough(span):
        raise RequestError(
            f"{span.now / audio.sample_rate:.2f} s cannot be stretched to "
            f"{span.length / audio.sample_rate:.2f} s",
            remedy="Write length: free.",
        )
    from stepedit_fx.stretch import change_pitch_and_time, window

    context = window(audio.sample_rate)
    stretch = np.ones(span.now + 2 * context)
    inner = np.full(span.now, span.length / span.now)
    if not span.is_even:
        inner = _elastic(audio.samples[:, span.first : span.end], audio.sample_rate, span.length)
    stretch[context:-context] = inner
    source = _around(audio.samples, span.first - context, span.end + context)
    still = np.zeros(len(stretch))
    body = change_pitch_and_time(
        source, audio.sample_rate, still, stretch, context - half, span.length + 2 * half
    )
    sums = np.concatenate([[0.0], np.cumsum(inner)]) / audio.sample_rate
    places = np.unique([*range(0, span.now, max(1, audio.sample_rate // 100)), span.now])
    knots = reduced(places / audio.sample_rate, sums[places])
    return body, [(a * audio.sample_rate, b * audio.sample_rate) for a, b in knots]


def _elastic(samples: Samples, rate: int, length: int) -> Floats:
    """How far each sample is stretched so that all are `length`: pauses before speech."""
    from stepedit_fx.measures import FRAME_S, find_pauses, track_level

    level_db = track_level(samples.mean(axis=0), rate)
    gives = np.ones(len(level_db))
    for first, end in find_pauses(level_db, np.zeros(len(level_db))):
        gives[first:end] = PAUSES_GIVE
    gives = np.convolve(np.pad(gives, 2, mode="edge"), np.full(5, 0.2), "valid")
    each = np.interp(np.arange(samples.shape[1]) / (rate * FRAME_S), np.arange(len(gives)), gives)
    low, high = np.log(LEAST), np.log(MOST)
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(middle * each).sum() < length else (low, middle)
    stretch = np.exp(low * each)
    out: Floats = stretch * (length / stretch.sum())
    return out


def _around(samples: Samples, first: int, end: int) -> Samples:
    """Samples first to end, silence beyond the ends."""
    inside = samples[:, max(first, 0) : max(end, 0)]
    return np.pad(inside, ((0, 0), (max(-first, 0), max(end - samples.shape[1], 0))))


def seam_in(out: Samples, body: Samples, at: int, half: int) -> None:
    """Write a piece with its margins, cross-fading into what the one before left under it.

    Written as a step from old to new, so that two renders that agree leave no trace of a seam.
    """
    first, end = max(at - half, 0), min(at - half + body.shape[1], out.shape[1])
    body = body[:, first - (at - half) : end - (at - half)]
    seam = min(at + half, end) - first
    if at > 0:
        cut = first - (at - half)  # of the seam's start, where the piece is at the very front
        fade = (np.arange(cut, cut + seam) + 0.5).astype(np.float32) / np.float32(2 * half)
        before = out[:, first : first + seam]
        body = np.array(body)
        body[:, :seam] = before + fade * (body[:, :seam] - before)
    out[:, first:end] = body
