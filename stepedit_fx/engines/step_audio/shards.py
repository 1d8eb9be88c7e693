"""The language model's safetensors files, looked at without loading a tensor.

transformers loads them; this says beforehand, by name, which shard is missing or cut short.
Source: the safetensors format, an 8-byte little-endian length, a JSON header, the values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepedit_fx.engines.step_audio.documents import read_json
from stepedit_fx.engines.step_audio.layout import FETCH, INDEX, SINGLE
from stepedit_fx.errors import ReadError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
# Bits of a value, by the name that the format gives its type.
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32,
    "F16": 16, "BF16": 16, "I16": 16, "U16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8, "BOOL": 8,
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """One stored tensor. dtype: as the format names it (BF16, F32, I32)."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * BITS.get(self.dtype, 8) // 8


def shard_paths(folder: Path) -> tuple[Path, ...]:
    """The language model's shards, as its index names them, or the one file without an index.

    Raises ReadError for an index that is malformed or names files outside the folder.
    """
    index = folder / INDEX
    if not index.is_file():
        return (folder / SINGLE,)
    return tuple(folder / name for name in dict.fromkeys(_weight_map(index).values()))


def read_header(path: Path) -> dict[str, TensorInfo]:
    """What a safetensors file holds, by name, read from its header.

    Raises ReadError for a file that is missing, of another format, or cut short.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, max(size - 8, 0)):
                raise _broken(path, size)
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        found = {str(name): _info(entry) for name, entry in header.items()}
        end = 8 + length + max((int(e["data_offsets"][1]) for e in header.values()), default=0)
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error), remedy=FETCH) from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ReadError.of(path, f"has no safetensors header ({error})", remedy=FETCH) from error
    if size != end:
        raise ReadError.of(path, f"is {_state(size, end)}: {size} of {end} bytes", remedy=FETCH)
    return found


def read_headers(folder: Path) -> dict[str, TensorInfo]:
    """What all shards of a folder hold together.

    Raises ReadError that names a shard which is missing, cut short or at odds with the index.
    """
    index = folder / INDEX
    placed = _weight_map(index) if index.is_file() else None
    found: dict[str, TensorInfo] = {}
    for path in shard_paths(folder):
        here = read_header(path)
        if placed is not None:
            wanted = {name for name, shard in placed.items() if shard == path.name}
            gone = sorted(wanted - here.keys())
            if gone:
                cause = f"lacks {len(gone)} tensors that {INDEX} places in it, as {gone[0]}"
                raise ReadError.of(path, cause, remedy=FETCH)
        found |= here
    return found


def _weight_map(index: Path) -> Mapping[str, str]:
    placed = read_json(index).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise ReadError.of(index, "places no tensors in shards", remedy=FETCH)
    for tensor, name in placed.items():
        if not isinstance(name, str) or not _is_plain_name(name):
            raise ReadError.of(
                index,
                f"places {tensor} in {name!r}, which is no safetensors file of its own folder",
                remedy="Do not use this file: fetch the published one.",
            )
    return placed


def _is_plain_name(name: str) -> bool:
    return name.endswith(".safetensors") and not set(name) & set("/\\:\0") and name[0] != "."


def _info(entry: Any) -> TensorInfo:
    info = TensorInfo(tuple(int(n) for n in entry["shape"]), str(entry["dtype"]))
    start, end = entry["data_offsets"]
    if info.dtype in BITS and (min(info.shape, default=1) < 0 or info.bytes != end - start):
        raise ValueError("a tensor's size is not that of its values")
    return info


def _broken(path: Path, size: int) -> ReadError:
    with path.open("rb") as file:
        pointer = file.read(32).startswith(b"version https://git-lfs")
    cause = "is a git-lfs pointer, not the file" if pointer else "is no safetensors file"
    if size < 8:
        cause = f"is half downloaded: {size} bytes"
    return ReadError(f"{path}: {cause}, or its beginning is missing", remedy=FETCH)


def _state(size: int, end: int) -> str:
    return "half downloaded" if size < end else "longer than what it holds"
