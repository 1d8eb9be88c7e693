"""One session and one OSC service for all tests that only talk to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stepedit_fx.osc import OscService, OscSettings
from stepedit_fx.osc.client import OscClient
from stepedit_fx.osc.wire import Arg, Message
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session
from stepedit_fx.shipped import find_graph


@dataclass(frozen=True)
class Served:
    """A session of the quickstart graph, its OSC service, and the folder clients may use."""

    session: Session
    service: OscService
    root: Path

    def client(self, *, tcp: bool = False) -> OscClient:
        return OscClient("127.0.0.1", self.service.port, tcp=tcp)

    def is_alive(self) -> bool:
        """Whether it still answers both ways."""
        return all(self._answers(tcp) for tcp in (False, True))

    def _answers(self, tcp: bool) -> bool:
        with self.client(tcp=tcp) as client:
            client.send("/stepedit/ping", 77)
            return any(message.args[1:2] == (77,) for message in client.messages(5.0))


@pytest.fixture(scope="session")
def served(short_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Shared by all: a test sets the values it looks at."""
    folder = tmp_path_factory.mktemp("served")
    root = folder / "root"
    root.mkdir()
    (root / "clip.wav").write_bytes(short_clip.read_bytes())
    graph_source = GraphSource.load(find_graph("quickstart"))
    with (
        Session(graph_source, spool=folder / "spool", source=short_clip) as session,
        OscService(session, OscSettings(port=0, roots=(root,))) as service,
    ):
        yield Served(session, service, root)


@pytest.fixture(params=[False, True], ids=["udp", "tcp"])
def client(served: Served, request: pytest.FixtureRequest) -> Iterator[OscClient]:
    """A client by UDP, and one by TCP."""
    with served.client(tcp=request.param) as client:
        yield client


def wait_for(
    client: OscClient, address: str, *args: Arg, also: Callable[[Message], bool] | None = None
) -> list[Message]:
    """What comes up to and with a message of this address, whose first values are these."""
    seen = []
    for message in client.messages(10.0):
        seen.append(message)
        is_it = message.address == address and message.args[: len(args)] == args
        if is_it and (also is None or also(message)):
            return seen
    raise AssertionError(f"no {address} {args} in {seen}")
