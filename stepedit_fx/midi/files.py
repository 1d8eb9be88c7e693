"""A MIDI file as what controls did, in seconds."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido

from stepedit_fx.errors import ReadError, RequestError
from stepedit_fx.midi.decode import WAIT_S, Decoder, Moved

MAX_BYTES = 16 << 20
MAX_MOVES = 1_000_000
_TEMPO_US = 500_000  # a quarter note at 120 beats a minute, until the file says otherwise


def read_moves(path: Path) -> list[tuple[float, Moved]]:
    """Every movement in a MIDI file with its time in seconds from the file's start.

    The tempo map counts, and SMPTE time is read as such. Raises ReadError, RequestError.
    """
    file = _opened(path)
    seconds_per_tick = _smpte(file.ticks_per_beat)
    decoder = Decoder()
    found: list[tuple[float, Moved]] = []
    tempo_us, now_s = _TEMPO_US, 0.0
    for message in mido.merge_tracks(file.tracks):
        beat_s = tempo_us / 1e6
        now_s += message.time * (seconds_per_tick or beat_s / file.ticks_per_beat)
        if message.type == "set_tempo":
            tempo_us = message.tempo
        elif not message.is_meta:
            found.extend(_due(decoder, now_s))
            found.extend((now_s, move) for move in decoder.feed(message, now_s))
            if len(found) > MAX_MOVES:
                raise RequestError(f"{path}: over {MAX_MOVES} events", remedy="Thin them out.")
    found.extend(_due(decoder, math.inf))
    return sorted(found, key=lambda timed: timed[0])


def _due(decoder: Decoder, now_s: float) -> Iterator[tuple[float, Moved]]:
    """Coarse halves without a fine one until now, each with the time when it was sent."""
    while (due_s := decoder.next_due_s()) is not None and due_s <= now_s:
        yield from ((due_s - WAIT_S, move) for move in decoder.due(due_s))


def _smpte(division: int) -> float:
    """Seconds a tick where the file counts in SMPTE frames, else 0.

    division: of the header, as a signed number; its high byte is the negative frame rate.
    """
    if division >= 0:
        return 0.0
    frames, ticks = -(division >> 8), division & 0xFF
    rate = 30_000 / 1001 if frames == 29 else float(frames)  # 29 stands for 30 drop-frame
    return 1.0 / (rate * max(ticks, 1))


def _opened(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError.of(path, f"over {MAX_BYTES >> 20} MiB: no automation is that long")
        data = path.read_bytes()
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error)) from error
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except Exception as error:  # mido has no error of its own: whatever the bytes led it to
        raise ReadError.of(path, f"not a MIDI file: {str(error) or 'it ends too early'}") from error
    if file.type == 2:
        raise RequestError(
            f"{path}: a MIDI file of type 2, whose tracks have nothing to do with one another",
            remedy="Save it as type 0 or 1.",
        )
    if file.ticks_per_beat == 0:
        raise ReadError.of(path, "not a MIDI file: no ticks in a beat")
    return file
