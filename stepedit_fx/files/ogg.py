"""Pages of ogg files: whether every one is there and whole (RFC 3533, 6).

libsndfile leaves out a page that is damaged and says nothing, so that a recording comes in with
seconds missing.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

_HEAD_BYTES = 27
_FLAGS_AT = 5
_CHECKSUM_AT = 22
_LAST_PAGE = 4  # flag: the stream ends here
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_fault(file: BinaryIO) -> str:
    """What is wrong with an ogg file, in words; empty where every page is there and whole."""
    at, ended = file.seek(0), False
    while page := _page(file):
        if not _is_all_there(page):
            break
        if not _is_sound(page):
            return f"is damaged at byte {at}"
        ended = bool(page[_FLAGS_AT] & _LAST_PAGE)
        at += len(page)
    # What follows the last page is no concern of ours: some programs append their tags.
    return "" if ended else f"is cut short: what is there ends at byte {at}"


def _page(file: BinaryIO) -> bytes:
    """The page that starts here, as far as it is there; nothing where none starts."""
    head = file.read(_HEAD_BYTES)  # its last byte counts the lengths that follow
    if len(head) < _HEAD_BYTES or head[:4] != b"OggS":
        return b""
    lengths = file.read(head[-1])
    return head + lengths + file.read(sum(lengths))


def _is_all_there(page: bytes) -> bool:
    lengths = page[_HEAD_BYTES : _HEAD_BYTES + page[_HEAD_BYTES - 1]]
    return len(page) == _HEAD_BYTES + page[_HEAD_BYTES - 1] + sum(lengths)


def _is_sound(page: bytes) -> bool:
    """Whether a page's checksum is right.

    Ogg's CRC-32 is zlib's (polynomial 0x04c11db7) with bits in the other order, starting from 0
    and not inverted; it is taken with its own four bytes at 0.
    """
    checksum = int.from_bytes(page[_CHECKSUM_AT : _CHECKSUM_AT + 4], "little")
    bare = page[:_CHECKSUM_AT] + bytes(4) + page[_CHECKSUM_AT + 4 :]
    crc = zlib.crc32(bare.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2) == checksum
