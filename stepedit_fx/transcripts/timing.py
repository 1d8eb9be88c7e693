"""When each word of a transcript without times is likely said: any language, no model.

Words are shared out by their syllables over the syllables that are heard, and where the speaker
pauses a word ends, rather one that is followed by a comma or a full stop.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.measures import FRAME_S, Spans, find_nuclei, find_pauses, track_f0, track_level
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import word_spans

Floats = NDArray[np.floating[Any]]

# A pause inside a phrase counts as this many syllables between where it is and where the text
# would have it: speakers breathe at commas, but not only there.
UNPUNCTUATED_SYLLABLES = 3.0
LETTERS_PER_SYLLABLE = 3.0  # where vowels are not written, or unknown
_VOWELS = re.compile(r"[aeiouyæøœαεηιουωаеёиоуыэюяіїє]+")
_SILENT_E = re.compile(r"(?<=[^aeiouyl])e(?:s|d)?$")


def timed(transcript: Transcript, mono: Samples, rate: int) -> Transcript:
    """The transcript with a time for each word; itself where every word has one already.

    mono: (frames,) at `rate`, of the whole recording. Words are those of `split_words`.
    """
    if len(transcript.words) == len(word_spans(transcript.text)):
        return transcript
    level_db, f0 = track_level(mono, rate), track_f0(mono, rate)
    nuclei = [int(n) for n in find_nuclei(level_db, f0)]
    return timed_by_tracks(transcript, find_pauses(level_db, f0), nuclei, len(f0))


def timed_by_tracks(
    transcript: Transcript, pauses: Spans, nuclei: Sequence[int], frames: int
) -> Transcript:
    """The same from what is known of a recording: see `stepedit_fx.measures`.

    pauses: spans of 10 ms frames. nuclei: frames of syllable centres, in order. frames: how many
    there are in all.
    """
    spans = word_spans(transcript.text)
    if len(transcript.words) == len(spans):
        return transcript
    sizes = np.array([syllables(transcript.text[a:b]) for a, b in spans])
    phrases = _phrases(pauses, frames)
    heard = _heard(phrases, nuclei)
    ends = _words_by_phrase(transcript.text, sizes, heard)
    words: list[Word] = []
    for (first, end), (a, b) in zip(phrases, pairwise([0, *ends]), strict=True):
        edges = _edges(first, end, nuclei, sizes[a:b]) * FRAME_S
        words += [
            Word(transcript.text[slice(*spans[a + n])], float(start_s), float(end_s))
            for n, (start_s, end_s) in enumerate(pairwise(edges))
        ]
    return replace(transcript, words=tuple(words))


def syllables(word: str) -> float:
    """About how many syllables a written word has; one to a CJK character or Hangul block."""
    if all(ord(char) > 0x2E80 for char in word):
        return float(len(word))
    digits = sum(char.isdecimal() for char in word)
    plain = "".join(
        char
        for char in unicodedata.normalize("NFD", word.lower())
        if not unicodedata.combining(char)
    )
    written = len(_VOWELS.findall(_SILENT_E.sub("", plain)))
    if written == 0:
        written = round((len(word) - digits) / LETTERS_PER_SYLLABLE)
    return max(1.0, written + 1.5 * digits)


def unmarked(text: str) -> Floats:
    """What a pause before each word costs, in syllables, and one after the last, (words + 1,)."""
    spans = word_spans(text)
    marked = [True, *(bool(text[a:b].strip()) for (_, a), (b, _) in pairwise(spans)), True]
    return np.where(marked, 0.0, UNPUNCTUATED_SYLLABLES)[: len(spans) + 1]


def _phrases(pauses: Spans, frames: int) -> list[tuple[int, int]]:
    """The spans between pauses; the whole where nothing but pause is there."""
    edges = [0, *(edge for span in pauses for edge in span), frames - 1]
    found = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
    return found or [(0, max(frames - 1, 1))]


def _heard(phrases: Sequence[tuple[int, int]], nuclei: Sequence[int]) -> Floats:
    """How much is said in each phrase: its syllables, a little for its length, (phrases,)."""
    counts = np.diff(np.searchsorted(nuclei, [*(a for a, _ in phrases), phrases[-1][1] + 1]))
    lengths = np.array([b - a for a, b in phrases], np.float64)
    if counts.sum() < 2:
        return lengths
    # A phrase whose syllables were not found (whispered, noisy) still holds words.
    return np.asarray(counts + 0.25 * counts.sum() * lengths / lengths.sum())


def _words_by_phrase(text: str, sizes: Floats, heard: Floats) -> list[int]:
    """The word at which each phrase ends, so that as few syllables as can be are out of place.

    The cost of a phrase ending at a word is how many syllables too early or late that is, and
    UNPUNCTUATED_SYLLABLES where the text has no mark there. Least in all, words in order.
    """
    count = len(sizes)
    said = np.concatenate([[0.0], np.cumsum(sizes)])
    wanted = np.cumsum(heard) / heard.sum() * said[-1]
    penalty = unmarked(text)
    costs = np.zeros(count + 1)
    choices: list[NDArray[np.intp]] = []
    for target in wanted[:-1]:
        costs = costs + np.abs(said - target) + penalty
        best = np.minimum.accumulate(costs)
        # For each last word: the earlier one at which the phrases up to here best end.
        choices.append(np.maximum.accumulate(np.where(costs <= best, np.arange(count + 1), 0)))
        costs = best
    ends = [count]
    for choice in reversed(choices):
        ends.append(int(choice[ends[-1]]))
    return ends[::-1]


def _edges(first: int, end: int, nuclei: Sequence[int], sizes: Floats) -> Floats:
    """The frames at which words of these sizes begin in a phrase, and where the last one ends."""
    inside = np.array([n for n in nuclei if first <= n < end])
    shares = np.concatenate([[0.0], np.cumsum(sizes)]) / max(sizes.sum(), 1e-9)
    if len(inside) < 2:
        return np.asarray(first + shares * (end - first))
    marks = np.concatenate([[first], (inside[1:] + inside[:-1]) / 2, [end]])
    return np.asarray(np.interp(shares * len(inside), np.arange(len(marks)), marks))
