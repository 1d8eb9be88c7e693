"""Live sound on the null device at 48 kHz and 256 frames: an OSC message's way to changed sound,
and swaps of rendered speech under a running chain.

    python benchmarks/control.py --only live [--small]

latency: a process of its own sends OSC by UDP; the clock stops when the callback is done with the
first block that is another for it. flood: the same, while a third process sends 5000 messages a
second. swaps: 1000 renders of a voice taken up one after another, and the largest step between
two samples of what was heard, against that of the same renders played by themselves.

The null device's clock is the machine's: how late it woke stands beside the figures. Blocks that
are late by our own doing are told from those for which the machine let the thread wait (meter.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from rows import REPOSITORY, Row

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.cli.live import _undisturbed
from stepedit_fx.live import NullDevice, Player
from stepedit_fx.live.deck import Program, Sound
from stepedit_fx.osc import OscService
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session
from stepedit_fx.shipped import find_graph

RATE_HZ, BLOCK = 48_000, 256
BLOCK_MS = 1e3 * BLOCK / RATE_HZ
LATENCY_BAR_MS = BLOCK_MS + 5.0
STEP_BAR = 1.5
MESSAGES, SWAPS = 2_000, 1_000
SWAP_EVERY_S = 0.03
GAIN = "/stepedit/node/rack.1/param/gain_db"
# One that moves and is not heard: the tone stays below the threshold.
OTHER = "/stepedit/node/rack.0/param/release_ms"
CHAIN = [{"Compressor": {"threshold_db": 0}}, {"Gain": {"gain_db": -3}}]
CLIP = REPOSITORY / "examples" / "audio" / "good-morning.wav"

# Runs in a process of its own: sends a fader up and down, prints when (CLOCK_MONOTONIC).
_SENDER = """
import json, random, socket, sys, time
from stepedit_fx.osc.wire import Message, encode
port, address, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
packets = [encode(Message(address, (value,))) for value in (-9.0, -3.0)]
chance, sent = random.Random(1), []
to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for index in range(count):
    time.sleep(chance.uniform(0.05, 0.08))  # after any glide, in step with no clock
    sent.append(time.monotonic())
    to.sendto(packets[index % 2], ("127.0.0.1", port))
print(json.dumps(sent))
"""
_FLOOD = """
import random, socket, sys, time
from stepedit_fx.osc.wire import Message, encode
port, address, rate = int(sys.argv[1]), sys.argv[2], 5000
to, chance = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), random.Random(2)
due = time.monotonic()
while True:
    to.sendto(encode(Message(address, (chance.uniform(50.0, 500.0),))), ("127.0.0.1", port))
    due += 1 / rate
    time.sleep(max(0.0, due - time.monotonic()))
"""


@dataclass
class Ears:
    """What the callback made: when each block was done, its last sample, and, to keep, all."""

    blocks: int
    keep: bool = False
    count: int = 0
    times_s: Any = field(init=False)
    last: Any = field(init=False)
    heard: Any = field(init=False)

    def __post_init__(self) -> None:
        self.times_s = np.zeros(self.blocks)
        self.last = np.zeros(self.blocks, np.float32)
        self.heard = np.zeros((self.blocks if self.keep else 0, BLOCK), np.float32)

    def __call__(self, block: Samples) -> None:
        at = self.count
        if at < self.blocks:
            self.last[at] = block[0, -1]
            if self.keep:
                self.heard[at] = block[0]
            self.times_s[at] = time.monotonic()
            self.count = at + 1

    def lateness(self) -> str:
        gaps_ms = np.diff(self.times_s[: self.count]) * 1e3 - BLOCK_MS
        late = np.percentile(gaps_ms, [50, 99, 100])
        return (
            "blocks were {:+.2f} ms off their clock in the median, {:.2f} p99, {:.1f} max".format(
                *late
            )
        )


@contextmanager
def playing(graph_text: str, source: Path, ears: Ears) -> Iterator[tuple[Session, Player]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        graph_source = GraphSource(graph_text, "bench.yaml", folder)
        session = stack.enter_context(Session(graph_source, spool=folder / "spool", source=source))
        player = stack.enter_context(Player(session, NullDevice(RATE_HZ, BLOCK)))
        stack.enter_context(_undisturbed())
        if not player.sounding.wait(60):
            raise SystemExit("nothing was rendered")
        player.deck.listener = ears
        time.sleep(0.2)
        yield session, player


def latency(small: bool, *, flood: bool = False) -> list[Row]:
    """From a fader's message to the first block in which the gain is another."""
    count = 200 if small else MESSAGES
    text = json.dumps(
        {
            "version": 1,
            "name": "bench",
            "nodes": {
                "take": {"type": "input"},
                "rack": {"type": "effects", "from": "take", "chain": CHAIN},
                "out": {"type": "output", "from": "rack"},
            },
        }
    )
    ears = Ears(round(count * 0.1 * RATE_HZ / BLOCK) + 4_000)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "even.wav"
        # Of a tone with a period of one block every block is the same.
        tone = 0.25 * np.sin(2 * np.pi * np.arange(RATE_HZ * 240) / BLOCK)
        soundfile.write(source, tone.astype(np.float32), RATE_HZ, subtype="FLOAT")
        with playing(text, source, ears) as (session, player), ExitStack() as stack:
            service = stack.enter_context(OscService(session, OscSettings(port=0)))
            if flood:
                _started(stack, _FLOOD, service.port, OTHER)
            sender = _started(stack, _SENDER, service.port, GAIN, count)
            sent_s = np.array(json.loads(sender.communicate(timeout=600)[0]))
            time.sleep(0.2)
            counts = player.counts
    return [_latency_row(sent_s, ears, counts, flood)]


def _started(stack: ExitStack, code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _latency_row(sent_s: Any, ears: Ears, counts: Any, flood: bool) -> Row:
    times_s, last = ears.times_s[: ears.count], ears.last[: ears.count]
    moves = np.abs(np.diff(last)) > 1e-6
    begins = np.flatnonzero(moves[1:] & ~moves[:-1]) + 2  # the first block that is another
    found_ms = []
    for at_s in sent_s:
        after = begins[times_s[begins] > at_s]
        if len(after):
            found_ms.append(1e3 * (times_s[after[0]] - at_s))
    took_ms = np.array(found_ms)
    p50, p99, most = np.percentile(took_ms, [50, 99, 100])
    print(f"{'Flood' if flood else 'Latency'}: {ears.lateness()}; {counts}")
    return Row(
        "OSC message (UDP, another process) to changed sound, null device, 256 frames at 48 kHz"
        + (", while 5000 other messages a second come in" if flood else ""),
        f"one block plus 5 ms ({LATENCY_BAR_MS:.1f} ms) at p99" if not flood else "none",
        f"{p50:.1f} ms median, {p99:.1f} ms p99, {most:.1f} ms max of {len(took_ms)}; "
        f"late blocks: {counts.late} ours, {counts.preempted} preempted, "
        f"{counts.device} of the clock",
        None if flood else bool(p99 <= LATENCY_BAR_MS),
        "flood" if flood else "latency",
    )


def swaps(small: bool) -> list[Row]:
    """Renders of a voice at several strengths of an edit, swapped under quickstart's chain."""
    count = 100 if small else SWAPS
    ears = Ears(round((count * SWAP_EVERY_S * 3 + 10) * RATE_HZ / BLOCK), keep=True)
    graph = find_graph("quickstart").read_text(encoding="utf-8")
    with playing(graph, CLIP, ears) as (session, player):
        sounds = [_rendered(session, player, strength) for strength in (0.1, 0.4, 0.7, 1.0)]
        program = player.deck.program
        assert program is not None
        rack = program.rack
        time.sleep(0.5)
        before, blocks_before = player.counts, player.deck.swaps
        ears.count = 0
        for index in range(count):
            # As a render would come: a copy is made, elsewhere than in the callback.
            sound = Sound.of(Audio(sounds[index % 4].samples, RATE_HZ), index)
            player.deck.load(Program(sound, rack))
            time.sleep(SWAP_EVERY_S)
        time.sleep(0.1)
        counts, made = player.counts, player.deck.swaps - blocks_before
        longest_ms = player.deck.meter.longest_s * 1e3
    heard = ears.heard[: ears.count].reshape(-1)
    own = max(_own_step(sound) for sound in sounds)
    step = float(np.abs(np.diff(heard)).max())
    late = counts.late - before.late
    print(f"Swaps: {ears.lateness()}; {counts}; longest callback {longest_ms:.2f} ms")
    return [
        Row(
            f"{made} swaps of rendered speech under a running chain of four effects, 256 frames",
            "no xrun caused by us",
            f"{late} ours ({counts.preempted - before.preempted} preempted, "
            f"{counts.device - before.device} of the clock); longest callback {longest_ms:.2f} ms",
            late == 0 and made >= 0.99 * count,
            "swaps",
        ),
        Row(
            "Largest step between two samples in those",
            f"at most {STEP_BAR} times the material's own",
            f"{step:.4f}, {step / own:.2f} times ({own:.4f})",
            bool(step <= STEP_BAR * own),
            "swaps",
        ),
    ]


def _rendered(session: Session, player: Player, strength: float) -> Sound:
    """The voice with the edit this strong, as the session renders it behind."""
    session.set({"/stepedit/node/emotion/param/strength": strength})
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        program = player.deck.program
        if program is not None and program.sound.generation == session.generation:
            return program.sound
        time.sleep(0.01)
    raise SystemExit("the edit was not rendered")


def _own_step(sound: Sound) -> float:
    """The largest step of a render that goes through the same chain by itself."""
    from stepedit_fx.effects.render import render
    from stepedit_fx.graph import Graph

    node: Any = Graph.load(find_graph("quickstart")).nodes["effects"].node
    done = render(node.chain, Audio(sound.samples, RATE_HZ)).samples
    return float(np.abs(np.diff(done, axis=1)).max())


PARTS = {
    "latency": latency,
    "flood": lambda small: latency(small, flood=True),
    "swaps": swaps,
}


def live(small: bool) -> list[Row]:
    """The rows of every part."""
    return [row for part in PARTS.values() for row in part(small)]
