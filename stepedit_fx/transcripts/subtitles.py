"""Subtitles: SubRip (.srt) and WebVTT (.vtt, https://www.w3.org/TR/webvtt1/)."""

from __future__ import annotations

import html
import re
from pathlib import Path

from stepedit_fx.speech import Transcript
from stepedit_fx.transcripts.cues import Cue, from_cues, malformed

_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?")
_MARKUP = re.compile(r"<[^<>]*>|\{[^{}]*\}")  # <i>, <v Fred>, {\an8}
# Blocks of a WebVTT file that are no cues.
_ASIDE = ("WEBVTT", "NOTE", "STYLE", "REGION")


def parse_srt(path: Path, text: str) -> Transcript:
    cues: list[Cue] = []
    rows = enumerate([*text.splitlines(), ""], 1)
    for line, row in rows:
        if not row.strip():
            continue
        if row.strip().isdecimal():  # the cue's number; some files leave it out
            line, row = next(rows)
        start_s, end_s = _times(path, line, row)
        said = []
        for _, row in rows:
            if not row.strip():
                break
            said.append(row)
        cues.append(Cue(start_s, end_s, _MARKUP.sub("", " ".join(said)), line))
    return from_cues(path, cues)


def _times(path: Path, line: int, row: str) -> tuple[float, float]:
    start, arrow, end = row.partition("-->")
    times = _TIME.fullmatch(start.strip()), _TIME.match(end.strip())
    if not arrow or times[0] is None or times[1] is None:
        raise malformed(
            path, line, "should hold a cue's times", "Write: 00:00:01,500 --> 00:00:03,000"
        )
    return _seconds(times[0]), _seconds(times[1])


def _seconds(match: re.Match[str]) -> float:
    hours, minutes, seconds, fraction = match.groups(default="")
    whole_s = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return whole_s + int(fraction.ljust(3, "0")) / 1000


def parse_vtt(path: Path, text: str) -> Transcript:
    """WebVTT: cues with or without an identifier; notes, styles and regions are passed over."""
    if not text.startswith("WEBVTT"):
        raise malformed(path, 1, "should say WEBVTT", "Save it as WebVTT, or rename it to .srt.")
    cues: list[Cue] = []
    for line, block in _blocks(text):
        if block[0].startswith(_ASIDE) and not any("-->" in row for row in block):
            continue
        at = 0 if "-->" in block[0] else 1  # an identifier may stand before the times
        if at >= len(block):
            raise malformed(path, line, "belongs to no cue", "Write its times above it.")
        start_s, end_s = _times(path, line + at, block[at])
        said = html.unescape(_MARKUP.sub("", " ".join(block[at + 1 :])))
        cues.append(Cue(start_s, end_s, said, line + at))
    return from_cues(path, cues)


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Runs of lines with something on them, each with the number of its first."""
    blocks: list[tuple[int, list[str]]] = []
    is_open = False
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip():
            is_open = False
        elif is_open:
            blocks[-1][1].append(row)
        else:
            blocks.append((number, [row]))
            is_open = True
    return blocks
