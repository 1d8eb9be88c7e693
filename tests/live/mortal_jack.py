"""A player whose JACK server is killed and started again; a process of its own, for libjack's sake.

`python -m tests.live.mortal_jack RECORDING FOLDER`
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stepedit_fx.errors import RequestError
from stepedit_fx.live import Player
from stepedit_fx.live.jack_device import CLIENT, JackDevice
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session
from tests.live.conftest import BLOCK, GENTLE, RATE, graph_text
from tests.peers import program, running, until

SERVER = f"mortal{os.getpid()}"


@contextlib.contextmanager
def server(folder: Path) -> Iterator[None]:
    command = [program("jackd"), "--no-realtime", "-n", SERVER, "-d", "dummy", "-r", str(RATE)]
    with running([*command, "-p", str(BLOCK)], log=folder / "jackd.log"):
        yield


def reached() -> JackDevice | None:
    try:
        return JackDevice()
    except RequestError:
        return None


def is_heard() -> bool:
    """Whether another client gets the sound."""
    import jack

    client = jack.Client("ears", no_start_server=True)
    port = client.inports.register("in")
    heard: list[float] = []
    client.set_process_callback(lambda frames: heard.append(np.abs(port.get_array()).max()))
    client.activate()
    client.connect(f"{CLIENT}:out_1", port)
    until(lambda: len(heard) > 300, "JACK goes on")
    client.deactivate()
    client.close()
    return max(heard) > 0.1


def main(recording: Path, folder: Path) -> None:
    for name in ("JACK_NO_AUDIO_RESERVATION", "JACK_NO_START_SERVER"):
        os.environ[name] = "1"
    os.environ["JACK_DEFAULT_SERVER"] = SERVER
    source = GraphSource(graph_text(GENTLE), "live.yaml", folder)
    found: list[JackDevice] = []
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(Session(source, spool=folder / "spool", source=recording))
        with server(folder):
            until(lambda: found.extend(filter(None, [reached()])) or found, "JACK starts")
            (device,) = found
            player = stack.enter_context(Player(session, device))
            assert player.sounding.wait(30)
            assert is_heard()
        until(lambda: not device.is_connected, "it is seen that JACK went")
        made = player.deck.meter.blocks
        until(lambda: player.deck.meter.blocks > made + 20, "it plays on without a server")
        with server(folder):
            until(lambda: device.is_connected, "it is connected again")
            assert is_heard()
            player.stop()
    assert player.counts.faults == 0
    assert player.counts.device >= 1
    sys.stdout.write("went on without a server, and came back\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
