"""A value set by one way reads the same by every other: OSC, WebSocket, HTTP, MIDI and Python."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from stepedit_fx.graph.controls import ROOT, Control, Value, as_float32, controls_of
from stepedit_fx.osc.service import OscService
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.osc.wire import Message, decode, encode
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session
from stepedit_fx.shipped import find_graph
from tests.peers import until

PING = f"{ROOT}/ping"


@dataclass
class Ways:
    """One session, and a client of each kind."""

    session: Session
    udp: socket.socket
    web: ClientConnection
    http: str

    def read_all(self, address: str) -> dict[str, Value]:
        """What the control stands at, by each way to read it. What was sent before is done."""
        return {
            "python": self.session.value(address),
            "http": self.by_http(address),
            "udp": self.by_udp(address),
            "web": self.by_web(address),
        }

    def by_http(self, address: str) -> Value:
        with urllib.request.urlopen(f"{self.http}{address}?VALUE", timeout=10) as answer:
            (value,) = json.load(answer)["VALUE"]
        assert isinstance(value, bool | int | float | str)
        return value

    def by_udp(self, address: str) -> Value:
        self.udp.send(encode(Message(address)))
        packet = decode(self.udp.recv(8192))
        assert isinstance(packet, Message)
        assert packet.address == address
        return self._plain(packet, address)

    def by_web(self, address: str) -> Value:
        """As one who starts to listen now is told."""
        self.web.send(json.dumps({"COMMAND": "LISTEN", "DATA": address}))
        packet = Message("")
        while packet.address != address:
            frame = self.web.recv(timeout=10)
            assert isinstance(frame, bytes)
            packet = decode(frame)  # type: ignore[assignment]
            assert isinstance(packet, Message)
        self.web.send(json.dumps({"COMMAND": "IGNORE", "DATA": address}))
        return self._plain(packet, address)

    def _plain(self, message: Message, address: str) -> Value:
        """As the control holds it: a number over the wire is a float32, a switch may be 0 or 1."""
        (value,) = message.args
        if isinstance(value, float):
            assert as_float32(value) == as_float32(float(np.float32(value)))
        return self.session.control(address).checked(value)

    def set_by(self, way: str, address: str, value: Value) -> None:
        if way == "python":
            self.session.set({address: value})
        elif way == "udp":
            self.udp.send(encode(Message(address, (value,))))
            self.udp.send(encode(Message(PING, (1,))))
            self.udp.recv(8192)  # by then it is done
        else:
            before = self.session.generation
            same = self.session.value(address) == self.session.control(address).checked(value)
            self.web.send(encode(Message(address, (value,))))
            if not same:
                until(lambda: self.session.generation > before, "it is set")


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    spool: Path = tmp_path_factory.mktemp("ways")
    source = GraphSource.load(find_graph("quickstart"))
    with (
        Session(source, spool=spool) as session,
        OscService(session, OscSettings(port=0, http_port=0)) as service,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        connect(f"ws://127.0.0.1:{service.http_port}/", proxy=None) as web,
    ):
        udp.settimeout(10)
        udp.connect(("127.0.0.1", service.port))
        yield Ways(session, udp, web, f"http://127.0.0.1:{service.http_port}")


def controls() -> list[Control]:
    return list(controls_of(GraphSource.load(find_graph("quickstart")).graph()).values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    control=st.sampled_from(controls()),
    place=st.floats(0, 1),
    way=st.sampled_from(["python", "udp", "web"]),
)
def test_it_reads_the_same_everywhere(ways: Ways, control: Control, place: float, way: str) -> None:
    """Four people at four surfaces see one number."""
    value = control.at(place)
    ways.set_by(way, control.address, value)
    assert ways.read_all(control.address) == dict.fromkeys(("python", "http", "udp", "web"), value)


@pytest.mark.parametrize("way", ["python", "udp", "web"])
def test_the_listener_hears_every_way(ways: Ways, way: str) -> None:
    """Whoever turns it, the one who listens sees where it stands, clamped."""
    address = f"{ROOT}/node/emotion/param/strength"
    ways.session.set({address: 0.5})
    assert ways.by_web(address) == 0.5
    with connect(ways.http.replace("http", "ws"), proxy=None) as listener:
        listener.send(json.dumps({"COMMAND": "LISTEN", "DATA": address}))
        assert value_of(listener) == 0.5
        ways.set_by(way, address, 0.25)
        assert value_of(listener) == 0.25
        ways.set_by(way, address, 7.0)
        assert value_of(listener) == 1.0


def value_of(listener: ClientConnection) -> object:
    frame = listener.recv(timeout=10)
    assert isinstance(frame, bytes)
    packet = decode(frame)
    assert isinstance(packet, Message)
    return packet.args[0]


MIDI_MAP = f"""\
version: 1
defaults: {{takeover: jump}}
mappings:
- {{source: {{type: cc, number: 74}}, target: {ROOT}/node/emotion/param/strength}}
"""


@pytest.mark.alone  # JACK
def test_what_midi_sets_all_read_and_what_others_set_midi_hears(ways: Ways, jackd: str) -> None:
    """A fader box beside a tablet: both show one value, whichever was moved."""
    from stepedit_fx.midi.reading import parse_map
    from stepedit_fx.midi.service import MidiService, MidiSettings
    from tests.midi.knobs import Knobs

    address = f"{ROOT}/node/emotion/param/strength"
    settings = MidiSettings.of(parse_map(MIDI_MAP), port="fader", virtual=True, backend="jack")
    midi = MidiService(ways.session, settings)
    midi.start()
    try:
        with closing(Knobs()) as knobs:
            knobs.plug_into("fader")
            ways.session.set({address: 0.9})
            until(lambda: turned(ways, knobs, address), "it is set", every_s=0.1)
            assert set(ways.read_all(address).values()) == {as_float32(42 / 127)}
            for way in ("udp", "web", "python"):
                knobs.heard.clear()
                value = {"udp": 0.25, "web": 0.5, "python": 1.0}[way]
                # A fader under a hand is left alone: set again until it has been let go.
                until(
                    lambda way=way, value=value: heard_at(ways, knobs, way, address, value),
                    f"the fader moves for {way}",
                    every_s=0.1,
                )
                assert set(ways.read_all(address).values()) == {value}
    finally:
        midi.stop()


def heard_at(ways: Ways, knobs: Any, way: str, address: str, value: float) -> bool:
    ways.session.set({address: 0.0})
    ways.set_by(way, address, value)
    return [0xB0, 74, round(value * 127)] in knobs.heard


def turned(ways: Ways, knobs: Any, address: str) -> bool:
    """Send once more: a JACK server that is not realtime loses a message now and then."""
    knobs.send(0xB0, 74, 42)
    return ways.session.value(address) != 0.9
