"""Workers seen from outside: which there are, what they say of themselves, and their end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stepedit_fx.errors import EngineError
from stepedit_fx.worker.address import Address, addresses
from stepedit_fx.worker.locks import held, holder
from stepedit_fx.worker.starting import connected
from stepedit_fx.worker.wire import Closed, Message, frame, receive, send

ANSWER_S = 5.0
END_S = 10.0  # for an orderly end; then it is told, and then made to
LOOK_S = 0.05

Ended = Literal["stopped", "terminated", "killed"]


@dataclass(frozen=True)
class Found:
    """One worker. status: what it says; empty where it does not answer, and why says so."""

    address: Address
    pid: int
    status: Message
    why: str = ""


def find(
    folder: Path | None = None, *, cleared: Callable[[Path], None] = lambda socket: None
) -> list[Found]:
    """Every worker of this user that lives; what dead ones left is removed.

    cleared: told of each socket that was. Raises RequestError for a folder that others may write
    to.
    """
    found = []
    for address in addresses(folder):
        if _clear(address):
            cleared(address.socket)
        else:
            found.append(_look(address))
    return found


def stop(found: Found, *, end_s: float = END_S) -> Ended:
    """End a worker: asked first, then told, then made to.

    What it is doing is dropped, and who waits for it is told. Raises EngineError where its process
    does not end.
    """
    with suppress(EngineError, Closed, OSError):
        _ask(found.address, "stop")
    if _ends(found, end_s):
        _clear(found.address)
        for log in (found.address.log, found.address.old_log):
            log.unlink(missing_ok=True)  # an orderly end leaves nothing to explain
        return "stopped"
    if found.pid and os.name == "posix":
        ways: list[tuple[int, Ended]] = [
            (signal.SIGTERM, "terminated"),
            (signal.SIGKILL, "killed"),
        ]
        for number, how in ways:
            with suppress(ProcessLookupError):
                os.kill(found.pid, number)
            if _ends(found, end_s):
                _clear(found.address)
                return how
    raise EngineError(
        f"the worker with process id {found.pid or '(unknown)'} does not end",
        remedy="End the process by hand.",
    )


def _clear(address: Address) -> bool:
    """Remove what a worker left that lives no more; False where it lives."""
    with held(address.lock, wait=False) as is_dead:
        if is_dead:  # nobody can begin to listen while the lock is ours
            address.socket.unlink(missing_ok=True)
            with held(address.start, wait=False) as nobody_starts:
                if nobody_starts:
                    address.start.unlink(missing_ok=True)
            address.lock.unlink(missing_ok=True)
        return is_dead


def _look(address: Address) -> Found:
    pid = holder(address.lock)
    try:
        told = _ask(address, "status")
        return Found(address, int(told["pid"]), told)
    except (EngineError, Closed, OSError) as error:
        return Found(address, pid, {}, str(error) or type(error).__name__)


def _ask(address: Address, what: str) -> Message:
    """One order to one worker. Raises EngineError, Closed and OSError where none answers."""
    link = connected(address)
    if link is None:
        raise EngineError("it does not answer")
    with closing(link):
        link.settimeout(ANSWER_S)
        send(link, frame({"id": 1, "do": what}))
        return receive(link)[0]


def _ends(found: Found, within_s: float) -> bool:
    return _until(lambda: _is_gone(found.address), within_s)


def _is_gone(address: Address) -> bool:
    if not address.lock.exists():
        return True  # who holds it may remove it, nobody else
    with held(address.lock, wait=False) as free:
        return free


def _until(true: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)
    return True
