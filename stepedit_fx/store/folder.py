"""Entries as files in one folder that several processes may use at once.

Nothing is locked between processes. A file appears by renaming, so a reader sees all of it or
none; a file that another process evicts is a miss; a file that is written twice is the same
twice, since its name says what it holds. Its modification time is when it was last used.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.atomic import TEMPORARY_PREFIX, atomic_write
from stepedit_fx.errors import StoreError
from stepedit_fx.store.blob import Pieces

logger = logging.getLogger(__name__)

_SUFFIX = ".safetensors"
_SHARD = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"[0-9a-f]{62}\.safetensors")
_KEEP_SHARE = 0.9  # evict to this share of the limit, so that not every put has to
_RESCAN_SHARE = 0.125  # look at what others wrote after putting in this share of the limit
_ABANDONED_S = 3600.0  # a temporary file this old was left by a process that died


@dataclass(frozen=True)
class File:
    """One entry on disk. used_ns: when it was last used, nanoseconds since 1970."""

    key: str
    path: Path
    bytes: int
    used_ns: int


class Folder:
    """Files named by key, evicted least-recently-used once they exceed ``max_bytes``."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._total_bytes: int | None = None  # ours to estimate; None until the first look
        self._put_bytes = 0  # since the last look

    def has(self, key: str) -> bool:
        return self._path(key).exists()

    def read(self, key: str) -> bytes | None:
        """The file's bytes, None where there is none. Raises OSError if it cannot be read."""
        try:
            with self._path(key).open("rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def touch(self, key: str) -> None:
        """Mark as used now."""
        now_ns = time.time_ns()  # the kernel's own clock ticks too coarsely to order uses
        try:
            os.utime(self._path(key), ns=(now_ns, now_ns))
        except OSError:  # evicted meanwhile, or a folder we may only read: nothing is lost
            logger.debug("cannot mark %s as used", key, exc_info=True)

    def write(self, key: str, pieces: Pieces) -> None:
        """Put a file in place and make room if needed. Raises WriteError, StoreError.

        Not synced to disk: should the power fail, the checksum shows it.
        """
        size = sum(len(p) if isinstance(p, bytes) else p.nbytes for p in pieces)
        if size > self.max_bytes:
            logger.debug("%s is larger than the whole store may be", key)
            return
        with atomic_write(self._path(key), durable=False) as file:
            for piece in pieces:
                file.write(piece)
        self.touch(key)
        self._make_room(size)

    def remove(self, key: str) -> bool:
        """Whether a file was there and is gone now."""
        try:
            self._path(key).unlink()
        except OSError:  # gone already, or held open elsewhere (Windows): the next look sees
            return False
        return True

    def files(self) -> Iterator[File]:
        """Every entry; anything else in the folder is left out and left alone.

        Raises StoreError for a folder that may not be listed.
        """
        for shard in _scan(self.path):
            if not _SHARD.fullmatch(shard.name):
                continue
            for found in _scan(shard.path):
                if _ENTRY.fullmatch(found.name) and found.is_file(follow_symlinks=False):
                    yield from _describe(shard.name, found)
                elif found.name.startswith(TEMPORARY_PREFIX):
                    _tidy(found)

    def clear(self) -> int:
        """Remove every entry; the bytes freed."""
        freed = sum(file.bytes for file in self.files() if self.remove(file.key))
        with self._lock:
            self._total_bytes = None
        return freed

    def _path(self, key: str) -> Path:
        return self.path / key[:2] / f"{key[2:]}{_SUFFIX}"

    def _make_room(self, put_bytes: int) -> None:
        with self._lock:
            self._put_bytes += put_bytes
            if self._total_bytes is not None:
                self._total_bytes += put_bytes
                known = self._put_bytes <= self.max_bytes * _RESCAN_SHARE
                if known and self._total_bytes <= self.max_bytes:
                    return
            self._total_bytes = self._evict()
            self._put_bytes = 0

    def _evict(self) -> int:
        """Look at every file and remove the longest unused down to the limit; what remains."""
        files = sorted(self.files(), key=lambda file: file.used_ns)
        total = sum(file.bytes for file in files)
        if total <= self.max_bytes:
            return total
        for file in files:
            if total <= self.max_bytes * _KEEP_SHARE:
                break
            self.remove(file.key)
            total -= file.bytes
        return total


def _scan(path: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be listed: {error.strerror or error}",
            remedy="Give yourself the right to read it, or remove it.",
        ) from error


def _describe(shard: str, found: os.DirEntry[str]) -> Iterator[File]:
    try:
        stat = found.stat()
    except FileNotFoundError:  # evicted by another process since the folder was listed
        return
    key = shard + found.name.removesuffix(_SUFFIX)
    yield File(key, Path(found.path), stat.st_size, stat.st_mtime_ns)


def _tidy(found: os.DirEntry[str]) -> None:
    try:
        if time.time() - found.stat().st_mtime > _ABANDONED_S:
            Path(found.path).unlink()
    except OSError:  # its owner finished or removed it first
        return
