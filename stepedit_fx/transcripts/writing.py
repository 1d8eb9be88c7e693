"""A transcript with times as the text of a sidecar file: what `load_transcript` reads back.

`.lab` and `.TextGrid` keep the time of every word; subtitles that of every line, `.txt` none.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from stepedit_fx.errors import RequestError, did_you_mean
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import word_spans
from stepedit_fx.transcripts.cues import SILENCES, Cue, join_texts

MAX_LINE = 80  # characters of a subtitle: two lines of 40 are what people read at ease
MAX_LINE_S = 7.0
NEW_LINE_S = 0.6  # a pause this long begins a new subtitle
_MARKUP = re.compile(r"[<>{}\[\]]|-->")  # what readers of subtitles take for their own
_TICK_S = 0.001


def sidecar_text(transcript: Transcript, form: str, duration_s: float) -> str:
    """The text of a sidecar. form: txt, srt, vtt, lab or TextGrid, in any case.

    duration_s: of the recording. Raises RequestError for another form, and for one with times
    where the transcript has none for its words.
    """
    write = _WRITERS[checked_form(form)]
    if write is _txt:
        return _txt([Cue(0, 0, transcript.text, 0)], duration_s)
    cues = _word_cues(transcript)
    return write(cues if write in (_lab, _textgrid) else _lines(cues), duration_s)


def checked_form(form: str) -> str:
    """The form as its file's ending spells it. Raises RequestError for one that is none."""
    known = {name.lower(): name for name in _WRITERS}
    if form.lower().lstrip(".") not in known:
        raise RequestError(f"unknown form '{form}'", remedy=did_you_mean(form, _WRITERS))
    return known[form.lower().lstrip(".")]


def sidecar_path(recording: Path, form: str, folder: Path | None = None) -> Path:
    """Where a recording's sidecar stands: beside it, or under its name in another folder."""
    beside = recording.with_suffix(f".{checked_form(form)}")
    return beside if folder is None else folder / beside.name


def _word_cues(transcript: Transcript) -> list[Cue]:
    """A cue for every word, with the punctuation around it; starts rise, none ends early."""
    spans = word_spans(transcript.text)
    if len(spans) != len(transcript.words) or not spans:
        raise RequestError(
            "the transcript has no times for its words", remedy="Align it, or write a .txt."
        )
    cues: list[Cue] = []
    least_s = 0.0
    edges = [0, *(first for first, _ in spans[1:]), len(transcript.text)]
    for n, word in enumerate(transcript.words):
        text = " ".join(transcript.text[edges[n] : edges[n + 1]].split())
        start_s = max(round(word.start_s, 3), least_s)
        end_s = max(round(word.end_s, 3), start_s + _TICK_S)
        cues.append(Cue(start_s, end_s, text, n))
        least_s = start_s + _TICK_S
    return cues


def _lines(cues: Sequence[Cue]) -> list[Cue]:
    """Words joined to subtitles: cut at sentences and pauses, and before one grows too long."""
    lines: list[Cue] = []
    for cue in cues:
        if not lines or _starts_line(lines[-1], cue):
            lines.append(cue)
            continue
        last = lines[-1]
        lines[-1] = Cue(last.start_s, cue.end_s, join_texts(last.text, cue.text), last.line)
    return lines


def _starts_line(line: Cue, cue: Cue) -> bool:
    return (
        line.text[-1] in ".!?。！？…"
        or cue.start_s - line.end_s >= NEW_LINE_S
        or cue.end_s - line.start_s > MAX_LINE_S
        or len(line.text) + len(cue.text) >= MAX_LINE
    )


def _txt(cues: Sequence[Cue], duration_s: float) -> str:
    return " ".join(cues[0].text.split()) + "\n"


def _srt(cues: Sequence[Cue], duration_s: float) -> str:
    shown = [
        f"{n}\n{_clock(c.start_s, ',')} --> {_clock(c.end_s, ',')}\n{_plain(c.text)}\n"
        for n, c in enumerate(cues, 1)
    ]
    return "\n".join(shown)


def _vtt(cues: Sequence[Cue], duration_s: float) -> str:
    shown = [
        f"{_clock(c.start_s, '.')} --> {_clock(c.end_s, '.')}\n"
        f"{html.escape(_plain(c.text), quote=False)}\n"
        for c in cues
    ]
    return "\n".join(["WEBVTT\n", *shown])


def _plain(text: str) -> str:
    return " ".join(_MARKUP.sub(" ", text).split())


def _clock(seconds: float, point: str) -> str:
    whole_ms = round(seconds * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{point}{ms % 1000:03}"


def _lab(cues: Sequence[Cue], duration_s: float) -> str:
    """Labels of Audacity: seconds, and the word."""
    return "".join(f"{c.start_s:.6f}\t{c.end_s:.6f}\t{_label(c.text)}\n" for c in cues)


def _label(text: str) -> str:
    """A word that labels take for a silence ("pause") gets a full stop."""
    text = " ".join(re.sub(r"[\[\]]", " ", text).split())
    return f"{text}." if text.lower() in SILENCES else text


def _textgrid(cues: Sequence[Cue], duration_s: float) -> str:
    """Praat's long form, one tier of words, which covers the recording without a gap."""
    total_s = max(round(duration_s, 3), cues[-1].end_s)
    intervals: list[tuple[float, float, str]] = []
    at = 0.0
    for n, cue in enumerate(cues):
        end_s = min(cue.end_s, cues[n + 1].start_s) if n + 1 < len(cues) else cue.end_s
        if cue.start_s > at:
            intervals.append((at, cue.start_s, ""))
        intervals.append((cue.start_s, end_s, _label(cue.text)))
        at = end_s
    if total_s > at:
        intervals.append((at, total_s, ""))
    rows = [
        'File type = "ooTextFile"\nObject class = "TextGrid"\n',
        f"xmin = 0\nxmax = {total_s:.3f}\ntiers? <exists>\nsize = 1\nitem []:\n    item [1]:",
        f'        class = "IntervalTier"\n        name = "words"\n        xmin = 0\n'
        f"        xmax = {total_s:.3f}\n        intervals: size = {len(intervals)}",
    ]
    for n, (start_s, end_s, text) in enumerate(intervals, 1):
        quoted = text.replace('"', '""')
        rows.append(
            f"        intervals [{n}]:\n            xmin = {start_s:.3f}\n"
            f'            xmax = {end_s:.3f}\n            text = "{quoted}"'
        )
    return "\n".join(rows) + "\n"


_WRITERS: dict[str, Callable[[Sequence[Cue], float], str]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "lab": _lab,
    "TextGrid": _textgrid,
}
