"""Sound to standard output while it is made, as a WAV that says it has no known end."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError

FLOAT_FORMAT = 3  # WAVE_FORMAT_IEEE_FLOAT
UNKNOWN = 0xFFFFFFFF  # of a length; players then read to the end


class SoundPipe:
    """Takes blocks and writes them on, 32-bit float, as many channels as the first has.

    A reader that goes away is no error: the rest is not written. Raises RequestError where standard
    output is a terminal.
    """

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stdout.buffer
        if self._out.isatty():
            raise RequestError(
                "--stream writes sound to standard output, and that is a terminal",
                remedy="Pipe it to a player, as in `stepedit-fx run ... --stream | aplay`.",
            )
        self._is_begun = self._is_closed = False

    def hear(self, block: Audio) -> None:
        """Write a block."""
        head = b"" if self._is_begun else _header(block.channels, block.sample_rate)
        self._is_begun = True
        samples = np.ascontiguousarray(block.samples.T, dtype="<f4").tobytes()
        if self._is_closed:
            return
        try:
            self._out.write(head + samples)
            self._out.flush()
        except BrokenPipeError:
            self._is_closed = True
            # What is still in the buffer must go somewhere when the program ends.
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self._out.fileno())


def _header(channels: int, rate: int) -> bytes:
    frame = 4 * channels
    form = struct.pack("<HHIIHH", FLOAT_FORMAT, channels, rate, rate * frame, frame, 32)
    return (
        struct.pack("<4sI4s", b"RIFF", UNKNOWN, b"WAVE")
        + struct.pack("<4sI", b"fmt ", len(form))
        + form
        + struct.pack("<4sI", b"data", UNKNOWN)
    )
