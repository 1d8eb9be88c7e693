"""Finding the worker of an engine's settings, or starting it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from stepedit_fx.engines.base import EngineSettings
from stepedit_fx.errors import EngineError
from stepedit_fx.worker.address import Address, address_of
from stepedit_fx.worker.locks import held
from stepedit_fx.worker.wire import GREETING

logger = logging.getLogger(__name__)

START_S = 60.0  # torch alone takes seconds to load from a slow disk
LOOK_S = 0.05
GREETING_S = 5.0
LOG_TAIL = 2000
MOST_LOG = 1 << 20  # bytes; a longer one is put aside, and the one before forgotten

_children: list[subprocess.Popen[bytes]] = []


class Starter:
    """Connections to the worker of these settings; started where there is none.

    Raises ReadError where the model is not there, RequestError as `address_of`.
    """

    def __init__(self, settings: EngineSettings, folder: Path | None = None) -> None:
        self.data = settings.settled().model_dump(mode="json")
        # Other weights in the same folder are another worker's.
        self.address: Address = address_of({**self.data, "identity": settings.identity}, folder)

    def connected(self) -> socket.socket:
        """A connection. Raises EngineError where no worker can be started."""
        link = connected(self.address)
        if link is not None:
            return link
        # One at a time: sixty clients that find nobody must not start sixty workers.
        with held(self.address.start, wait=True):
            return connected(self.address) or self._started()

    def _started(self) -> socket.socket:
        process = start(self.address, self.data)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            link = connected(self.address)
            if link is not None:
                return link
            if process.poll() not in (None, 0):  # 0: another was first, and will listen soon
                raise EngineError(
                    f"the worker process could not start (exit code {process.returncode})",
                    remedy=_tail(self.address.log),
                )
            time.sleep(LOOK_S)
        raise EngineError(
            f"the worker process did not listen within {START_S:.0f} s",
            remedy=f"Its log: {self.address.log}.",
        )


def connected(address: Address) -> socket.socket | None:
    """A connection to a worker that lives; None where nobody listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(os.fspath(address.socket))
        # One that is being killed still takes connections in, but greets nobody.
        link.settimeout(GREETING_S)
        if link.recv(len(GREETING), socket.MSG_WAITALL) == GREETING:
            link.settimeout(None)
            return link
    except OSError:  # no socket, or one that a dead worker left
        pass
    link.close()
    return None


def start(address: Address, settings: dict[str, object]) -> subprocess.Popen[bytes]:
    """A worker process of its own, that outlives this one."""
    shorten(address)
    with address.log.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module, and a path that we made
            [sys.executable, "-m", "stepedit_fx.worker.process", os.fspath(address.socket)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal stops the client, not the model
        )
    # Held for as long as this process lives: a worker is not waited for, but reaped when it ends.
    _children[:] = [child for child in _children if child.poll() is None]
    _children.append(process)
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(settings).encode())
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended at once; whoever waits for it says why
    return process


def shorten(address: Address) -> None:
    """Put a log that has become long aside, and begin it again in its place.

    A worker that lives for weeks goes on writing at the end of the same file. On a full disk what
    was said is given up.
    """
    with suppress(OSError):
        if address.log.stat().st_size > MOST_LOG:
            with suppress(OSError):
                shutil.copyfile(address.log, address.old_log)
            os.truncate(address.log, 0)


def _tail(log: Path) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    except OSError:
        return f"Its log: {log}."
    last = text.strip().splitlines()
    return last[-1] if last else f"Its log: {log}."
