"""The daemon that every DAW talks to, started as its user starts it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stepedit_fx.osc.wire import Message, decode, encode
from tests.peers import free_port, running, until

FINISHED = "/stepedit/finished"


@dataclass(frozen=True)
class Daemon:
    """A running `stepedit-fx serve`. finished: what it is told to --notify."""

    port: int
    spool: Path
    root: Path
    finished: socket.socket

    def next_finished(self, patience_s: float = 30.0) -> str:
        """The id of the next render that is done."""
        self.finished.settimeout(patience_s)
        message = decode(self.finished.recv(65536))
        assert isinstance(message, Message)
        assert message.address == FINISHED
        (job_id,) = message.args
        assert isinstance(job_id, str)
        return job_id


def is_serving(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        try:
            probe.send(encode(Message("/stepedit/ping", (1,))))
            return bool(probe.recv(65536))
        except OSError:
            return False


@contextmanager
def serving(folder: Path, *, port: int = 0, notify: int) -> Iterator[tuple[int, Path]]:
    """A daemon with the quickstart graph that may read below folder; gives port and spool."""
    port = port or free_port()
    spool = folder / "spool"
    command = [sys.executable, "-m", "stepedit_fx", "serve", "quickstart", "--port", str(port)]
    command += ["--root", str(folder), "--spool", str(spool), "--no-http"]
    command += ["--notify", f"127.0.0.1:{notify}{FINISHED}"]
    log = folder / "serve.log"
    with running(command, log=log) as process:
        until(lambda: is_serving(port) or process.poll() is not None, "stepedit-fx serve starts")
        assert process.poll() is None, log.read_text()
        yield port, spool
