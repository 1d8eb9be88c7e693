"""Decoded segments put back where the source had them, to the sample.

What the tokenizer trimmed, and the pauses at which a long take was cut, are the source's own. A
segment whose tokens no edit changed is the source's own, too: nothing is resynthesized for free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from stepedit_fx.audio import Audio, Samples, TimeMap
from stepedit_fx.engines.step_audio.takes import Around, Reference, Segment, Source
from stepedit_fx.speech import Place, Transcript
from stepedit_fx.timeline import moved, simplest

FADE_S = 0.005  # long enough for no click, too short to hear as a fade
SILENT = 0.01  # of the peak; padding before a clip is cut off only while this quiet


@dataclass(frozen=True, eq=False)
class _Part:
    """A stretch of the result: where it came from in the source (frames), and its samples."""

    start: int
    end: int
    samples: Samples  # (channels, frames)


def is_untouched(segment: Segment, source: Source) -> bool:
    """Whether a segment says exactly what its reference says."""
    return np.array_equal(segment.tokens, source.references[segment.reference].tokens)


def put_back(
    source: Source,
    segments: Sequence[Segment],
    decoded: Sequence[Samples | None],
    around: Around,
    place: Place,
    transcript: Transcript,
    *,
    decoded_rate: int,
) -> Audio:
    """The take as sound in its place.

    decoded: (frames,) at `decoded_rate` for each segment, None for an untouched one.
    The words' times are moved with their segments. Peaks may be over full scale.
    """
    parts = []
    for segment, sound in zip(segments, decoded, strict=True):
        reference = source.references[segment.reference]
        start, end = reference.span
        if sound is None:
            parts.append(_Part(start, end, source.samples[:, start:end]))
            continue
        samples = _at_rate(sound, reference, decoded_rate, place)
        spread = channel_gains(source.samples[:, start:end]) * samples
        under = source.samples[:, start:end] if around is Around.SOURCE else None
        parts.append(_Part(start, end, _faded(spread, under, place.sample_rate)))
    if around is not Around.NOTHING:
        parts = _with_gaps(parts, source.samples, around)
    samples = np.concatenate(
        [np.zeros((place.channels, 0), np.float32), *(p.samples for p in parts)], 1
    )
    moves = _time_map(parts, source.samples.shape[1], place.sample_rate)
    words = moved(transcript, moves)
    return Audio(samples, place.sample_rate, place.start_s, words, time_map=moves)


def _at_rate(sound: Samples, reference: Reference, rate: int, place: Place) -> Samples:
    """A decoded segment at the source's rate and level, without the padding before and after."""
    samples = soxr.resample(sound / reference.gain, rate, place.sample_rate, quality="VHQ")
    quiet = np.abs(samples) <= SILENT * np.abs(samples).max(initial=0.0)
    if quiet.all():
        return np.asarray(samples, np.float32)
    head = min(reference.padding[0], int(np.argmin(quiet)))
    tail = min(reference.padding[1], int(np.argmin(quiet[::-1])))
    return np.asarray(samples[head : len(samples) - tail], np.float32)


def channel_gains(source: Samples) -> Samples:
    """How loud each channel is, 1 on average, (channels, 1): a voice on the left stays left."""
    rms = np.sqrt(np.mean(source**2, axis=1, keepdims=True)) if source.shape[1] else np.zeros(0)
    if not rms.any():
        return np.ones((len(source), 1), np.float32)
    gains: Samples = (rms / rms.mean()).astype(np.float32)
    return gains


def _faded(samples: Samples, under: Samples | None, rate: int) -> Samples:
    """Samples faded in and out at their ends, over what the source had there (if anything)."""
    count = fade_frames(samples.shape[1], under, rate)
    return faded_out(faded_in(samples, under, count), under, count)


def fade_frames(frames: int, under: Samples | None, rate: int) -> int:
    """How many frames the fades at the ends of so many may take."""
    shorter = frames if under is None else min(frames, under.shape[1])
    return min(round(FADE_S * rate), shorter // 2)


def faded_in(samples: Samples, under: Samples | None, count: int) -> Samples:
    """The first `count` frames risen from what was there before. under: as long as it was."""
    ramp = np.linspace(0.0, 1.0, count, dtype=np.float32)
    out = samples.copy()
    out[:, :count] *= ramp
    if under is not None:
        out[:, :count] += under[:, :count] * ramp[::-1]
    return out


def faded_out(samples: Samples, under: Samples | None, count: int) -> Samples:
    """The last `count` frames fallen to what was there before."""
    ramp = np.linspace(1.0, 0.0, count, dtype=np.float32)
    out = samples.copy()
    at = out.shape[1] - count
    out[:, at:] *= ramp
    if under is not None and count:
        out[:, at:] += under[:, -count:] * ramp[::-1]
    return out


def _with_gaps(parts: Sequence[_Part], source: Samples, around: Around) -> list[_Part]:
    """The parts with the source's sound (or as much silence) before, between and after."""
    out: list[_Part] = []
    at = 0
    for part in [*parts, _Part(source.shape[1], source.shape[1], source[:, :0])]:
        gap = source[:, at : part.start]
        out.append(_Part(at, part.start, gap if around is Around.SOURCE else np.zeros_like(gap)))
        out.append(part)
        at = max(at, part.end)
    return out


def _time_map(parts: Sequence[_Part], frames: int, rate: int) -> TimeMap:
    """Where the source is heard: straight through each part, what lies in none is cut."""
    knots = [(0, 0)]
    for part in parts:
        there, here = knots[-1]
        knots += [(max(part.start, there), here)]
        knots += [(max(part.end, there), here + part.samples.shape[1])]
    knots.append((frames, knots[-1][1]))
    return simplest((there / rate, here / rate) for there, here in knots)
