"""Which words of a take each of its segments holds, and texts cut accordingly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np

from stepedit_fx.speech import Transcript
from stepedit_fx.tags import parse_sounds, split_words, word_spans

LONGEST_S = 28.0  # the published model was trained on clips of up to half a minute
SNAP_WORDS = 3  # how far a share of words may end from its time to end at punctuation
# Reading aloud, slow rather than fast: seconds for a word, and for a Chinese or Japanese character
# or a Korean syllable (Pellegrino et al. 2011: 5 to 8 syllables a second).
WORD_S, CHARACTER_S = 0.45, 0.25
_CLAUSE_END = re.compile(r"[.!?;:,。！？；：，、…]")
# A full stop inside "3.14" or "example.com" ends no sentence.
_SENTENCE = re.compile(
    r".+?(?:(?:[.!?…]+[\"'”’)\]]*(?=\s|$)|[。！？…]+[\"'”’)\]]*)\s*|\n+|$)", re.DOTALL
)

Span = tuple[int, int]


def share_words(transcript: Transcript, spans_s: Sequence[tuple[float, float]]) -> list[Span]:
    """Which words (first, end) of a transcript each span of time holds; all words, in order.

    By the words' times where they are known, else by the spans' lengths, ended at punctuation
    where some is near.
    """
    spans = word_spans(transcript.text)
    if len(spans_s) == 1:
        return [(0, len(spans))]
    if transcript.words and len(transcript.words) == len(spans):
        middles = [(word.start_s + word.end_s) / 2 for word in transcript.words]
        ends = [sum(middle < later for middle in middles) for later, _ in spans_s[1:]]
    else:
        until = np.cumsum([end - start for start, end in spans_s])
        wanted = [round(float(len(spans) * t / until[-1])) for t in until[:-1]]
        ends = [_at_clause_end(transcript.text, spans, end) for end in wanted]
    edges = [0, *np.maximum.accumulate(ends).tolist(), len(spans)]
    return list(pairwise(edges))


def _at_clause_end(text: str, spans: Sequence[Span], wanted: int) -> int:
    """The nearest number of words after which a clause ends, if one is near."""
    for distance in range(SNAP_WORDS + 1):
        for end in (wanted + distance, wanted - distance):
            if 0 < end < len(spans) and _CLAUSE_END.search(text[spans[end - 1][1] : spans[end][0]]):
                return end
    return min(max(wanted, 0), len(spans))


def cut_text(text: str, shares: Sequence[Span]) -> list[str]:
    """The text of each share of its words, punctuation with the word before it."""
    spans = word_spans(text)
    starts = [spans[first][0] if first < len(spans) else len(text) for first, _ in shares]
    starts = [0, *starts[1:]]
    return [
        text[start:end].strip() for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
    ]


def cut_text_with_sounds(text: str, spoken: str, shares: Sequence[Span]) -> list[str]:
    """A text with sounds in brackets, cut where the spoken text is cut into shares.

    text: may differ from `spoken` in some words. A share without sounds gives "".
    """
    if len(shares) == 1:
        return [text]
    plain, sounds = parse_sounds(text)
    said, wanted = split_words(spoken.lower()), split_words(plain.lower())
    edges = [_matching(said, wanted, end) for _, end in shares]
    edges[-1] = len(wanted)
    moved = list(pairwise([0, *edges]))
    spans = word_spans(plain)
    out = []
    for index, ((first, end), part) in enumerate(zip(moved, cut_text(plain, moved), strict=True)):
        last = index == len(moved) - 1
        mine = [s for s in sounds if first <= s.before_word and (s.before_word < end or last)]
        offset = next((spans[first][0] for _ in mine if first and first < len(spans)), 0)
        length = len(part)  # of the words alone: sounds at their end keep their order
        for sound in reversed(mine):
            word = sound.before_word
            at = spans[word][0] - offset if word < min(end, len(spans)) else length
            after = part[at:]
            part = f"{part[:at].rstrip()} [{sound.tag}] {after}".strip()
        out.append(" ".join(part.split()) if mine else "")
    return out


def _matching(said: Sequence[str], wanted: Sequence[str], end: int) -> int:
    """How many words of `wanted` stand for the first `end` words of `said`; it only grows."""
    matched = SequenceMatcher(None, said, wanted, autojunk=False).get_matching_blocks()
    blocks = [(0, 0), *((block.a, block.b) for block in matched)]
    at, there = max(block for block in blocks if block[0] <= end)
    next_there = min((b for a, b in blocks if a > end), default=len(wanted))
    return min(there + end - at, next_there)


def spoken_s(text: str) -> float:
    """Roughly how long a text takes to say; for length budgets, so rather long."""
    words = split_words(text)
    short = sum(len(word) == 1 and word >= "\u3040" for word in words)
    return short * CHARACTER_S + (len(words) - short) * WORD_S


def cut_sentences(text: str, longest_s: float = LONGEST_S) -> list[str]:
    """A text as pieces of whole sentences, each about `longest_s` when said.

    A sentence that is longer stays whole: the model may still do it.
    """
    pieces: list[str] = []
    for sentence in (match.group() for match in _SENTENCE.finditer(text)):
        if pieces and spoken_s(pieces[-1] + sentence) <= longest_s:
            pieces[-1] += sentence
        elif sentence.strip():
            pieces.append(sentence)
    return [piece.strip() for piece in pieces]
