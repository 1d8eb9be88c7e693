"""A rough ear for English: what pocketsphinx understands, and how far that is from a text.

Good for measuring (did the words survive an edit?) and for noticing a transcript that belongs to
another recording; too rough to write transcripts with. Extra `[align]`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.speech import Word
from stepedit_fx.transcripts.cutting import RATE, stretches
from stepedit_fx.transcripts.sphinx import (
    FRAME_S,
    MAX_STRETCH_S,
    open_decoder,
    search,
    to_model_rate,
)
from stepedit_fx.transcripts.spoken import spoken_words


@dataclass(frozen=True)
class WordErrors:
    """How one text differs from another, by the fewest changes that make them equal.

    words: how many the reference has. substituted, missing, added: the reference's words that were
    heard as others, those not heard at all, and those heard that it has not.
    """

    words: int
    substituted: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def count(self) -> int:
        """All errors together."""
        return len(self.substituted) + len(self.missing) + len(self.added)

    @property
    def rate(self) -> float:
        """Errors per word of the reference (the word error rate); may pass 1."""
        return self.count / max(self.words, 1)


def heard(mono: Samples, rate: int) -> str:
    """What is understood of English speech, (frames,) at `rate`, in small letters; "" for nothing.

    The same samples give the same words. Takes about 0.2 s for a second of clear speech and up
    to 0.5 s for one of noise. Raises RequestError without pocketsphinx.
    """
    return " ".join(word.text for word in heard_words(mono, rate))


def words_lost(text: str, audio: Audio) -> tuple[int, Counter[str]]:
    """How many words a text has, and those of them that are not understood in a sound.

    What was put in (by the map of time) is cut out before: a laugh would be taken for words.
    Raises RequestError without pocketsphinx.
    """
    rate = audio.sample_rate
    put_in = [
        np.arange(round(first_s * rate), round(end_s * rate))
        for (there, first_s), (same, end_s) in pairwise(audio.time_map)
        if there == same
    ]
    own = np.delete(audio.mono(), np.concatenate(put_in)) if put_in else audio.mono()
    found = word_errors(text, heard(own, rate))
    return found.words, Counter([*found.missing, *found.substituted])


def heard_words(mono: Samples, rate: int) -> list[Word]:
    """What `heard` understands, each word with its seconds."""
    sound = to_model_rate(mono, rate)
    decoder = open_decoder()
    words: list[Word] = []
    for first, end in stretches(sound, MAX_STRETCH_S):
        if search(decoder, sound[first:end]):
            words += _said(decoder.seg(), first / RATE)
    return words


def _said(segments: Iterable[Any], offset_s: float) -> list[Word]:
    """The words among a decoder's segments; silences and noises are marked <so> or [so]."""
    found = []
    for segment in segments:
        text = str(segment.word).partition("(")[0]
        if text and text[0] not in "<[+":
            start_s = offset_s + segment.start_frame * FRAME_S
            end_s = offset_s + (segment.end_frame + 1) * FRAME_S
            found.append(Word(text, start_s, end_s))
    return found


def word_errors(reference: str, understood: str) -> WordErrors:
    """Which words of a reference another text has not, has otherwise, or has beside them.

    Meant for up to ten thousand words: the work grows with their square.
    Both are compared as spoken: "Dr. 42" is "doctor forty two"; case and marks do not count.
    """
    wanted, got = spoken_words(reference), spoken_words(understood)
    pairs = compared(wanted, got)
    return WordErrors(
        len(wanted),
        tuple(wanted[a] for a, b in pairs if a >= 0 <= b and wanted[a] != got[b]),
        tuple(wanted[a] for a, b in pairs if b < 0),
        tuple(got[b] for a, b in pairs if a < 0),
    )


def compared(wanted: Sequence[str], got: Sequence[str]) -> list[tuple[int, int]]:
    """What of one sequence stands for what of another, by the fewest changes: index pairs in order.

    -1 stands where one has nothing for the other's.
    """
    costs = _costs(wanted, got)
    pairs = []
    a, b = len(wanted), len(got)
    while a or b:
        here = costs[a, b]
        if a and b and here == costs[a - 1, b - 1] + (wanted[a - 1] != got[b - 1]):
            a, b = a - 1, b - 1
            pairs.append((a, b))
        elif a and here == costs[a - 1, b] + 1:
            a -= 1
            pairs.append((a, -1))
        else:
            b -= 1
            pairs.append((-1, b))
    return pairs[::-1]


def likeness(text: str, understood: str) -> float:
    """How alike two texts are by the letters of their spoken words, 0..1; 1 is the same.

    One less the fewest changes of letters over the longer: a word that is misheard in part counts
    in part.
    """
    letters = ["".join(spoken_words(each)) for each in (text, understood)]
    longer = max(map(len, letters))
    return 1 - int(_costs(*letters)[-1, -1]) / longer if longer else 1.0


def _costs(wanted: Sequence[str], got: Sequence[str]) -> NDArray[np.int32]:
    """The fewest changes between every beginning of one and of the other (Levenshtein 1966)."""
    numbers = {each: n for n, each in enumerate(dict.fromkeys([*wanted, *got]))}
    others = np.array([numbers[each] for each in got], np.int32)
    at = np.arange(len(got) + 1, dtype=np.int32)
    costs = np.empty((len(wanted) + 1, len(got) + 1), np.int32)
    costs[0] = at
    for a, each in enumerate(wanted, 1):
        costs[a, 0] = a
        costs[a, 1:] = np.minimum(
            costs[a - 1, :-1] + (others != numbers[each]), costs[a - 1, 1:] + 1
        )
        costs[a] = np.minimum.accumulate(costs[a] - at) + at  # what is added, in one go
    return costs
