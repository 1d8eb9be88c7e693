"""Chunks of wav and aiff files: what a header promises, broadcast-wave time, wav headers.

Sources: Microsoft "Multimedia Programming Interface and Data Specifications 1.0" (RIFF),
EBU Tech 3285 (bext), EBU Tech 3306 (RF64), Apple "Audio Interchange File Format 1.3" (aiff).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

# A writer that streams cannot know the length and leaves one of these (ffmpeg, sox, arecord).
_UNKNOWN_SIZES = frozenset({0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000})
_MAX_CHUNKS = 4096  # far above any real file; bounds the walk through a malicious one
_CHUNK_HEAD_BYTES = 8
_RIFF_HEAD_BYTES = 12

_BEXT_BYTES = 602  # EBU Tech 3285, version 1, without a coding history
_BEXT_TIME_AT = 338  # after description 256, originator 32, its reference 32, date 10, time 8
_BEXT_VERSION_AT = 346

_RIFF_MAX_BYTES = 0xFFFFFFFF
_TAG_PCM, _TAG_FLOAT, _TAG_EXTENSIBLE = 1, 3, 0xFFFE
# KSDATAFORMAT_SUBTYPE_*: the format tag, then this tail.
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True)
class Header:
    """What a header says of its file.

    promised_bytes: of sample data, None where the header does not know. there_bytes: of sample
    data that the file really holds. frame_bytes: a frame's size, 0 if unknown.
    time_reference: bext start in frames, 0 where there is none.
    """

    promised_bytes: int | None
    there_bytes: int
    frame_bytes: int
    time_reference: int = 0

    @property
    def truncated(self) -> bool:
        return self.promised_bytes is not None and self.there_bytes < self.promised_bytes

    @property
    def unfinished(self) -> bool:
        """Sample data follows a header that was left at zero, as by a crashed recorder."""
        return self.promised_bytes == 0 and self.there_bytes > 0


def read_header(file: BinaryIO) -> Header | None:
    """The header of a RIFF, RF64, BW64 or AIFF file; None for anything else.

    Reads chunk heads and the few small chunks it needs; never follows a size past the file.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(_RIFF_HEAD_BYTES)
    if len(head) < _RIFF_HEAD_BYTES:
        return None
    form, kind = head[:4], head[8:]
    if form in (b"RIFF", b"RF64", b"BW64") and kind == b"WAVE":
        return _read_wave(file, size)
    if form == b"FORM" and kind in (b"AIFF", b"AIFC"):
        return _read_aiff(file, size)
    return None


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    at: int  # of its body
    size: int  # as its head says


def _chunks(
    file: BinaryIO, file_bytes: int, order: str, sizes: dict[bytes, int]
) -> Iterator[_Chunk]:
    at = _RIFF_HEAD_BYTES
    for _ in range(_MAX_CHUNKS):
        if at + _CHUNK_HEAD_BYTES > file_bytes:
            return
        file.seek(at)
        name, size = struct.unpack(f"{order}4sI", file.read(_CHUNK_HEAD_BYTES))
        size = sizes.get(name, size) if size == 0xFFFFFFFF else size
        yield _Chunk(name, at + _CHUNK_HEAD_BYTES, size)
        at += _CHUNK_HEAD_BYTES + size + size % 2  # chunks start on even bytes


def _body(file: BinaryIO, chunk: _Chunk, limit: int) -> bytes:
    file.seek(chunk.at)
    return file.read(min(chunk.size, limit))


def _read_wave(file: BinaryIO, file_bytes: int) -> Header | None:
    frame_bytes = time_reference = 0
    data: _Chunk | None = None
    long_sizes: dict[bytes, int] = {}  # RF64: the true sizes, in its first chunk
    for chunk in _chunks(file, file_bytes, "<", long_sizes):
        if chunk.name == b"ds64":
            body = _body(file, chunk, 24)
            if len(body) == 24:
                long_sizes[b"data"] = struct.unpack("<8xQ8x", body)[0]
        elif chunk.name == b"fmt ":
            body = _body(file, chunk, 16)
            if len(body) == 16:
                frame_bytes = struct.unpack("<12xH2x", body)[0]
        elif chunk.name == b"bext":
            body = _body(file, chunk, _BEXT_VERSION_AT)
            if len(body) == _BEXT_VERSION_AT:
                time_reference = struct.unpack_from("<Q", body, _BEXT_TIME_AT)[0]
        elif chunk.name == b"data" and data is None:
            data = chunk
    if data is None:
        return None
    there = max(0, file_bytes - data.at)
    promised = None if data.size in _UNKNOWN_SIZES else data.size
    if promised:
        there = min(there, promised)
    return Header(promised, there, frame_bytes, time_reference)


def _read_aiff(file: BinaryIO, file_bytes: int) -> Header | None:
    frame_bytes = 0
    for chunk in _chunks(file, file_bytes, ">", {}):
        if chunk.name == b"COMM":
            body = _body(file, chunk, 8)
            if len(body) == 8:
                channels, bits = struct.unpack(">H4xH", body)
                frame_bytes = channels * ((bits + 7) // 8)
        elif chunk.name == b"SSND":
            # Its body starts with an offset and a block size, four bytes each.
            there = max(0, min(file_bytes - chunk.at, chunk.size) - 8)
            return Header(max(0, chunk.size - 8), there, frame_bytes)
    return None


def wave_header(
    *, sample_rate: int, channels: int, frames: int, sample_bytes: int, is_float: bool, start: int
) -> bytes:
    """All of a wav file up to its first sample: RIFF, or RF64 where 4 GiB are not enough.

    start: frames since midnight, written as a bext chunk when above 0. sample_rate: hertz.
    A file with an odd number of data bytes needs one zero byte after them.
    """
    data_bytes = frames * channels * sample_bytes
    chunks = _format_chunk(sample_rate, channels, sample_bytes, is_float)
    if is_float:  # required beside any format but PCM
        chunks += struct.pack("<4sII", b"fact", 4, min(frames, 0xFFFFFFFF))
    if start > 0:
        chunks = _bext_chunk(start) + chunks
    riff_bytes = 4 + len(chunks) + _CHUNK_HEAD_BYTES + data_bytes + data_bytes % 2
    if riff_bytes <= _RIFF_MAX_BYTES:
        head = struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE")
        return head + chunks + struct.pack("<4sI", b"data", data_bytes)
    long_sizes = struct.pack("<4sIQQQI", b"ds64", 28, riff_bytes + 36, data_bytes, frames, 0)
    head = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE")
    return head + long_sizes + chunks + struct.pack("<4sI", b"data", 0xFFFFFFFF)


def _format_chunk(sample_rate: int, channels: int, sample_bytes: int, is_float: bool) -> bytes:
    tag = _TAG_FLOAT if is_float else _TAG_PCM
    frame_bytes = channels * sample_bytes
    rates = (channels, sample_rate, sample_rate * frame_bytes, frame_bytes, sample_bytes * 8)
    if channels > 2:
        # Extensible is required from three channels on; mask 0 names no loudspeakers.
        extra = struct.pack("<HHIH", 22, sample_bytes * 8, 0, tag) + _GUID_TAIL
        body = struct.pack("<HHIIHH", _TAG_EXTENSIBLE, *rates) + extra
    elif is_float:
        body = struct.pack("<HHIIHHH", tag, *rates, 0)
    else:
        body = struct.pack("<HHIIHH", tag, *rates)
    return struct.pack("<4sI", b"fmt ", len(body)) + body


def _bext_chunk(start: int) -> bytes:
    # Date and origin stay empty: the same render must give the same bytes on any day.
    body = bytearray(_BEXT_BYTES)
    struct.pack_into("<QH", body, _BEXT_TIME_AT, start, 1)
    return struct.pack("<4sI", b"bext", _BEXT_BYTES) + bytes(body)
