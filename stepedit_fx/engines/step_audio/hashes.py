"""sha256 of files that take seconds to read, remembered for as long as they do not change."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from stepedit_fx.atomic import write_text
from stepedit_fx.errors import ReadError, WriteError
from stepedit_fx.store.keys import digest, file_digest

logger = logging.getLogger(__name__)

SMALL_BYTES = 4 << 20  # read at once: looking it up would save nothing
SETTLED_NS = 2_000_000_000  # the coarsest clock of a file system we know ticks every 2 s


def cache_folder() -> Path:
    """Where hashes are remembered."""
    from platformdirs import user_cache_path

    return user_cache_path("stepedit_fx", appauthor=False) / "hashes"


def sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hex; remembered by path, size, change time and inode.

    Raises ReadError.
    """
    try:
        real = path.resolve()
        found = real.stat()
    except OSError as error:
        raise ReadError.of(path, error.strerror or str(error)) from error
    if found.st_size <= SMALL_BYTES:
        return file_digest(real)
    state = [found.st_size, found.st_mtime_ns, found.st_ino]
    note = cache_folder() / f"{digest(str(real))}.json"
    known = _read(note, state)
    if known:
        return known
    hashed = file_digest(real)
    # A file written just now could change once more within the same tick of its clock.
    if time.time_ns() - found.st_mtime_ns > SETTLED_NS:
        _write(note, {"file": str(real), "state": state, "sha256": hashed})
    return hashed


def _read(note: Path, state: list[int]) -> str:
    try:
        data = json.loads(note.read_text(encoding="utf-8"))
        return str(data["sha256"]) if data["state"] == state else ""
    except (OSError, ValueError, KeyError, TypeError):  # not known, or damaged: read the file
        return ""


def _write(note: Path, data: dict[str, object]) -> None:
    try:
        write_text(note, json.dumps(data), durable=False)
    except WriteError as error:  # costs the same seconds next time, and nothing else
        logger.info("hash not remembered: %s", error)
