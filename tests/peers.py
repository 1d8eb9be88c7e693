"""Other people's programs that tests talk to: found or skipped, started, and ended by process id.

`.ci/run` installs them all and sets STEPEDIT_PEERS=all, with which a missing one fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

PATIENCE_S = 20.0


def program(*names: str) -> str:
    """The path of the first of these programs that is installed; skips the test without one."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        missing(f"{names[0]} is not installed")
    return str(found)


def library(name: str) -> ModuleType:
    """A Python library that needs one of the system's; skips the test without either."""
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: libjack or PortAudio is not installed
        missing(f"{name}: {error}")
        raise


def missing(why: str) -> None:
    """Skip, or fail where every peer must be there."""
    if os.environ.get("STEPEDIT_PEERS") == "all":
        pytest.fail(f"{why}, and STEPEDIT_PEERS=all")
    pytest.skip(why, allow_module_level=True)


@contextmanager
def running(
    command: Sequence[str], *, log: Path, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, its output in a file; gone at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                break
            os.killpg(process.pid, number)
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                continue


def until(
    true: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S, every_s: float = 0.02
) -> None:
    """Wait for something to become true; fails with what it was."""
    end = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {patience_s:g} s")
        time.sleep(every_s)


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def jack_server(folder: Path, *, rate: int = 48_000, frames: int = 256) -> Iterator[str]:
    """A JACK server with a dummy driver; gives its name, which is the default in os.environ."""
    jackd = program("jackd")
    jack_lsp_env = {
        "JACK_NO_AUDIO_RESERVATION": "1",
        "JACK_NO_START_SERVER": "1",
        "JACK_DEFAULT_SERVER": f"stepedit{os.getpid()}",
    }
    name = jack_lsp_env["JACK_DEFAULT_SERVER"]
    command = [jackd, "--no-realtime", "-n", name, "-d", "dummy"]
    command += ["-r", str(rate), "-p", str(frames), "-C", "2", "-P", "2"]
    log = folder / "jackd.log"
    with pytest.MonkeyPatch.context() as patch:
        for key, value in jack_lsp_env.items():
            patch.setenv(key, value)
        with running(command, log=log) as process:
            until(lambda: _jack_answers(name) or process.poll() is not None, "jackd starts")
            assert process.poll() is None, log.read_text()
            yield name


def _jack_answers(name: str) -> bool:
    jack = library("jack")

    try:
        client = jack.Client("probe", no_start_server=True, servername=name)
    except jack.JackOpenError:
        return False
    client.close()
    return True
