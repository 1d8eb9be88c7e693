"""Sound between two steps that is too long to hold: in a file that nobody else sees.

The file has no name (or, on Windows, is deleted when it is closed), so that nothing stays behind
whatever becomes of the process.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Samples, TimeMap
from stepedit_fx.errors import ReadError, WriteError
from stepedit_fx.speech import Transcript

_SAMPLE_BYTES = 4


def spool_folder() -> Path:
    """Where spools lie: TMPDIR where it is set, else /var/tmp where there is one.

    Not /tmp: on many systems that is memory, which is what a spool is to save.
    """
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")):
        large = Path("/var/tmp")  # noqa: S108  # nosec B108 - no names in it
        if large.is_dir() and os.access(large, os.W_OK):
            return large
    return Path(tempfile.gettempdir())


class _NamelessFile:
    """An open file that is closed, and so gone, when nobody holds this. Raises WriteError."""

    def __init__(self) -> None:
        try:
            self.file = tempfile.TemporaryFile(dir=spool_folder())  # noqa: SIM115 - see __del__
        except OSError as error:
            raise _refused(error) from error
        self.lock = threading.Lock()

    def __del__(self) -> None:
        if hasattr(self, "file"):
            with contextlib.suppress(OSError):  # what a full disk did not take is not wanted
                self.file.close()


@dataclass(frozen=True, eq=False)
class Spool:
    """A `Sound` in a file of its own, float32 frame by frame; gone when nobody holds it."""

    nameless: _NamelessFile
    sample_rate: int
    channels: int
    frames: int
    start_s: float = 0.0
    transcript: Transcript = field(default_factory=Transcript)
    time_map: TimeMap = ()

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate

    def read(self, first: int, end: int) -> Samples:
        """The samples of frames first to end, (channels, frames)."""
        frame_bytes = self.channels * _SAMPLE_BYTES
        with self.nameless.lock:
            self.nameless.file.seek(first * frame_bytes)
            data = self.nameless.file.read((end - first) * frame_bytes)
        if len(data) != (end - first) * frame_bytes:
            raise ReadError(f"a temporary file in {spool_folder()} is damaged", remedy="Run again.")
        frames = np.frombuffer(data, "<f4").reshape(-1, self.channels)
        return np.ascontiguousarray(frames.T, np.float32)


class SpoolWriter:
    """Takes a sound block by block, and gives the `Spool` at the end.

    Raises WriteError where the disk refuses.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.channels = 0
        self._nameless = _NamelessFile()

    def write(self, samples: Samples) -> None:
        """The next samples, (channels, frames); channels as in the first."""
        self.channels = self.channels or samples.shape[0]
        try:
            self._nameless.file.write(np.ascontiguousarray(samples.T, "<f4").data)
        except OSError as error:
            raise _refused(error) from error
        self.frames += samples.shape[1]

    def done(
        self,
        sample_rate: int,
        start_s: float = 0.0,
        transcript: Transcript | None = None,
        time_map: TimeMap = (),
    ) -> Spool:
        """What was written, as a sound with this rate, place and words."""
        try:
            self._nameless.file.flush()
        except OSError as error:
            raise _refused(error) from error
        return Spool(
            self._nameless,
            sample_rate,
            self.channels or 1,
            self.frames,
            start_s,
            transcript or Transcript(),
            time_map,
        )


def spooled(
    samples: Iterable[Samples],
    sample_rate: int,
    start_s: float = 0.0,
    transcript: Transcript | None = None,
    time_map: TimeMap = (),
) -> Spool:
    """Samples that come in blocks, as a sound on disk. Raises WriteError."""
    writer = SpoolWriter()
    for block in samples:
        writer.write(block)
    return writer.done(sample_rate, start_s, transcript, time_map)


def _refused(error: OSError) -> WriteError:
    return WriteError(
        f"the temporary files of a long recording cannot be written to {spool_folder()}: "
        f"{error.strerror or error}",
        remedy="Free some space there, or set TMPDIR to a folder on another disk.",
    )
