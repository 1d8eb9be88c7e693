"""What makes two results the same: one digest over typed values."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from pathlib import Path

from stepedit_fx.errors import ReadError

# Every value becomes a one-byte type, the count of what follows, and what follows: no two
# different values give the same bytes, and no process or platform gives other ones.
_NONE, _TRUE, _FALSE, _INT, _FLOAT, _STR, _BYTES, _LIST, _TUPLE, _DICT = (
    bytes([code]) for code in b"NTFidsbltm"
)


def digest(*values: object) -> str:
    """sha256, in hex, of values: equal exactly when the values and their types are.

    Takes None, bool, int, float, str, bytes, and lists, tuples and str-keyed dicts of them, to
    any depth; the order of a dict's keys does not count, and -0.0 is 0.0. Raises ValueError for
    NaN, which equals nothing, and TypeError for any other type.
    """
    hasher = hashlib.sha256()
    for piece in _encode(values):
        hasher.update(piece)
    return hasher.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes. Raises ReadError."""
    try:
        with path.open("rb") as file:
            hasher = hashlib.sha256()
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error)) from error
    return hasher.hexdigest()


def _encode(value: object) -> Iterator[bytes]:
    if value is None:
        yield _NONE
    elif isinstance(value, bool):
        yield _TRUE if value else _FALSE
    elif isinstance(value, int):
        yield from _sized(
            _INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
        )  # one bit more than the magnitude, for the sign: the shortest form, so the only one
    elif isinstance(value, float):
        if math.isnan(value):
            raise ValueError("NaN has no digest: it equals nothing, itself included")
        yield _FLOAT + struct.pack(">d", value + 0.0)  # -0.0 + 0.0 is 0.0
    elif isinstance(value, str):
        yield from _sized(_STR, value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes):
        yield from _sized(_BYTES, value)
    elif isinstance(value, list | tuple):
        yield _LIST if isinstance(value, list) else _TUPLE
        yield _count(len(value))
        for item in value:
            yield from _encode(item)
    elif isinstance(value, dict):
        yield _DICT + _count(len(value))
        for key in sorted(_str_keys(value)):
            yield from _sized(_STR, key.encode("utf-8", "surrogatepass"))
            yield from _encode(value[key])
    else:
        raise TypeError(f"no digest for {type(value).__name__}")


def _sized(kind: bytes, body: bytes) -> Iterator[bytes]:
    yield kind + _count(len(body))
    yield body


def _count(number: int) -> bytes:
    return struct.pack(">Q", number)


def _str_keys(value: dict[object, object]) -> list[str]:
    keys = [key for key in value if isinstance(key, str)]
    if len(keys) != len(value):
        raise TypeError("no digest for a dict with keys other than str")
    return keys
