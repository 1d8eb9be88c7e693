"""Where a worker can be found: one socket for each model and its settings, this user's alone."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepedit_fx.errors import RequestError

FOLDER_VARIABLE = "STEPEDIT_RUN"
MOST_PATH = 100  # bytes; the system takes 104 to 108 for a socket's path


@dataclass(frozen=True)
class Address:
    """The files of one worker. socket: where it listens. lock: held while it lives.

    start: held by whoever starts it. old_log: what was put aside of a log that became long.
    """

    socket: Path
    lock: Path
    log: Path

    @property
    def start(self) -> Path:
        return self.lock.with_suffix(".start")

    @property
    def old_log(self) -> Path:
        return self.log.with_suffix(".log.old")


def address_of(settings: Mapping[str, Any], folder: Path | None = None) -> Address:
    """The address of the worker with these engine settings.

    Raises RequestError for a folder that others may write to, or whose name is too long.
    """
    place = folder or default_folder()
    _make_private(place)
    text = json.dumps(dict(settings), sort_keys=True, default=str)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    found = Address(place / f"{name}.sock", place / f"{name}.lock", place / f"{name}.log")
    if len(os.fsencode(found.socket)) > MOST_PATH:
        raise RequestError(
            f"{found.socket}: too long a path for a socket",
            remedy=f"Set {FOLDER_VARIABLE} to a folder with a shorter name.",
        )
    return found


def addresses(folder: Path | None = None) -> list[Address]:
    """Every worker that has been started and not cleaned up."""
    place = folder or default_folder()
    return [
        Address(path, path.with_suffix(".lock"), path.with_suffix(".log"))
        for path in sorted(place.glob("*.sock"))
    ]


def default_folder() -> Path:
    """$STEPEDIT_RUN, else the user's runtime folder, else one in the folder for temporary files."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "stepedit_fx"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"stepedit_fx-{user}"


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RequestError(
            f"{folder}: a worker cannot live here: {error.strerror or error}",
            remedy=f"Name another folder with {FOLDER_VARIABLE}.",
        ) from error
    mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if not stat.S_ISDIR(found.st_mode) or not mine or found.st_mode & 0o022:
        raise RequestError(
            f"{folder}: others may write here, so a worker there could be anybody's",
            remedy=f"chmod 700 it, or name another folder with {FOLDER_VARIABLE}.",
        )
