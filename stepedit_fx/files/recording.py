"""A recording on disk that is too long to hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from stepedit_fx.audio import Digest, Samples, TimeMap
from stepedit_fx.errors import ReadError
from stepedit_fx.files.reading import FileInfo, check_duration, probe, read_blocks
from stepedit_fx.speech import Transcript


@dataclass(frozen=True)
class Recording:
    """A recording known to be whole and sound, read from start to end as often as wanted.

    info: with the frames that are really there. transcript: what is said in it. stamp: by which a
    change of the file is noticed.
    """

    info: FileInfo
    transcript: Transcript
    stamp: tuple[int, int]
    _samples: Digest = field(repr=False)

    time_map: TimeMap = ()

    @property
    def sample_rate(self) -> int:
        return self.info.sample_rate

    @property
    def channels(self) -> int:
        return self.info.channels

    @property
    def frames(self) -> int:
        return self.info.frames

    @property
    def start_s(self) -> float:
        return self.info.start_s

    @property
    def duration_s(self) -> float:
        return self.info.duration_s

    @property
    def digest(self) -> str:
        """That of the `Audio` it would be if it were held."""
        return self._samples.value(self)

    def blocks(self) -> Iterator[Samples]:
        """All samples in order, (channels, frames). Raises ReadError, also for a changed file."""
        yield from read_blocks(self.info)
        if _stamp(self.info.path) != self.stamp:
            raise ReadError.of(self.info.path, "was changed while it was worked on", "Run again.")


def scan_recording(path: Path | str, *, max_duration_s: float | None = None) -> Recording:
    """Read a recording once from start to end and keep nothing but what `Recording` says.

    Raises ReadError for all that `read_audio` refuses.
    """
    info = probe(path)
    check_duration(info, max_duration_s)
    stamp = _stamp(info.path)
    digest, frames = Digest(), 0
    for block in read_blocks(info):
        digest.update(block)
        frames += block.shape[1]
    return Recording(replace(info, frames=frames), Transcript(), stamp, digest)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ReadError.of(path, f"cannot be read: {error.strerror or error}") from error
    return found.st_mtime_ns, found.st_size
