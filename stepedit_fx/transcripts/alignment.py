"""When each word of an English text is said: forced alignment by pocketsphinx (extra `[align]`).

A long recording is recognized first, roughly; the words that were understood say which part of the
text belongs to which stretch of it (Moreno et al. 1998), and each is aligned by itself. What was
understood also tells a text that belongs to another recording, which an aligner alone would
stretch over it without a word.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts.cutting import RATE, stretches
from stepedit_fx.transcripts.pronunciation import pronunciations
from stepedit_fx.transcripts.recognition import compared, heard_words, likeness
from stepedit_fx.transcripts.sphinx import (
    FRAME_S,
    MAX_STRETCH_S,
    open_decoder,
    search,
    to_model_rate,
)
from stepedit_fx.transcripts.spoken import spoken_words
from stepedit_fx.transcripts.timing import syllables, timed, unmarked

log = logging.getLogger(__name__)

# Letters in common, 0..1 (`likeness`). Measured: unrelated English texts reach 0.28, a clear
# recording has 0.97 with its own, one in noise 0.77, a synthetic voice 0.37.
LEAST_LIKENESS = 0.33
# Wider where the narrower finds no path; from 1e-200 on the decoder's integers run over.
_BEAMS: tuple[dict[str, float], ...] = (
    {},
    {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80},
    {"beam": 1e-120, "wbeam": 1e-100, "pbeam": 1e-120},
)
_SHOWN = 80  # characters of a text in a message


@dataclass(frozen=True)
class _Stretch:
    """Samples first..end at RATE, which say words a..b of the text."""

    first: int
    end: int
    a: int
    b: int


def align(transcript: Transcript, mono: Samples, rate: int, *, trust: bool = False) -> Transcript:
    """The transcript with the seconds of each word; words are those of `split_words`.

    mono: (frames,) at `rate`. Another language than English, and a stretch where no path is found,
    is timed in proportion (`timing.timed`), which a warning says. trust: do not ask whether the
    text is what the recording says. Raises RequestError where it is not, with what was understood,
    for a text without words, and without pocketsphinx.
    """
    words = split_words(transcript.text)
    if not words:
        raise RequestError("the text to align holds no words", remedy="Write what is said.")
    if not is_english(transcript):
        log.warning("only English is aligned; the words are timed in proportion")
        return timed(replace(transcript, words=()), mono, rate)
    sound = to_model_rate(mono, rate)
    spans = stretches(sound, MAX_STRETCH_S)
    understood = [] if trust and len(spans) == 1 else heard_words(mono, rate)
    parts = _shared_out(transcript.text, words, spans, understood)
    if not trust:
        _check(words, parts, understood)
    found = [word for part in parts for word in _aligned(words, part, sound)]
    return replace(transcript, language=transcript.language or "en", words=tuple(found))


def is_english(transcript: Transcript) -> bool:
    """Whether a text is said to be English, or, where nobody said, looks as if it might."""
    if transcript.language:
        return transcript.language.lower().startswith("en")
    letters = [char for char in transcript.text if char.isalpha()]
    return sum(char.isascii() for char in letters) > 0.9 * len(letters)


def _check(words: Sequence[str], parts: Sequence[_Stretch], understood: Sequence[Word]) -> None:
    """Raise RequestError for a text that is not what is said; warn where a stretch of it is not."""
    texts = [(" ".join(words[part.a : part.b]), _said_in(part, understood)) for part in parts]
    likes = [likeness(text, said) for text, said in texts]
    weights = [max(len(text), len(said), 1) for text, said in texts]
    if np.average(likes, weights=weights) < LEAST_LIKENESS:
        text, said = (" ".join(each)[:_SHOWN] for each in zip(*texts, strict=True))
        raise RequestError(
            f"the recording does not say {text!r}; understood was {said!r}",
            remedy="Give it its own text, or trust the text where the recording is hard to hear.",
        )
    for part, (text, said), like in zip(parts, texts, likes, strict=True):
        if like < LEAST_LIKENESS:
            log.warning(
                "from %.1f to %.1f s the recording hardly says %r; understood was %r",
                *(part.first / RATE, part.end / RATE, text[:_SHOWN], said[:_SHOWN]),
            )


def _said_in(part: _Stretch, understood: Sequence[Word]) -> str:
    inside = (w.text for w in understood if part.first / RATE <= w.start_s < part.end / RATE)
    return " ".join(inside)


def _shared_out(
    text: str, words: Sequence[str], spans: Sequence[tuple[int, int]], understood: Sequence[Word]
) -> list[_Stretch]:
    """Which words of the text each span of samples says."""
    if len(spans) == 1:
        return [_Stretch(*spans[0], 0, len(words))]
    anchors = _anchors(words, understood, spans[-1][1] / RATE)
    sizes = np.concatenate([[0.0], np.cumsum([syllables(word) for word in words])])
    penalty = unmarked(text)
    seconds, owners = zip(*anchors, strict=True)
    cuts = [0]
    for _, end in spans[:-1]:
        # Between two words that were understood, by the share of the time between them: cuts are
        # pauses, so rather where the text has a mark.
        at = np.interp(end / RATE, seconds, sizes[list(owners)])
        after = bisect_right(seconds, end / RATE)
        low, high = owners[after - 1], owners[min(after, len(owners) - 1)]
        costs = (np.abs(sizes - at) + penalty)[low : high + 1]
        cuts.append(max(cuts[-1], low + int(np.argmin(costs))))
    cuts.append(len(words))
    return [_Stretch(*span, a, b) for span, (a, b) in zip(spans, pairwise(cuts), strict=True)]


def _anchors(
    words: Sequence[str], understood: Sequence[Word], total_s: float
) -> list[tuple[float, int]]:
    """(second, word of the text that begins then), both rising, the ends included."""
    spoken, owners = [], []
    for n, word in enumerate(words):
        parts = spoken_words(word)
        spoken += parts
        owners += [n] * len(parts)
    heard = [word.text for word in understood]
    anchors = [(0.0, 0)]
    pairs = [(a, b) for a, b in compared(spoken, heard) if a >= 0 <= b and spoken[a] == heard[b]]
    for one, other in pairwise(pairs):
        if other == (one[0] + 1, one[1] + 1):  # one word alone may stand anywhere
            anchors.append((understood[one[1]].start_s, owners[one[0]]))
            anchors.append((understood[other[1]].end_s, owners[other[0]] + 1))
    anchors.sort()
    return [*anchors, (total_s, len(words))]


def _aligned(words: Sequence[str], part: _Stretch, sound: Samples) -> list[Word]:
    """The words of one stretch with their times in the whole."""
    own = words[part.a : part.b]
    if not own:
        return []
    offset_s = part.first / RATE
    stretch = sound[part.first : part.end]
    spans = _searched(own, stretch)
    if not spans:
        log.warning(
            "no alignment from %.1f to %.1f s; the words there are timed in proportion",
            *(offset_s, part.end / RATE),
        )
        placed = timed(Transcript(" ".join(own)), stretch, RATE).words
        spans = [(word.start_s, word.end_s) for word in placed]
    return [
        Word(word, offset_s + start_s, offset_s + end_s)
        for word, (start_s, end_s) in zip(own, spans, strict=True)
    ]


def _searched(words: Sequence[str], sound: Samples) -> list[tuple[float, float]]:
    """Each word's seconds in a stretch; none where no path through all of them is found.

    Every word is an entry of its own in the dictionary, w0, w1, ..., with all its pronunciations.
    """
    ways: list[list[str]] = []
    for beams in _BEAMS:
        decoder = open_decoder(lm=None, **beams)
        ways = ways or pronunciations(words, decoder)
        for n, each in enumerate(ways):
            for k, phones in enumerate(each):
                is_last = n == len(ways) - 1 and k == len(each) - 1  # then the search learns all
                decoder.add_word(f"w{n}" + (f"({k + 1})" if k else ""), phones, is_last)
        decoder.set_align_text(" ".join(f"w{n}" for n in range(len(words))))
        if search(decoder, sound):
            segments = [segment for segment in decoder.seg() if segment.word[0] == "w"]
            if len(segments) == len(words):
                return [(s.start_frame * FRAME_S, (s.end_frame + 1) * FRAME_S) for s in segments]
    return []
