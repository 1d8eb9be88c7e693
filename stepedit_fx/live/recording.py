"""What was heard, to a file: a ring that the callback fills, and a thread that writes it out."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.errors import StepEditError, WriteError
from stepedit_fx.files.riff import wave_header

logger = logging.getLogger(__name__)

RING_S = 8.0  # what a disk may stand still for
WRITE_EVERY_S = 0.1
STOP_S = 5.0
_SAMPLE_BYTES = 4
_MAX_BYTES = 0xFFFFFFFF - 4096  # of a RIFF file


class Recorder:
    """Writes blocks to a 32 bit float wav as they come; its header is right after every write.

    told: of an error that ended the recording; the sound goes on. Raises WriteError where the
    file cannot be made.
    """

    def __init__(
        self, path: Path, sample_rate: int, channels: int, told: Callable[[StepEditError], None]
    ) -> None:
        self.path = path
        self.lost_frames = 0
        self._rate = sample_rate
        self._channels = channels
        self._told = told
        self._ring = np.zeros((round(RING_S * sample_rate), channels), np.float32)
        self._written = 0  # frames that the callback put in, ever
        self._read = 0  # frames that the thread took out, ever
        self._frames = 0  # in the file
        self._stopping = threading.Event()
        self.failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = path.open("wb")
        except OSError as error:
            raise WriteError.of(path, error.strerror or str(error)) from error
        try:
            self._file.write(self._header())
            self._file.flush()
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.close()
            raise WriteError.of(path, error.strerror or str(error)) from error
        self._thread = threading.Thread(target=self._write_out, name="recording", daemon=True)
        self._thread.start()

    @property
    def frames(self) -> int:
        """How many are in the file."""
        return self._frames

    def write(self, block: Samples) -> None:
        """Take a block, (channels, frames). For the callback: it waits for nothing.

        Where the disk has stood still for too long the block is lost, and counted.
        """
        frames, size = block.shape[1], len(self._ring)
        if self._written + frames - self._read > size:
            self.lost_frames += frames
            return
        at = self._written % size
        first = min(frames, size - at)
        self._ring[at : at + first] = block[:, :first].T
        self._ring[: frames - first] = block[:, first:].T
        self._written += frames

    def stop(self) -> None:
        """Write what is left and close the file; twice does nothing."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    # In the thread

    def _write_out(self) -> None:
        try:
            with self._file:
                last = False
                while not last:
                    last = self._stopping.wait(WRITE_EVERY_S)  # what came before it is written
                    self._take_out()
        except OSError as error:
            self.failed = True
            self._settle()
            self._told(self._failed(error))
        except ValueError as error:  # more than a wav holds
            self.failed = True
            self._told(WriteError.of(self.path, str(error), "The recording ends here."))
        if self.lost_frames:
            lost_s = self.lost_frames / self._rate
            logger.warning("%s: %.2f s are missing; the disk was too slow", self.path, lost_s)

    def _settle(self) -> None:
        """Say in the header what the disk really took, as far as it lets us."""
        with contextlib.suppress(OSError), self.path.open("r+b") as file:
            sound_bytes = file.seek(0, os.SEEK_END) - len(self._header())
            self._frames = max(0, sound_bytes // (_SAMPLE_BYTES * self._channels))
            file.seek(0)
            file.write(self._header())

    def _take_out(self) -> None:
        size = len(self._ring)
        written = self._written
        if written == self._read:
            return
        while self._read < written:
            at = self._read % size
            count = min(written - self._read, size - at)
            data = np.ascontiguousarray(self._ring[at : at + count], "<f4")
            if self._file.tell() + data.nbytes > _MAX_BYTES:
                raise ValueError("a wav file holds no more than 4 GiB")
            self._file.write(data.data)
            self._read += count
            self._frames += count
        end = self._file.tell()
        self._file.seek(0)
        self._file.write(self._header())
        self._file.seek(end)
        self._file.flush()

    def _header(self) -> bytes:
        return wave_header(
            sample_rate=self._rate,
            channels=self._channels,
            frames=self._frames,
            sample_bytes=_SAMPLE_BYTES,
            is_float=True,
            start=0,
        )

    def _failed(self, error: OSError) -> StepEditError:
        return WriteError.of(
            self.path, error.strerror or str(error), "Recording has stopped; the sound goes on."
        )
