"""The worker process: `python -m stepedit_fx.worker.process SOCKET`, settings on standard input."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

from stepedit_fx.engines.base import open_engine
from stepedit_fx.errors import StepEditError
from stepedit_fx.worker.address import Address
from stepedit_fx.worker.locks import held, sign
from stepedit_fx.worker.server import HELD_BYTES, Patience, Server
from stepedit_fx.worker.starting import shorten

logger = logging.getLogger(__name__)

PATIENCE_VARIABLE = "STEPEDIT_WORKER_PATIENCE"  # "release,end,hang" in seconds
VOICES_VARIABLE = "STEPEDIT_WORKER_VOICES"  # MiB of them that are kept


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    path = Path(sys.argv[1])
    settings = json.loads(sys.stdin.read())
    address = Address(path, path.with_suffix(".lock"), path.with_suffix(".log"))
    with held(address.lock, wait=False) as first:
        if not first:
            return 0  # another is there already, and whoever wants one will find it
        sign(address.lock)
        try:
            return _serve(address, settings)
        except StepEditError as error:
            sys.stderr.write(f"{error}\n")
            return 1


def _serve(address: Address, settings: dict[str, object]) -> int:
    path = address.socket
    engine = open_engine(**settings)  # type: ignore[arg-type]
    path.unlink(missing_ok=True)  # a dead worker's: the lock is ours
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        mask = os.umask(0o177)  # only this user may connect
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(mask)
        listener.listen(128)
        server = Server(engine, listener, _patience(), lambda: shorten(address), _voice_bytes())
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: server.stop())
        try:
            server.run()
        finally:
            path.unlink(missing_ok=True)
            address.lock.unlink(missing_ok=True)  # ours: whoever opened it before opens it again
    # Threads of jobs and of the engine may be in the middle of something that nobody wants.
    with suppress(OSError):  # a full disk
        sys.stderr.flush()
    os._exit(0)


def _patience() -> Patience:
    told = os.environ.get(PATIENCE_VARIABLE)
    return Patience(*map(float, told.split(","))) if told else Patience()


def _voice_bytes() -> int:
    told = os.environ.get(VOICES_VARIABLE)
    return int(float(told) * 2**20) if told else HELD_BYTES


if __name__ == "__main__":
    sys.exit(main())
