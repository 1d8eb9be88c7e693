"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import filecmp
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stepedit_fx.errors import WriteError

# Temporary files carry these, so that whoever tidies a folder knows ours.
TEMPORARY_PREFIX = ".stepedit-"
TEMPORARY_SUFFIX = ".tmp"

_BUFFER_BYTES = 1 << 20

_REMEDIES = {
    errno.ENOSPC: "The disk is full: free some space, or write to another one.",
    errno.EFBIG: "The file is larger than this disk or your account allows: write elsewhere.",
    errno.EACCES: "Choose a folder you may write to, and close programs that have the file open.",
    errno.EPERM: "Choose a folder you may write to.",
    errno.EROFS: "This disk is read-only: write to another one.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOTDIR: "A file stands where a folder is needed: choose another path.",
    errno.EEXIST: "A file stands where a folder is needed: choose another path.",
    errno.EISDIR: "A folder has this name: choose another one.",
}
if hasattr(errno, "EDQUOT"):  # not on Windows
    _REMEDIES[errno.EDQUOT] = "Your disk quota is used up: free some space, or write elsewhere."


@contextmanager
def atomic_write(path: Path | str, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A new binary file, open for writing, that takes the place of ``path`` at the end.

    Whatever goes wrong before that, Ctrl-C included, leaves what was at ``path`` as it was and
    no temporary file. Missing parent folders are made; a symbolic link is written through.
    durable: wait until the disk has the bytes; without it a power cut may leave an empty file.
    Raises WriteError in place of any OSError, naming the remedy.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        real = Path(os.path.realpath(target))
        if real.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        real.parent.mkdir(parents=True, exist_ok=True)
        name = f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        temporary = real.parent / name  # beside the target: renaming must not cross disks
        with temporary.open("xb", buffering=_BUFFER_BYTES) as file:
            yield file
            file.flush()
            same = durable and _is_same(temporary, real)
            if durable and not same:
                os.fsync(file.fileno())
        if not same:  # else waiting for the disk, which costs most of a small file, is for nothing
            temporary.replace(real)
            temporary = None
    except OSError as error:
        raise _write_error(target, error) from error
    finally:
        if temporary is not None:
            _discard(temporary)


def write_bytes(path: Path | str, data: bytes, *, durable: bool = True) -> None:
    """Put ``data`` at ``path``, whole or not at all. Raises WriteError."""
    with atomic_write(path, durable=durable) as file:
        file.write(data)


def write_text(path: Path | str, text: str, *, durable: bool = True) -> None:
    """Put ``text`` at ``path`` as UTF-8 with the line ends it has. Raises WriteError."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def _write_error(path: Path, error: OSError) -> WriteError:
    cause = f"{path}: cannot be written: {error.strerror or error}"
    remedy = _REMEDIES.get(error.errno or 0, "Write to another folder.")
    return WriteError(cause, remedy=remedy)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:  # no file there yet, or one that may not be read: write it
        return False


def _discard(temporary: Path) -> None:
    try:
        temporary.unlink(missing_ok=True)
    except OSError:  # the folder itself is gone or locked: the first error says so already
        return
