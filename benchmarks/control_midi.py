"""How long a controller's movement takes to be the parameter's value, over real JACK ports.

    python benchmarks/control.py --only midi [--small]

JACK hands MIDI on once a period, so a message waits up to one (256 frames at 48 kHz: 5.3 ms)
before any program can see it. Measured are both: from the peer's send to the session's `Changed`,
and our own part of it, from JACK's callback in this process.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from rows import REPOSITORY, Row

sys.path.insert(0, str(REPOSITORY))

from stepedit_fx.midi import jack_ports
from stepedit_fx.midi.reading import parse_map
from stepedit_fx.midi.service import MidiService, MidiSettings
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Changed, Session
from stepedit_fx.shipped import find_graph
from tests.peers import jack_server

BAR_MS = 3.0
RATE_HZ = 48_000
MESSAGES = 1000
STRENGTH = "/stepedit/node/emotion/param/strength"
ROOM = "/stepedit/node/effects.2/param/room_size"
MAP = f"""\
version: 1
defaults: {{takeover: jump, feedback: "off"}}
mappings:
- {{source: {{type: cc, number: 74}}, target: {STRENGTH}}}
- {{source: {{type: cc, number: 7}}, target: {ROOM}}}
"""


class _Stamped(SimpleQueue[Any]):
    """A queue that notes when JACK's thread last put something in."""

    put_s = 0.0

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        _Stamped.put_s = time.perf_counter()
        super().put(item, block, timeout)


def midi(small: bool) -> list[Row]:
    """One row for our own part and one for the whole way, by JACK period and kind of parameter."""
    rows = []
    count = 300 if small else MESSAGES
    for frames in (256, 64):
        for what, control, address in (("a speech edit's", 74, STRENGTH), ("an effect's", 7, ROOM)):
            whole_ms, own_ms = _measured(frames, control, address, count)
            rows += _rows(f"{what} parameter, {frames} frames", frames, whole_ms, own_ms)
    return rows


def _rows(what: str, frames: int, whole_ms: list[float], own_ms: list[float]) -> list[Row]:
    period_ms = 1e3 * frames / RATE_HZ
    own = float(np.percentile(own_ms, 99))
    bar = f"under {BAR_MS:g} ms, 99th percentile"
    return [
        Row(
            f"MIDI CC to {what}, from JACK's callback on",
            bar,
            _told(own_ms),
            own < BAR_MS,
            "midi",
        ),
        Row(
            f"MIDI CC to {what}, from the peer's send",
            # A period of 5.3 ms alone is over the bar; there it is JACK's figure and not ours.
            bar if period_ms < BAR_MS else f"- (JACK's period is {period_ms:.1f} ms)",
            _told(whole_ms),
            float(np.percentile(whole_ms, 99)) < BAR_MS if period_ms < BAR_MS else None,
            "midi",
        ),
    ]


def _told(times_ms: list[float]) -> str:
    p50, p99 = np.percentile(times_ms, [50, 99])
    return f"{p99:.2f} ms (median {p50:.2f}, worst {max(times_ms):.2f}, {len(times_ms)} messages)"


def _measured(
    frames: int, control: int, address: str, count: int
) -> tuple[list[float], list[float]]:
    """Milliseconds from the peer's send, and from JACK's callback, of each message."""
    import jack
    import rtmidi

    whole_ms: list[float] = []
    own_ms: list[float] = []
    arrived = threading.Event()
    sent_s = [0.0]
    lost = 0  # by a client that missed its period: JACK gives what it wrote to nobody
    chance = random.Random(4)
    with tempfile.TemporaryDirectory() as name, jack_server(Path(name), frames=frames):
        source = GraphSource.load(find_graph("quickstart"))
        with Session(source, spool=Path(name) / "spool") as session:
            settings = MidiSettings(parse_map(MAP), "bench", virtual=True, backend="jack")
            service = MidiService(session, settings)

            def listen(event: Any) -> None:
                if isinstance(event, Changed) and address in event.values and not arrived.is_set():
                    now_s = time.perf_counter()
                    whole_ms.append(1e3 * (now_s - sent_s[0]))
                    own_ms.append(1e3 * (now_s - _Stamped.put_s))
                    arrived.set()

            session.subscribe(listen)
            jack_ports.SimpleQueue = _Stamped  # type: ignore[misc]
            # First, as RtMidi opens its ports with Python's lock held.
            out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, "peer")
            out.open_virtual_port("out")
            service.start()
            with jack.Client("cable", no_start_server=True) as cable:
                cable.connect("peer:out", "bench:midi_in")
            time.sleep(0.2)
            for index in range(count):
                time.sleep(chance.uniform(0.024, 0.034))  # not in step with JACK; after any glide
                arrived.clear()
                sent_s[0] = time.perf_counter()
                out.send_message([0xB0, control, 127 * (index % 2)])
                if not arrived.wait(1.0):
                    if _Stamped.put_s > sent_s[0]:
                        raise SystemExit(f"message {index} was received, and turned nothing")
                    lost += 1
            if lost > count // 100:
                raise SystemExit(
                    f"JACK lost {lost} of {count} messages: run it on a quieter machine"
                )
            if lost:
                print(f"JACK lost {lost} of {count} messages on the way ({frames} frames).")
            service.stop()
            out.close_port()
            out.delete()
    return whole_ms, own_ms
