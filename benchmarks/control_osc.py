"""OSC: messages by TCP with none lost, the newest value by UDP, and a million broken packets."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rows import Row

from stepedit_fx.osc import OscService, OscSettings
from stepedit_fx.osc.client import OscClient
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.slip import frame
from stepedit_fx.osc.wire import Bundle, Message, encode
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Event, Session
from stepedit_fx.shipped import find_graph

STRENGTH = "/stepedit/node/emotion/param/strength"
RATIO = "/stepedit/node/effects.1/param/ratio"
PER_SECOND = 5000
TICK_S = 0.01
FLOODS = 20
FLOOD = 10_000  # messages in each
BAR_MB = 20.0
PART = "osc"


def osc(small: bool) -> list[Row]:
    """Rows of all three; small: a few seconds of each."""
    return [
        stream(2.0 if small else 60.0),
        newest_wins(3 if small else FLOODS),
        fuzz(20_000 if small else 1_000_000),
    ]


@contextmanager
def served() -> Iterator[tuple[Session, OscService]]:
    with tempfile.TemporaryDirectory() as folder:
        graph_source = GraphSource.load(find_graph("quickstart"))
        with (
            Session(graph_source, spool=Path(folder)) as session,
            OscService(session, OscSettings(port=0)) as service,
        ):
            yield session, service


def stream(seconds: float) -> Row:
    """A client's messages, paced; every one is a value of its own, and each must be heard of."""
    heard: list[float] = []
    with served() as (session, service):
        count = round(seconds * PER_SECOND)
        values = np.linspace(1.0, 99.0, count, dtype=np.float32)

        def listen(event: Event) -> None:
            if isinstance(event, Changed) and RATIO in event.values:
                heard.append(float(event.values[RATIO]))

        session.subscribe(listen)
        with OscClient("127.0.0.1", service.port, tcp=True) as client:
            took_s = _paced(client, values)
            late = time.perf_counter()
            while len(heard) < count and time.perf_counter() - late < 10:
                time.sleep(0.01)
        behind_s = time.perf_counter() - late
    in_order = np.array_equal(np.float32(heard), values)
    measured = (
        f"{count - len(heard)} of {count} lost, {'in order' if in_order else 'OUT OF ORDER'}, "
        f"sent in {took_s:.1f} s, all done {1e3 * behind_s:.0f} ms after the last"
    )
    # The machine must have kept the pace too, else the bar was not tried.
    met = in_order and took_s < 1.05 * seconds and behind_s < 1.0
    return Row(f"{PER_SECOND} OSC messages a second by TCP for {seconds:g} s", "none lost",
               measured, met, PART)  # fmt: skip


def _paced(client: OscClient, values: np.ndarray) -> float:
    """Send each value at its time, a few at a time as a surface does; seconds it took."""
    packets = [frame(encode(Message(RATIO, (float(value),)))) for value in values]
    step = round(PER_SECOND * TICK_S)
    start = time.perf_counter()
    for index in range(0, len(packets), step):
        due = start + index / PER_SECOND
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        client._sock.sendall(b"".join(packets[index : index + step]))
    return time.perf_counter() - start


def newest_wins(floods: int) -> Row:
    """Floods of one control by UDP, as fast as one process sends; the last value must stand."""
    right, took_s, sent_s = 0, [], []
    with served() as (session, service), OscClient("127.0.0.1", service.port) as client:
        for flood in range(floods):
            packets = [encode(Message(STRENGTH, (n / FLOOD,))) for n in range(FLOOD)]
            last = 0.25 + flood / 1000
            start = time.perf_counter()
            for packet in packets:
                client.send_bytes(packet)
            sent_s.append(time.perf_counter() - start)
            client.send(STRENGTH, last)
            end = time.perf_counter()
            wanted = float(str(np.float32(last)))
            while session.value(STRENGTH) != wanted and time.perf_counter() - end < 2:
                time.sleep(0.002)
            took_s.append(time.perf_counter() - end)
            right += session.value(STRENGTH) == wanted
    rate = FLOOD / float(np.median(sent_s))
    measured = (
        f"{right} of {floods} floods of {FLOOD} at {rate:,.0f} a second, "
        f"there {1e3 * float(np.median(took_s)):.0f} ms later"
    )
    return Row("the newest value by UDP after a flood", "always", measured, right == floods, PART)


def fuzz(packets: int) -> Row:
    """Broken packets through the service's own reading and doing, most of them nearly right."""
    with served() as (_, service):
        answers = 0

        def count(data: bytes) -> None:
            nonlocal answers
            answers += 1

        client = Client("fuzz", count)
        chance = random.Random(7)
        before = 0.0
        start = time.perf_counter()
        turns = packets // 1000
        for turn in range(turns):
            if turn == turns // 10:  # caches are as full as they get
                before = _resident_mb()
            _in_loop(service, client, chance)
        grown = _resident_mb() - before
        took_s = time.perf_counter() - start
        with OscClient("127.0.0.1", service.port) as one:
            alive = one.ask("/stepedit/ping", 9).args[1:2] == (9,)
        still = "still answers" if alive else "IS SILENT"
    measured = f"{packets} in {took_s:.0f} s, {answers} answers, grew {grown:.1f} MB, {still}"
    return Row("broken OSC packets", f"no crash, under {BAR_MB:g} MB, still answering", measured,
               alive and grown < BAR_MB, PART)  # fmt: skip


def _in_loop(service: OscService, client: Client, chance: random.Random) -> None:
    """A thousand packets, in the loop where datagrams are done."""
    data = [_broken(chance) for _ in range(1000)]
    done = threading.Event()

    def take() -> None:
        try:
            for packet in data:
                service._dispatcher.take(client, packet)
        finally:
            done.set()

    assert service._loop is not None
    service._loop.call_soon_threadsafe(take)
    if not done.wait(60):
        raise SystemExit("the service hangs")


_GOOD = (
    encode(Message(STRENGTH, (0.5,))),
    encode(Message(STRENGTH + "/norm", (1,))),
    encode(Message("/stepedit/ping", (1,))),
    encode(Message("/stepedit/render", (1, "clip.wav", 0.0, 1.0, "n"))),
    encode(Message("/stepedit/subscribe", (1, "/stepedit/node/*/bypass"))),
    encode(Message("/stepedit/node/{emotion,effects}/*", ("x", (1, 2), None))),
    encode(Message("/stepedit/scene/morph", (1, "a", "b", 0.5))),
    encode(Message("/stepedit/session/open", (1, "no"))),
    encode(Bundle(items=(Message(STRENGTH, (0.5,)), Message("/stepedit/ping", (1,))))),
    encode(Bundle(items=(Bundle(items=(Message(RATIO, (float("nan"),)),)),))),
    b"#bundle\0" + bytes(8) + b"\x7f\xff\xff\xff",
    bytes(8192),
)


def _broken(chance: random.Random) -> bytes:
    """A packet of random bytes, or one with a few bytes changed, cut, put in or put after it."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(256))
    data = bytearray(chance.choice(_GOOD))
    for _ in range(chance.randint(0, 3)):
        kind, place = chance.randrange(5), chance.randrange(len(data) or 1)
        if kind == 0:
            data[place : place + 1] = chance.randbytes(1)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place:place] = chance.randbytes(4)
        elif kind == 3:
            data += chance.choice(_GOOD)[:64]
        else:
            data[place : place + 4] = chance.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xc0\0\0"))
    return bytes(data)


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    import sys

    for row in osc("--small" in sys.argv):
        print(" | ".join((row.what, row.bar, row.measured, str(row.met))))
