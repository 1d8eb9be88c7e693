"""What is said in a recording, from a text file beside it.

Three kinds are read: ``.txt``, the words alone; ``.srt``, subtitles; ``.lab``, labels as
Audacity exports them (seconds) or as HTK has them (units of 100 ns, HTK Book 3.4, 6.2.1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import split_words

MAX_BYTES = 1 << 20

_HTK_UNIT_S = 100e-9
# Whole numbers are HTK's units from here on (10 ms), else seconds (up to 28 h).
_HTK_LEAST_END = 100_000
_SILENCES = frozenset({"", "#", "sil", "sp", "pau", "silence", "pause", "<sil>", "<p>", "<eps>"})

_SRT_TIME = re.compile(r"(\d{1,3}):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?")
_MARKUP = re.compile(r"<[^<>]*>|\{[^{}]*\}")  # <i>, {\an8}
_NOTE = re.compile(r"\[[^\[\]]*\]")  # [music], [door closes]: heard, not said
_CJK = re.compile(r"[\u3001\u3002\u3040-\u30ff\u3400-\u9fff\uff01\uff0c\uff1a\uff1b\uff1f]")


@dataclass(frozen=True)
class _Cue:
    """Some words with their place; line: where the file says so."""

    start_s: float
    end_s: float
    text: str
    line: int


def find_transcript(audio_path: Path | str) -> Transcript:
    """The words of the sidecar beside a recording; an empty transcript if there is none.

    A sidecar has the recording's name but for its ending; one with times goes before one
    without: ``.lab``, then ``.srt``, then ``.txt``. Raises ReadError as `load_transcript` does.
    """
    for suffix in _PARSERS:
        for spelled in (suffix, suffix.upper()):
            path = Path(audio_path).with_suffix(spelled)
            if path.is_file():
                return load_transcript(path)
    return Transcript()


def load_transcript(path: Path | str) -> Transcript:
    """The words of a .txt, .srt or .lab file, UTF-8, at most 1 MiB.

    Words are those of `stepedit_fx.tags.split_words`, with times in seconds from the start of
    the recording; the words of a longer cue share its time by their length. What stands in
    square brackets is a note and left out.
    Raises ReadError, naming the line, for a file that is not what its ending says.
    """
    path = Path(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ReadError.of(path, "is no transcript", "Transcripts end in .txt, .srt or .lab.")
    transcript = parse(path, _read_text(path))
    if not split_words(transcript.text):
        raise ReadError.of(path, "holds no words", "Write into it what is said, or remove it.")
    return transcript


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ReadError.of(path, f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ReadError.of(path, "is over 1 MiB, too long for a transcript", "Cut it shorter.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _malformed(path, line, "is not UTF-8", "Save the file as UTF-8.") from error
    if "\0" in text:
        raise ReadError.of(path, "is not a text file", "Save it as plain text in UTF-8.")
    return text


def _parse_txt(path: Path, text: str) -> Transcript:
    return Transcript(_clean(text))


def _parse_lab(path: Path, text: str) -> Transcript:
    rows = [
        (number, row.split(maxsplit=2))
        for number, row in enumerate(text.splitlines(), 1)
        if row.strip() and not row.startswith("\\")  # Audacity: a label's frequency range
    ]
    cues = [_label(path, number, fields) for number, fields in rows]
    whole = all(field.isdecimal() for _, fields in rows for field in fields[:2])
    if whole and cues and max(cue.end_s for cue in cues) >= _HTK_LEAST_END:
        cues = [_from_htk(cue) for cue in cues]
    return _from_cues(path, [cue for cue in cues if cue.text.lower() not in _SILENCES])


def _label(path: Path, line: int, fields: list[str]) -> _Cue:
    try:
        start, end = float(fields[0]), float(fields[1])
    except (ValueError, IndexError) as error:
        raise _malformed(
            path, line, "should start with two times", "Write: start, end and word, e.g. 0.5 0.9 so"
        ) from error
    return _Cue(start, end, fields[2].strip() if len(fields) == 3 else "", line)


def _from_htk(cue: _Cue) -> _Cue:
    name, *score = cue.text.split()  # a recognizer's score may follow the name
    text = name if score and _is_number(score[0]) else cue.text
    return _Cue(cue.start_s * _HTK_UNIT_S, cue.end_s * _HTK_UNIT_S, text, cue.line)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_srt(path: Path, text: str) -> Transcript:
    cues: list[_Cue] = []
    rows = enumerate([*text.splitlines(), ""], 1)
    for line, row in rows:
        if not row.strip():
            continue
        if row.strip().isdecimal():  # the cue's number; some files leave it out
            line, row = next(rows)
        start_s, end_s = _srt_times(path, line, row)
        said = []
        for _, row in rows:
            if not row.strip():
                break
            said.append(row)
        cues.append(_Cue(start_s, end_s, _MARKUP.sub("", " ".join(said)), line))
    return _from_cues(path, cues)


def _srt_times(path: Path, line: int, row: str) -> tuple[float, float]:
    start, arrow, end = row.partition("-->")
    times = _SRT_TIME.fullmatch(start.strip()), _SRT_TIME.match(end.strip())
    if not arrow or times[0] is None or times[1] is None:
        raise _malformed(
            path, line, "should hold a cue's times", "Write: 00:00:01,500 --> 00:00:03,000"
        )
    return _srt_seconds(times[0]), _srt_seconds(times[1])


def _srt_seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = match.groups(default="")
    whole_s = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s + int(fraction.ljust(3, "0")) / 1000


def _from_cues(path: Path, cues: list[_Cue]) -> Transcript:
    """One transcript of cues in order; where two overlap, the earlier ends first."""
    text = ""
    words: list[Word] = []
    for cue, following in zip_longest(cues, cues[1:]):
        _check_times(path, cue, following)
        end_s = min(cue.end_s, following.start_s) if following else cue.end_s
        said = _clean(cue.text)
        text = _join(text, said)
        words += _spread(split_words(said), cue.start_s, end_s)
    return Transcript(text, words=tuple(words))


def _check_times(path: Path, cue: _Cue, following: _Cue | None) -> None:
    if not (math.isfinite(cue.start_s) and math.isfinite(cue.end_s) and cue.start_s >= 0):
        raise _malformed(path, cue.line, "has a time that is none", "Count seconds from 0.")
    if cue.end_s <= cue.start_s:
        raise _malformed(path, cue.line, "ends no later than it starts", "Give it a later end.")
    if following and following.start_s <= cue.start_s:
        raise _malformed(
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


def _clean(text: str) -> str:
    return " ".join(_NOTE.sub(" ", text).split())


def _join(text: str, more: str) -> str:
    # Chinese and Japanese put no space between words.
    tight = not text or not more or (_CJK.match(text[-1]) and _CJK.match(more[0]))
    return text + ("" if tight else " ") + more


def _malformed(path: Path, line: int, cause: str, remedy: str) -> ReadError:
    return ReadError(f"{path}:{line}: the line {cause}", remedy=remedy)


# By ending, in the order in which `find_transcript` looks.
_PARSERS: dict[str, Callable[[Path, str], Transcript]] = {
    ".lab": _parse_lab,
    ".srt": _parse_srt,
    ".txt": _parse_txt,
}
