"""Praat's TextGrid, long and short text form (Praat manual, "TextGrid file formats")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Transcript
from stepedit_fx.transcripts.cues import SILENCES, Cue, from_cues, malformed

# What counts in the file: texts in quotes, flags and free-standing numbers; the rest is there for
# people ("xmin =", "intervals [3]:", comments).
_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|(?P<flag><\w+>)|(?<![^\s])(?P<number>[-+]?\d[\d.eE+-]*)(?=\s|$)|!.*'
)
_WORDS = re.compile(r"word|ortho|^ort|transcri|text", re.IGNORECASE)
_PHONES = re.compile(r"phone|segment|^phon|syll|tone", re.IGNORECASE)
_REMEDY = "Save it from Praat as a text file."


@dataclass(frozen=True)
class _Tier:
    """A tier of intervals: its name and cues, silences left out."""

    name: str
    cues: list[Cue]


def parse_textgrid(path: Path, text: str) -> Transcript:
    """The words of the tier that holds them: by its name, else the first that is not of phones.

    Raises ReadError, naming the line, for a file that is none.
    """
    tiers = _Reader(path, text).tiers()
    if not tiers:
        raise ReadError.of(path, "has no tier of intervals", "Put the words on an interval tier.")
    named = [tier for tier in tiers if _WORDS.search(tier.name)]
    other = [tier for tier in tiers if not _PHONES.search(tier.name)]
    return from_cues(path, (named or other or tiers)[0].cues)


class _Reader:
    """Takes tokens one after another; each knows its line."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.line = 1
        self._tokens = _tokens(text)

    def tiers(self) -> list[_Tier]:
        if self._text() != "ooTextFile" or self._text() != "TextGrid":
            raise malformed(self.path, 1, "is no start of a TextGrid", _REMEDY)
        self._number(), self._number()
        if self._next("flag") != "<exists>":
            return []
        return [tier for tier in [self._tier() for _ in range(self._count())] if tier]

    def _tier(self) -> _Tier | None:
        kind, name = self._text(), self._text()
        self._number(), self._number()
        count = self._count()
        if kind == "TextTier":
            for _ in range(count):
                self._number(), self._text()
            return None
        if kind != "IntervalTier":
            raise malformed(self.path, self.line, f"names a tier of kind '{kind}'", _REMEDY)
        cues = [Cue(self._number(), self._number(), self._text(), self.line) for _ in range(count)]
        return _Tier(name, [c for c in cues if c.text.strip().lower() not in SILENCES])

    def _count(self) -> int:
        number = self._number()
        if not number.is_integer() or number < 0:
            raise malformed(self.path, self.line, "should hold a count", _REMEDY)
        return int(number)

    def _number(self) -> float:
        try:
            return float(self._next("number"))
        except ValueError as error:
            raise malformed(self.path, self.line, "should hold a number", _REMEDY) from error

    def _text(self) -> str:
        return self._next("text").replace('""', '"')

    def _next(self, kind: str) -> str:
        for line, found, value in self._tokens:
            self.line = line
            if found != kind:
                raise malformed(self.path, line, f"should hold a {kind} here", _REMEDY)
            return value
        raise ReadError.of(self.path, "ends in the middle", _REMEDY)


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and value of everything that counts."""
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        if match.lastgroup:
            yield line, match.lastgroup, match[match.lastgroup]
        line += match[0].count("\n")
        end = match.end()
