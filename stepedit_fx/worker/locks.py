"""Files that one process at a time may hold; freed when the process ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def held(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock file, waiting for it or not; whether it is held. Its holder may remove it."""
    while True:
        with path.open("a") as file:
            if not _locked(file, wait):
                yield False
                return
            if _is_there(file, path):
                yield True
                return
        # Removed by its last holder after it was opened here: locking it keeps nobody out.


def sign(path: Path) -> None:
    """Say in a lock file, which this process holds, which process it is.

    On a full disk it stays unsaid: who asks the worker itself is told all the same.
    """
    with suppress(OSError):
        path.write_text(f"{os.getpid()}\n", encoding="ascii")


def holder(path: Path) -> int:
    """The process that signed a lock file last; 0 where none did."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _is_there(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _locked(file: IO[str], wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        mode = "LK_LOCK" if wait else "LK_NBLCK"
        try:
            msvcrt.locking(file.fileno(), getattr(msvcrt, mode), 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
