"""Labels of Audacity (seconds) and of HTK (units of 100 ns, HTK Book 3.4, 6.2.1)."""

from __future__ import annotations

from pathlib import Path

from stepedit_fx.speech import Transcript
from stepedit_fx.transcripts.cues import SILENCES, Cue, from_cues, malformed

_HTK_UNIT_S = 100e-9
# Whole numbers are HTK's units from here on (10 ms), else seconds (up to 28 h).
_HTK_LEAST_END = 100_000


def parse_lab(path: Path, text: str) -> Transcript:
    rows = [
        (number, row.split(maxsplit=2))
        for number, row in enumerate(text.splitlines(), 1)
        if row.strip() and not row.startswith("\\")  # Audacity: a label's frequency range
    ]
    cues = [_label(path, number, fields) for number, fields in rows]
    whole = all(field.isdecimal() for _, fields in rows for field in fields[:2])
    if whole and cues and max(cue.end_s for cue in cues) >= _HTK_LEAST_END:
        cues = [_from_htk(cue) for cue in cues]
    return from_cues(path, [cue for cue in cues if cue.text.lower() not in SILENCES])


def _label(path: Path, line: int, fields: list[str]) -> Cue:
    try:
        start, end = float(fields[0]), float(fields[1])
    except (ValueError, IndexError) as error:
        raise malformed(
            path, line, "should start with two times", "Write: start, end and word, e.g. 0.5 0.9 so"
        ) from error
    return Cue(start, end, fields[2].strip() if len(fields) == 3 else "", line)


def _from_htk(cue: Cue) -> Cue:
    name, *score = cue.text.split()  # a recognizer's score may follow the name
    text = name if score and _is_number(score[0]) else cue.text
    return Cue(cue.start_s * _HTK_UNIT_S, cue.end_s * _HTK_UNIT_S, text, cue.line)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
