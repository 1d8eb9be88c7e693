"""Recordings on disk to `Audio`. libsndfile decodes; what it lets pass is checked here."""

from __future__ import annotations

import errno
import io
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from stepedit_fx.audio import BLOCK_FRAMES, Audio, Samples
from stepedit_fx.errors import FileError, ReadError, did_you_mean
from stepedit_fx.files.ogg import ogg_fault
from stepedit_fx.files.riff import Header, read_header

logger = logging.getLogger(__name__)

READABLE_SUFFIXES = (
    ".wav", ".wave", ".bwf", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
    ".aif", ".aiff", ".aifc",
)  # fmt: skip
MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 192_000

_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF"})
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's answer for a flac stream of unknown length is above this
_MAX_START_S = 7 * 24 * 3600.0  # a broadcast-wave time counts from midnight; more is rubbish
_MP3_TAG_BYTES = 8_192  # the Xing/Info tag stands in the first frame, after any ID3v2 tag


@dataclass(frozen=True)
class FileInfo:
    """What a recording's header says. frames: per channel. start_s: broadcast-wave time."""

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return self.frames / self.sample_rate


def probe(path: Path | str) -> FileInfo:
    """What a recording's header says, without reading its samples.

    Raises ReadError for anything `read_audio` would refuse before decoding.
    """
    path = Path(path)
    with _open(path) as file:
        return _inspect(path, file)


def read_audio(path: Path | str, *, max_duration_s: float | None = None) -> Audio:
    """A recording as float32 samples, full scale at 1.0, at its own rate and channel count.

    Reads wav, flac, ogg, mp3 and aiff. Up to 24 bits are kept exactly; 32-bit integers and
    64-bit floats are rounded to float32. A wav's broadcast time becomes ``start_s``.
    Raises ReadError for a file that is missing, empty, truncated, no recording, longer than
    max_duration_s (found before decoding), outside 8 to 192 kHz, or that holds NaN.
    """
    info = probe(path)
    check_duration(info, max_duration_s)
    try:
        samples: Samples = np.empty((info.channels, info.frames), np.float32)
    except MemoryError as error:
        raise ReadError.of(
            info.path,
            f"{_length(info.duration_s)} do not fit in memory",
            "Cut it into shorter files.",
        ) from error
    done = 0
    for block in read_blocks(info):
        samples[:, done : done + block.shape[1]] = block
        done += block.shape[1]
    if done < info.frames:
        samples = samples[:, :done].copy()
    samples.setflags(write=False)  # ours alone, so that Audio need not copy it
    return Audio(samples, info.sample_rate, start_s=info.start_s)


def read_blocks(info: FileInfo) -> Iterator[Samples]:
    """All samples of a recording that was probed, a block at a time, (channels, frames).

    They are fewer than info.frames only in an mp3 without a length tag, whose header guesses.
    Raises ReadError for a file that is damaged or cut short, or that holds NaN.
    """
    done = 0
    try:
        with _sound(info.path) as sound:
            while done < info.frames:
                # Short blocks, so that a broken file is known to be good up to nearly its break.
                block = sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                _check_finite(info, block, done)
                block = block[: info.frames - done]
                yield block.T
                done += len(block)
    except soundfile.LibsndfileError as error:
        raise _cut_short(info.path, f"about {done}", info.frames) from error
    if done < info.frames:
        with _open(info.path) as file:
            if info.format != "MP3" or _has_mp3_length(file):
                raise _cut_short(info.path, f"{done}", info.frames)


def _open(path: Path) -> BinaryIO:
    if path.suffix.lower() not in READABLE_SUFFIXES:
        wanted = did_you_mean(path.suffix, READABLE_SUFFIXES) if path.suffix else ""
        raise ReadError.of(
            path,
            f"unknown kind of file '{path.suffix}'" if path.suffix else "its name has no ending",
            wanted or "Recordings end in .wav, .flac, .ogg, .mp3 or .aiff.",
        )
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            raise OSError(errno.EINVAL, "it is a folder or a device, not a recording")
        file = path.open("rb")
    except FileNotFoundError as error:
        raise ReadError.of(path, "no such file", "Check the path.") from error
    except OSError as error:
        raise ReadError.of(path, f"cannot be read: {error.strerror or error}") from error
    return file


def _inspect(path: Path, file: BinaryIO) -> FileInfo:
    if file.seek(0, io.SEEK_END) == 0:
        raise ReadError.of(path, "the file is empty (0 bytes)", "Export or copy it again.")
    header = read_header(file)
    try:
        with _sound(path) as sound:
            frames, rate = int(sound.frames), int(sound.samplerate)
            channels, kind, subtype = int(sound.channels), str(sound.format), str(sound.subtype)
    except soundfile.LibsndfileError as error:
        raise ReadError.of(
            path,
            f"is not a recording that can be read ({_plain(error)})",
            "Check that it plays, and that its ending says what it is; else export it again.",
        ) from error
    if kind not in _FORMATS:
        raise ReadError.of(path, f"holds {kind}, which is not read", "Convert it to wav.")
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise ReadError.of(
            path,
            f"its rate of {rate} Hz is outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz",
            "Convert it to 48000 Hz.",
        )
    _check_whole(path, file, header, kind, frames)
    return FileInfo(path, rate, channels, frames, kind, subtype, _start_s(path, header, rate))


class _Straight(soundfile.SoundFile):  # type: ignore[misc]
    """Read from start to end and never sought in.

    soundfile seeks after every block it reads, to where it is already; that costs mp3 the bits it
    borrows from earlier frames, and its samples would come out different.
    """

    def seekable(self) -> bool:
        return False


def _sound(path: Path) -> soundfile.SoundFile:
    # As bytes: soundfile cannot encode a name that is not UTF-8, which a Unix disk may hold.
    return _Straight(path if os.name == "nt" else os.fsencode(path))


def _check_whole(path: Path, file: BinaryIO, header: Header | None, kind: str, frames: int) -> None:
    if header is not None and header.unfinished:
        raise ReadError.of(
            path, "its recording was never finished: the header promises no samples", _repair(path)
        )
    if header is not None and header.truncated and header.frame_bytes:
        promised = (header.promised_bytes or 0) // header.frame_bytes
        raise _cut_short(path, f"{header.there_bytes // header.frame_bytes}", promised)
    if kind == "OGG" and (fault := ogg_fault(file)):
        raise ReadError.of(path, fault, _repair(path))
    if frames == 0:
        raise ReadError.of(path, "holds no samples", "Export or record it again.")
    if frames > _UNKNOWN_FRAMES:
        raise ReadError.of(path, "its header does not say how long it is", _repair(path))


def _cut_short(path: Path, there: str, promised: int) -> FileError:
    return ReadError.of(
        path,
        f"is cut short: {there} of the {promised} frames its header promises are there",
        _repair(path),
    )


def _repair(path: Path) -> str:
    fixed = path.with_name(f"{path.stem}.fixed{path.suffix}")
    return f'Copy it again, or keep what is there: ffmpeg -i "{path}" "{fixed}".'


def _start_s(path: Path, header: Header | None, rate: int) -> float:
    start_s = header.time_reference / rate if header else 0.0
    if start_s > _MAX_START_S:
        logger.warning("%s: ignoring its broadcast time of %.0f s", path, start_s)
        return 0.0
    return start_s


def check_duration(info: FileInfo, max_duration_s: float | None) -> None:
    if max_duration_s is not None and info.duration_s > max_duration_s:
        raise ReadError.of(
            info.path,
            f"is {_length(info.duration_s)} long; at most {_length(max_duration_s)} is taken",
            "Cut it into shorter files, or raise max_duration_s of the input.",
        )


def _length(duration_s: float) -> str:
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02} min {seconds:02} s" if hours else f"{minutes} min {seconds:02} s"
    )


def _check_finite(info: FileInfo, block: NDArray[np.float32], first: int) -> None:
    finite = np.isfinite(block).all(axis=1)
    if not finite.all():
        at_s = (first + int(np.argmin(finite))) / info.sample_rate
        raise ReadError.of(
            info.path,
            f"holds NaN or infinite samples, the first at {at_s:.3f} s",
            "Export it again from its source.",
        )


def _has_mp3_length(file: BinaryIO) -> bool:
    file.seek(0)
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:  # four bytes of seven bits each (ID3v2.4, 3.1)
        file.seek(
            10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        )
    else:
        file.seek(0)
    start = file.read(_MP3_TAG_BYTES)
    return b"Xing" in start or b"Info" in start


def _plain(error: soundfile.LibsndfileError) -> str:
    return str(error.error_string).rstrip(".").lower()
