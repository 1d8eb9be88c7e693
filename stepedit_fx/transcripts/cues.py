"""Words with their times: what every timed transcript is read into."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words

logger = logging.getLogger(__name__)

# What labels say where nobody speaks.
SILENCES = frozenset({"", "#", "sil", "sp", "pau", "silence", "pause", "<sil>", "<p>", "<eps>"})
OVERLAP_S = 0.05  # more than rounding and a subtitle's own margin
_NOTE = re.compile(r"\[[^\[\]]*\]")  # [music], [door closes]: heard, not said
_CJK = re.compile(r"[\u3001\u3002\u3040-\u30ff\u3400-\u9fff\uff01\uff0c\uff1a\uff1b\uff1f]")


@dataclass(frozen=True)
class Cue:
    """Some words with their place; line: where the file says so."""

    start_s: float
    end_s: float
    text: str
    line: int


def from_cues(path: Path, cues: list[Cue]) -> Transcript:
    """One transcript of cues in order; where two overlap, the earlier ends first."""
    text = ""
    words: list[Word] = []
    for cue, following in zip_longest(cues, cues[1:]):
        _check_times(path, cue, following)
        end_s = min(cue.end_s, following.start_s) if following else cue.end_s
        if cue.end_s - end_s > OVERLAP_S and following:
            logger.warning(
                "%s:%d: begins %.2f s before the one above it ends, which is cut short there",
                path,
                following.line,
                cue.end_s - end_s,
            )
        said = clean(cue.text)
        text = join_texts(text, said)
        words += _spread(split_words(said), cue.start_s, end_s)
    return Transcript(text, words=tuple(words))


def _check_times(path: Path, cue: Cue, following: Cue | None) -> None:
    if not (math.isfinite(cue.start_s) and math.isfinite(cue.end_s) and cue.start_s >= 0):
        raise malformed(path, cue.line, "has a time that is none", "Count seconds from 0.")
    if cue.end_s <= cue.start_s:
        raise malformed(path, cue.line, "ends no later than it starts", "Give it a later end.")
    if following and following.start_s <= cue.start_s:
        raise malformed(
            path,
            following.line,
            "starts no later than the one before",
            "Sort the file by time, one speaker only.",
        )


def _spread(words: list[str], start_s: float, end_s: float) -> Iterator[Word]:
    """Words over a span of time, each with a share of it by its letters."""
    letters = sum(map(len, words))
    done, first_s = 0, start_s
    for word in words:
        done += len(word)
        # min: rounding must not carry the last word past the next cue.
        last_s = min(end_s, start_s + (end_s - start_s) * done / letters)
        yield Word(word, first_s, last_s)
        first_s = last_s


def clean(text: str) -> str:
    return " ".join(_NOTE.sub(" ", text).split())


def join_texts(text: str, more: str) -> str:
    """One text after another; Chinese and Japanese put no space between words."""
    tight = not text or not more or (_CJK.match(text[-1]) and _CJK.match(more[0]))
    return text + ("" if tight else " ") + more


def malformed(path: Path, line: int, cause: str, remedy: str) -> ReadError:
    return ReadError(f"{path}:{line}: the line {cause}", remedy=remedy)
