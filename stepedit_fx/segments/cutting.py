"""Where a long take is cut into segments that an engine can take.

Cuts are made in the middle of pauses. A segment reaches a little over its cuts, so that its
neighbours can be joined to it by a short cross-fade.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from stepedit_fx.audio import Samples, Sound
from stepedit_fx.measures import (
    FRAME_S,
    LEVEL_WINDOW_S,
    Track,
    find_pauses,
    frame_count,
    speech_threshold_db,
    track_f0,
    track_level,
)
from stepedit_fx.segments.words import LONGEST_S, Span, cut_text, share_words
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import word_spans

SHORTEST_S = 12.0  # a cut is not looked for before this: context is what the model lives on
NO_PAUSE_S = 8.0  # without a pause, the quietest spot of this much before the longest
SLIVER_S = 2.0  # nor this near to the end, where what is left may be too short to be tokenized
FADE_S = 0.02  # of the cross-fade at a cut, half of it on either side
_LEVEL_FRAMES = 3000  # levels are taken of 30 s at a time
_VOICE_S = 3.0  # of each segment that is listened to for the speaker's usual f0


@dataclass(frozen=True)
class Segment:
    """A stretch of a take that is worked on by itself.

    span: its frames, with what reaches over its cuts. cut: its frames between the cuts alone.
    time_s: start and end of the cut. spoken_s: the same, of the time in which there is speech.
    transcript: what is said in it, times counted from the start of the span.
    """

    span: Span
    cut: Span
    time_s: tuple[float, float]
    spoken_s: tuple[float, float]
    transcript: Transcript = field(default_factory=Transcript)

    @property
    def is_silent(self) -> bool:
        """Whether nothing in it is as loud as speech."""
        return self.spoken_s[0] == self.spoken_s[1]


def cut_sound(sound: Sound, longest_s: float = LONGEST_S) -> list[Segment]:
    """The segments of a take, each at most `longest_s` long with what reaches over its cuts."""
    rate, frames = sound.sample_rate, sound.frames
    level_db = level_of(sound)
    cuts = cut_at_pauses(level_db, frames, rate, longest_s - FADE_S)
    spoken = np.cumsum(level_db >= _threshold_db(level_db)) * FRAME_S
    margin = round(FADE_S / 2 * rate)
    found = []
    for start, end in cuts:
        edges = [min(round(at / rate / FRAME_S), len(spoken) - 1) for at in (start, end)]
        a, b = (float(spoken[at]) if at else 0.0 for at in edges)
        span = (max(start - margin, 0), min(end + margin, frames))
        found.append(Segment(span, (start, end), (start / rate, end / rate), (a, b)))
    shares = shares_of(sound.transcript, found)
    texts = cut_text(sound.transcript.text, shares)
    return [
        replace(one, transcript=_words_of(sound.transcript, share, text, one.span[0] / rate))
        for one, share, text in zip(found, shares, texts, strict=True)
    ]


def shares_of(transcript: Transcript, segments: Sequence[Segment]) -> list[Span]:
    """Which words (first, end) of a transcript each segment holds.

    Words without times are shared out by the time that is spoken.
    """
    by_time = bool(transcript.words) or segments[-1].spoken_s[1] == 0
    return share_words(transcript, [s.time_s if by_time else s.spoken_s for s in segments])


def _words_of(transcript: Transcript, share: Span, text: str, start_s: float) -> Transcript:
    words = transcript.words[slice(*share)] if _is_timed(transcript) else ()
    moved = (replace(w, start_s=w.start_s - start_s, end_s=w.end_s - start_s) for w in words)
    return Transcript(text, transcript.language, tuple(moved))


def _is_timed(transcript: Transcript) -> bool:
    return bool(transcript.words) and len(transcript.words) == len(word_spans(transcript.text))


def level_of(sound: Sound) -> Track:
    """`track_level` of a sound that is read in pieces: level in dB on the 10 ms grid."""
    rate = sound.sample_rate
    count = frame_count(sound.frames, rate)
    around = int(np.ceil(LEVEL_WINDOW_S / FRAME_S))  # level frames whose windows reach in
    parts = []
    for first in range(0, count, _LEVEL_FRAMES):
        end = min(first + _LEVEL_FRAMES, count)
        # Whole seconds apart, so that the grid of the piece is that of the take at every rate.
        whole = max(first - around, 0) // 100 * 100
        start = whole // 100 * rate
        until = min(round((end + around) * FRAME_S * rate), sound.frames)
        level_db = track_level(_mono(sound.read(start, until)), rate)
        parts.append(level_db[first - whole : end - whole])
    return np.concatenate(parts)


def _mono(samples: Samples) -> Samples:
    """The mean of all channels, (frames,)."""
    mixed: Samples = samples[0] if len(samples) == 1 else samples.mean(axis=0, dtype=np.float32)
    return mixed


def _threshold_db(level_db: Track) -> float:
    """What parts speech from pauses, in whole dB.

    Rounded, so that one sentence that is changed does not move the cuts of all others.
    """
    return float(np.round(speech_threshold_db(level_db)))


def cut_at_pauses(
    level_db: Track, frames: int, rate: int, longest_s: float = LONGEST_S
) -> list[Span]:
    """Frames (start, end) of stretches of at most `longest_s` that together cover a take.

    level_db: of the take, on the 10 ms grid.
    """
    if frames <= longest_s * rate:
        return [(0, frames)]
    pauses = find_pauses(level_db, np.zeros(len(level_db)), _threshold_db(level_db))
    middles = np.array([(a + b) / 2 * FRAME_S for a, b in pauses])
    lengths = np.array([b - a for a, b in pauses])
    shortest_s = min(SHORTEST_S, longest_s / 2)
    cuts = [0]
    while (frames - cuts[-1]) / rate > longest_s:
        start_s = cuts[-1] / rate
        earliest_s = start_s + shortest_s
        latest_s = min(start_s + longest_s, frames / rate - shortest_s)
        furthest_s = min(start_s + longest_s, frames / rate - min(SLIVER_S, shortest_s))
        # A pause that leaves the last segment long, else any that leaves it more than a sliver.
        for until_s in (latest_s, furthest_s):
            there = np.flatnonzero((middles >= earliest_s) & (middles <= until_s))
            if len(there):
                cut_s = float(max((lengths[n], middles[n]) for n in there)[1])
                break
        else:
            cut_s = _quietest_s(level_db, earliest_s, latest_s)
        cuts.append(round(cut_s * rate))
    return list(pairwise([*cuts, frames]))


def _quietest_s(level_db: Track, earliest_s: float, latest_s: float) -> float:
    last = int(latest_s / FRAME_S)
    first = min(int(max(latest_s - NO_PAUSE_S, earliest_s) / FRAME_S), last - 1)
    return (first + int(np.argmin(level_db[first:last]))) * FRAME_S


def speaker_f0_hz(sound: Sound, segments: Sequence[Segment]) -> float:
    """The speaker's usual f0, from the middle of every segment; 0 where nothing is voiced.

    Rounded to a semitone, so that one sentence that is changed leaves the other segments equal.
    """
    half = round(_VOICE_S / 2 * sound.sample_rate)
    voiced = [np.zeros(0)]
    for start, end in (segment.cut for segment in segments if not segment.is_silent):
        middle = (start + end) // 2
        part = sound.read(max(middle - half, start), min(middle + half, end))
        f0 = track_f0(_mono(part), sound.sample_rate)
        voiced.append(f0[f0 > 0])
    found = np.concatenate(voiced)
    if not len(found):
        return 0.0
    return float(440.0 * 2 ** (np.round(12 * np.log2(np.median(found) / 440.0)) / 12))
