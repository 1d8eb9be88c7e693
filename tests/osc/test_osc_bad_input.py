"""What strangers send: rubbish, floods, nothing at all. The service answers on."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.osc import OscService, OscSettings, tcp, udp
from stepedit_fx.osc.client import OscClient
from stepedit_fx.osc.slip import END, frame
from stepedit_fx.osc.wire import Bundle, Message, Timetag, encode
from tests.osc.conftest import Served, wait_for
from tests.osc.test_osc_wire import PACKETS
from tests.peers import until

STRENGTH = "/stepedit/node/emotion/param/strength"
RATIO = "/stepedit/node/effects.1/param/ratio"

GOOD = [
    encode(Message(STRENGTH, (0.5,))),
    encode(Message("/stepedit/render", (1, "clip.wav", 0.0, 1.0, "n"))),
    encode(Message("/stepedit/subscribe", (1, "/stepedit/node/*/bypass"))),
    encode(Message("/stepedit/node/{emotion,effects}/*", ("x", (1, 2), None))),
    encode(Message("/stepedit/scene/morph", (1, "a", "b", 0.5))),
    encode(Bundle(items=(Message(STRENGTH, (0.5,)), Message("/stepedit/ping", (1,))))),
    b"#bundle\0" + bytes(8) + b"\x7f\xff\xff\xff",
    encode(Message(STRENGTH, (float("nan"),))),
    b"/" + b"a" * 65_000,
]


def mutated(chance: random.Random) -> bytes:
    """A packet that is nearly right."""
    data = bytearray(chance.choice(GOOD))
    for _ in range(chance.randint(0, 4)):
        kind = chance.randrange(4)
        place = chance.randrange(len(data) or 1)
        if kind == 0:
            data[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = bytes(chance.randrange(256) for _ in range(4))
        else:
            data += chance.choice(GOOD)[:64]
    return bytes(data)


def test_mutated_packets_end_nothing(served: Served) -> None:
    """Whatever a broken program sends, by datagram or on a connection, others are still heard."""
    chance = random.Random(4)
    with served.client() as one, served.client(tcp=True) as other:
        for _ in range(1500):
            one.send_bytes(mutated(chance)[:60_000])
        for _ in range(300):
            other.send_bytes(mutated(chance))
        assert served.is_alive()
    for job in served.session.jobs:
        served.session.cancel(job.id)


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=300), PACKETS.map(encode)))
def test_any_packet_ends_nothing(served: Served, data: bytes) -> None:
    """No packet at all makes the service silent."""
    with served.client() as client:
        client.send_bytes(data)
        client.send("/stepedit/ping", 5)
        assert any(m.args[1:2] == (5,) for m in client.messages(5.0))


def test_rubbish_on_a_connection(served: Served) -> None:
    """A web browser, or a program without SLIP, on the TCP port disturbs nobody."""
    for data in (b"GET / HTTP/1.1\r\n\r\n", bytes(70_000), END * 70_000, b"\xdb" * 1000 + END):
        with socket.create_connection(("127.0.0.1", served.service.port)) as sock:
            sock.sendall(data)
            sock.sendall(struct.pack(">i", 12) + b"/a\0\0,i\0\0\0\0\0\1")
    assert served.is_alive()


def test_a_frame_over_the_cap_is_told_and_the_next_one_read(served: Served) -> None:
    """A document that is too large is refused; the connection goes on."""
    with served.client(tcp=True) as client:
        client.send_bytes(b"/" * (2 << 20))
        client.send("/stepedit/ping", 6)
        seen = wait_for(client, "/stepedit/reply", "/stepedit/ping", 6)
    assert seen[0].address == "/stepedit/error"


def test_a_datagram_over_the_cap_is_told(served: Served) -> None:
    """Whoever sends a long text by UDP reads that it goes by TCP, where it does go."""
    long = "x" * 9000
    with served.client() as client:
        answer = client.ask(STRENGTH, long)
        assert "TCP" in str(answer.args[3])
    with served.client(tcp=True) as client:
        assert "number" in str(client.ask(STRENGTH, long).args[3])


def test_a_broken_packet_is_told_where_its_address_can_be_read(served: Served) -> None:
    """Whoever writes a client reads what is wrong; bytes without an address get no answer."""
    with served.client() as client:
        client.send_bytes(b"/a\0\0,f\0\0")
        error = next(client.messages(5.0))
        assert error.args[:3] == ("/a", 0, 400)
        client.send_bytes(b"\xff\xff\xff\xff")
        assert client.receive(0.1) is None


def test_the_newest_value_wins_in_a_flood(served: Served) -> None:
    """A controller gone wild over UDP leaves its last value, not one from the middle."""
    with served.client() as client:
        for step in range(5000):
            client.send(STRENGTH, (step % 1000) / 1000)
            client.send(RATIO, 1 + step % 99)
            if step % 50 == 0:
                time.sleep(0.005)  # as fast as a kernel's buffer surely takes it
        client.send(STRENGTH, 0.625)
        client.send(RATIO, 7.5)
        until(lambda: served.session.value(RATIO) == 7.5, "the last value is set")
        until(lambda: served.session.value(STRENGTH) == 0.625, "the last value is set")
    assert served.is_alive()


def test_a_flood_of_commands_is_refused(served: Served) -> None:
    """A source that asks for too much is told once a second, and others are answered."""
    with served.client() as client:
        for number in range(3000):
            client.send("/stepedit/scene/list", number)
        seen = wait_for(client, "/stepedit/error", "/stepedit/scene/list")
        assert seen[-1].args[2] == 429
        assert served.is_alive()


def test_a_flood_of_errors_does_not_stop_others(served: Served) -> None:
    """Looking for what was meant takes time; nobody can spend all of the daemon's on it."""
    with served.client() as client, served.client(tcp=True) as other:
        for number in range(2000):
            client.send(f"/stepedit/node/emotion/param/strenth{number}", 1.0)
            other.send(f"/stepedit/node/emotion/param/strenth{number}", 1.0)
        start = time.monotonic()
        assert served.is_alive()
        assert time.monotonic() - start < 5


def test_many_sources_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program with a new port for each message does not fill the memory."""
    monkeypatch.setattr(udp, "MAX_SOURCES", 20)
    before = len(served.service._dispatcher.audience.clients)
    for _ in range(60):
        with served.client() as client:
            client.ask("/stepedit/ping", 1)
    assert len(served.service._dispatcher.audience.clients) <= before + 20


def test_where_all_places_are_taken_a_newcomer_is_told(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A surface that nobody answers looks like one that is not connected."""
    sources = len(served.service._dispatcher.audience.clients)
    monkeypatch.setattr(udp, "MAX_SOURCES", 1)
    # Those of other tests, who do not listen any more, make room first.
    assert any(code_for_a_subscriber(served) == 429 for _ in range(sources + 2))


def code_for_a_subscriber(served: Served) -> int:
    """The code of an error; 0 where there is none, and the place is kept."""
    with served.client() as other:
        other.send("/stepedit/subscribe", 2, "/stepedit/node/effects/bypass")
        answer = next(other.messages(5.0))
        return int(answer.args[2]) if answer.address == "/stepedit/error" else 0


def test_many_connections_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One program cannot take every connection for ever."""
    until(lambda: not _connections(served), "earlier connections are gone")
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 3)
    clients = [served.client(tcp=True) for _ in range(4)]
    try:
        for client in clients[:3]:
            client.ask("/stepedit/ping", 1)
        assert next(clients[3].messages(5.0)).args[2] == 429
    finally:
        for client in clients:
            client.close()
    until(lambda: not _connections(served), "connections are gone")
    assert served.is_alive()


def _connections(served: Served) -> list[str]:
    clients = tuple(served.service._dispatcher.audience.clients)
    return [client.name for client in clients if client.name.startswith("tcp")]


def test_a_client_that_does_not_read_is_let_go(served: Served) -> None:
    """A tablet that hangs costs bounded memory, and the others nothing."""
    until(lambda: not _connections(served), "earlier connections are gone")
    with socket.create_connection(("127.0.0.1", served.service.port)) as sock:
        sock.setblocking(False)
        asking = frame(encode(Message("/stepedit/list", (1,)))) * 200
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                sock.send(asking)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                break  # let go
            if not _connections(served) and time.monotonic() > end - 29:
                break
        else:
            pytest.fail("it was never let go")
    assert served.is_alive()


def test_a_client_that_goes_in_the_middle_of_answers_fills_no_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A surface that crashed cost a line of the log for each packet that was still to come."""
    with socket.create_connection(("127.0.0.1", served.service.port), 5) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        sock.sendall(frame(encode(Message("/stepedit/list", (1,)))) * 500)
    for _ in range(3):
        assert served.is_alive()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_half_a_frame_and_then_nothing(served: Served) -> None:
    """A connection that stalls holds nobody up."""
    with socket.create_connection(("127.0.0.1", served.service.port)) as sock:
        sock.sendall(frame(encode(Message("/stepedit/ping", (1,))))[:-3])
        assert served.is_alive()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert served.is_alive()  # after a reset


# The token


@pytest.fixture(scope="module")
def guarded(served: Served) -> Iterator[OscService]:
    service = OscService(served.session, OscSettings(port=0, token="sesame"))
    service.start()
    yield service
    service.stop()


@pytest.mark.parametrize("is_tcp", [False, True])
def test_nothing_is_done_before_the_token(
    served: Served, guarded: OscService, is_tcp: bool
) -> None:
    """On a network, strangers turn nothing, see nothing, and render nothing."""
    served.session.set({STRENGTH: 0.5})
    with OscClient("127.0.0.1", guarded.port, tcp=is_tcp) as client:
        stranger = Bundle(items=(Message(STRENGTH, (0.9,)),))
        later = Bundle(in_seconds(5), (Message(STRENGTH, (0.9,)),))
        for packet in (Message(STRENGTH, (0.9,)), Message(STRENGTH), stranger, later):
            client.send_packet(packet)
            assert next(client.messages(5.0)).args[2] == 401
        for command in ("list", "ping", "render"):
            assert 401 in client.ask(f"/stepedit/{command}", 1).args
        assert client.ask("/stepedit/auth", 1, "wrong").args[2] == 401
        assert served.session.value(STRENGTH) == 0.5
        assert client.ask("/stepedit/auth", 1, "sesame").address == "/stepedit/reply"
        client.send(STRENGTH, 0.9)
        assert client.ask(STRENGTH).args == (pytest.approx(0.9),)
    with OscClient("127.0.0.1", guarded.port, tcp=is_tcp) as client:  # another is a stranger
        assert client.ask(STRENGTH).args[2] == 401


def in_seconds(seconds: float) -> Timetag:
    return Timetag.at(time.time() + seconds)


@pytest.mark.parametrize("is_tcp", [False, True])
def test_a_token_is_not_found_by_trying(guarded: OscService, is_tcp: bool) -> None:
    """Guessing is slowed to a few tries a second, from new ports too; then the right one works."""
    codes = []
    for number in range(30):
        with OscClient("127.0.0.1", guarded.port, tcp=is_tcp) as client:
            codes.append(client.ask("/stepedit/auth", number, f"guess{number}").args[2])
    assert 429 in codes
    with OscClient("127.0.0.1", guarded.port, tcp=is_tcp) as client:
        until(
            lambda: client.ask("/stepedit/auth", 1, "sesame").address == "/stepedit/reply",
            "the right token is taken",
            every_s=0.2,
        )


def test_memory_does_not_grow(served: Served) -> None:
    """A night of rubbish leaves the daemon as large as it was."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")

    def size_mb() -> float:
        line = next(li for li in status.read_text().splitlines() if li.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    dispatcher = served.service._dispatcher
    chance = random.Random(5)
    from stepedit_fx.osc.clients import Client

    client = Client("test", lambda data: None)
    packets = [mutated(chance)[:8192] for _ in range(2000)]
    quiet = [p for p in packets if b"render" not in p and b"subscr" not in p]
    for packet in quiet:
        dispatcher.take(client, packet)
    before = size_mb()
    for _ in range(5):
        for packet in quiet:
            dispatcher.take(client, packet)
    assert size_mb() - before < 20
