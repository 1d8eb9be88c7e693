"""Sound to files that appear whole or not at all.

libsndfile (through soundfile) encodes flac, ogg and mp3. Wav is written here, because soundfile
can write no broadcast-wave time and puts the date into its float files.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from stepedit_fx.atomic import atomic_write
from stepedit_fx.audio import Samples, Sound, blocks
from stepedit_fx.errors import WriteError, did_you_mean
from stepedit_fx.files.riff import wave_header

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Coding:
    """How samples are kept. bits: of an integer sample; float_bytes: of a float one; else lossy."""

    bits: int = 0
    float_bytes: int = 0


@dataclass(frozen=True)
class _Format:
    """A file format; its first coding is the default. rates_hz: empty where any will do."""

    name: str
    codings: dict[str, _Coding]
    max_channels: int = 65_535
    rates_hz: tuple[int, ...] = ()
    # Near the top of the encoder's scale: about 280 kbit/s for full-band stereo noise.
    quality: tuple[tuple[str, Any], ...] = ()


_WAV = _Format(
    "WAV",
    {
        "PCM_24": _Coding(24),
        "PCM_16": _Coding(16),
        "PCM_32": _Coding(32),
        "PCM_U8": _Coding(8),
        "FLOAT": _Coding(float_bytes=4),
        "DOUBLE": _Coding(float_bytes=8),
    },
)
_FLAC = _Format("FLAC", {"PCM_24": _Coding(24), "PCM_16": _Coding(16), "PCM_S8": _Coding(8)}, 8)
_OGG = _Format("OGG", {"VORBIS": _Coding()}, 255, quality=(("compression_level", 0.2),))
_MP3 = _Format(
    "MP3",
    {"MPEG_LAYER_III": _Coding()},
    2,
    (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    (("compression_level", 0.0), ("bitrate_mode", "VARIABLE")),
)
_FORMATS = {".wav": _WAV, ".flac": _FLAC, ".ogg": _OGG, ".mp3": _MP3}
WRITABLE_SUFFIXES = tuple(_FORMATS)


def check_writable(path: Path | str, subtype: str | None = None) -> str:
    """The subtype that `write_audio` would use for this path; touches nothing.

    Raises WriteError for an ending or a subtype that cannot be written.
    """
    return _choose(Path(path), subtype)[1]


def write_audio(path: Path | str, audio: Sound, *, subtype: str | None = None) -> None:
    """Write wav, flac, ogg or mp3, by the path's ending, atomically; missing folders are made.

    subtype: wav PCM_24 (default), PCM_16, PCM_32, PCM_U8, FLOAT or DOUBLE; flac PCM_24
    (default), PCM_16 or PCM_S8; ogg VORBIS; mp3 MPEG_LAYER_III. Integers are rounded to nearest;
    samples past full scale are clipped there, with a warning, in all but FLOAT and DOUBLE.
    A start above 0 s goes into a wav as broadcast time, to the nearest frame; other formats
    have no place for it. Equal audio gives equal wav, flac and mp3 bytes.
    Raises WriteError, with what was at ``path`` untouched, for an ending, subtype, rate or
    channel count the format does not have, for no samples, and where the disk refuses.
    """
    path = Path(path)
    form, subtype = _choose(path, subtype)
    _check_fits(path, form, audio)
    coding = form.codings[subtype]
    heard = _Heard(audio)
    with atomic_write(path) as file:
        if form is _WAV:
            _write_wav(file, heard, coding)
        else:
            _encode(path, file, heard, form, subtype)
    if not coding.float_bytes:
        _warn_if_clipped(path, heard.peak)


def _choose(path: Path, subtype: str | None) -> tuple[_Format, str]:
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise WriteError.of(
            path,
            f"cannot write files ending in '{suffix}'" if suffix else "its name has no ending",
            did_you_mean(suffix, WRITABLE_SUFFIXES) or "Use .wav, .flac, .ogg or .mp3.",
        )
    form = _FORMATS[suffix]
    if subtype is None:
        return form, next(iter(form.codings))
    if subtype not in form.codings:
        raise WriteError.of(
            path, f"{form.name} has no subtype '{subtype}'", f"It has {', '.join(form.codings)}."
        )
    return form, subtype


def _check_fits(path: Path, form: _Format, audio: Sound) -> None:
    if audio.frames == 0:
        raise WriteError.of(
            path, "there are no samples to write", "Check the edits that shorten: vad, speed."
        )
    if audio.channels > form.max_channels:
        raise WriteError.of(
            path,
            f"{form.name} holds at most {form.max_channels} channels, not {audio.channels}",
            "Write .wav instead.",
        )
    if form.rates_hz and audio.sample_rate not in form.rates_hz:
        raise WriteError.of(
            path,
            f"{form.name} has no rate of {audio.sample_rate} Hz, only "
            + ", ".join(map(str, form.rates_hz)),
            "Write .wav or .flac instead, or start from a recording at one of these rates.",
        )


class _Heard:
    """A sound on its way into a file, once from start to end. peak: of what has passed so far."""

    def __init__(self, sound: Sound) -> None:
        self.sound = sound
        self.peak = 0.0

    def __iter__(self) -> Iterator[Samples]:
        """The samples as a file has them, (frames, channels), a block at a time."""
        for block in blocks(self.sound):
            self.peak = max(self.peak, float(block.max()), -float(block.min()))
            yield block.T


def _warn_if_clipped(path: Path, peak: float) -> None:
    if peak > 1.0:
        over_db = 20 * math.log10(peak)
        logger.warning(
            "%s: clipped, its peak is %.1f dB over full scale; lower the gain or write FLOAT",
            path,
            over_db,
        )


def _to_integers(block: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Samples as integers of so many bits, to the nearest; float64 holds all of them exactly."""
    scale = float(1 << (bits - 1))
    scaled = np.rint(block.astype(np.float64) * scale)
    return np.clip(scaled, -scale, scale - 1, out=scaled).astype(np.int32)


def _write_wav(file: BinaryIO, heard: _Heard, coding: _Coding) -> None:
    audio = heard.sound
    sample_bytes = coding.float_bytes or coding.bits // 8
    header = wave_header(
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        frames=audio.frames,
        sample_bytes=sample_bytes,
        is_float=coding.float_bytes > 0,
        start=max(0, round(audio.start_s * audio.sample_rate)),
    )
    file.write(header)
    for block in heard:
        if coding.float_bytes:
            file.write(block.astype(f"<f{coding.float_bytes}", order="C").tobytes())
        else:
            file.write(_pack(_to_integers(block, coding.bits), coding.bits))
    if audio.frames * audio.channels * sample_bytes % 2:
        file.write(b"\0")  # chunks are padded to even length


def _pack(integers: NDArray[np.int32], bits: int) -> bytes:
    """Integers as wav has them: little-endian, signed, but 8 bits unsigned."""
    if bits == 8:
        return (integers + 128).astype(np.uint8).tobytes()
    if bits == 24:
        # Column by column: numpy copies a row of three bytes at a time five times slower.
        low_first = np.ascontiguousarray(integers, "<i4").view(np.uint8).reshape(-1, 4)
        packed = np.empty((len(low_first), 3), np.uint8)
        for byte in range(3):
            packed[:, byte] = low_first[:, byte]
        return packed.tobytes()
    return integers.astype(f"<i{bits // 8}", order="C").tobytes()


class _Sink(io.RawIOBase):
    """Lets libsndfile write to an open file and keeps the error it would print and forget.

    error: set from outside, too, to have the encoding stop.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: BaseException | None = None

    def write(self, data: Any, /) -> int:
        if self.error is None:
            try:
                return self._file.write(data)
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if self.error is None:
            try:
                return self._file.seek(offset, whence)
            except OSError as error:  # seeking flushes, and a full disk shows then
                self.error = error
        return 0

    def tell(self) -> int:
        return self._file.tell() if self.error is None else 0


def _encode(path: Path, file: BinaryIO, heard: _Heard, form: _Format, subtype: str) -> None:
    """Have libsndfile write the samples, in a thread, for as long as nobody interrupts.

    Ctrl-C is raised in the main thread, wherever that is; inside what libsndfile calls back it
    would be printed and forgotten, and a file with a hole in it be taken for whole.
    """
    sink = _Sink(file)
    with ThreadPoolExecutor(1) as pool:
        encoding = pool.submit(_encode_to, sink, heard, form, subtype)
        try:
            encoding.result()
        except soundfile.LibsndfileError as error:
            if sink.error is None:
                raise WriteError.of(
                    path, f"cannot be encoded: {error.error_string}", "Write .wav instead."
                ) from error
        except BaseException as error:
            sink.error = error
            raise
    if sink.error is not None:
        raise sink.error


def _encode_to(sink: _Sink, heard: _Heard, form: _Format, subtype: str) -> None:
    bits = form.codings[subtype].bits
    with soundfile.SoundFile(
        sink,
        "w",
        samplerate=heard.sound.sample_rate,
        channels=heard.sound.channels,
        format=form.name,
        subtype=subtype,
        **dict(form.quality),
    ) as sound:
        for block in heard:
            if sink.error is not None:
                break
            if bits:  # libsndfile truncates floats; it takes integers from the top bit down
                sound.write(_to_integers(block, bits) << (32 - bits))
            else:
                sound.write(np.clip(block, -1.0, 1.0))
