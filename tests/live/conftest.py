"""Sounds, racks and sessions that the live tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stepedit_fx.audio import Samples
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import controls_of
from stepedit_fx.live import NullDevice, Player
from stepedit_fx.live.rack import Rack
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Session

RATE = 48_000
BLOCK = 256
GENTLE = [
    {"HighpassFilter": {"cutoff_frequency_hz": 80}},
    {"Gain": {"gain_db": -3}},
    {"Reverb": {"room_size": 0.3, "wet_level": 0.2, "dry_level": 0.5}},
]


def graph_text(chain: Sequence[Any], *, before: dict[str, Any] | None = None) -> str:
    """A graph of an input, a node before, where one is given, and a chain of effects."""
    nodes: dict[str, Any] = {"take": {"type": "input"}}
    if before is not None:
        nodes["mood"] = {"from": "take", **before}
    above = "take" if before is None else "mood"
    nodes["rack"] = {"type": "effects", "from": above, "chain": list(chain)}
    nodes["out"] = {"type": "output", "from": "rack"}
    return json.dumps({"version": 1, "name": "live", "nodes": nodes})


def rack_of(chain: Sequence[Any], *, channels: int = 1, rate: int = RATE) -> Rack:
    graph = Graph.parse(graph_text(chain))
    node = graph.nodes["rack"].node
    assert isinstance(node, Effects)
    return Rack(
        {"rack": node},
        {"rack": node},
        controls_of(graph).initial,
        sample_rate=rate,
        channels=channels,
        longest=BLOCK,
        folder=Path(),
    )


def through(rack: Rack, samples: Samples, *, start: int = 0, block: int = BLOCK) -> Samples:
    """Samples through a rack, block by block."""
    frames = samples.shape[1]
    done = [
        rack.process(samples[:, at : at + block], start + at, True)
        for at in range(0, frames, block)
    ]
    return np.concatenate(done, axis=1)


def sine(seconds: float, *, hz: float = 330.0, level: float = 0.3, channels: int = 1) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.tile((level * np.sin(2 * np.pi * hz * t)).astype(np.float32), (channels, 1))


def noise(seconds: float, *, channels: int = 1, seed: int = 0) -> Samples:
    random = np.random.default_rng(seed)
    samples = random.standard_normal((channels, round(seconds * RATE)), dtype=np.float32)
    return samples * np.float32(0.1)


def largest_step(samples: Samples) -> float:
    return float(np.abs(np.diff(samples, axis=1)).max())


@pytest.fixture(scope="session")
def hum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second at 48 kHz mono that begins and ends in silence, as a voice does."""
    samples = sine(1.0)[0] * np.hanning(RATE).astype(np.float32)
    samples[:480] = 0.0
    samples[-480:] = 0.0
    path = tmp_path_factory.mktemp("hum") / "hum.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return path


Opened = Callable[..., Session]


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Opened]:
    """Opens sessions on graph texts, and closes them."""
    opened: list[Session] = []

    def made(text: str, source: Path) -> Session:
        graph_source = GraphSource(text, "live.yaml", tmp_path)
        session = Session(graph_source, spool=tmp_path / "spool", source=source)
        opened.append(session)
        return session

    yield made
    for session in opened:
        session.close()


@pytest.fixture
def pumped() -> Iterator[Callable[..., tuple[Player, NullDevice]]]:
    """Players on a device that plays as fast as it is asked to; stopped at the end."""
    players: list[Player] = []

    def made(session: Session, **options: Any) -> tuple[Player, NullDevice]:
        device = NullDevice(RATE, BLOCK, clock=False)
        player = Player(session, device, **options)
        players.append(player)
        player.start()
        assert player.sounding.wait(30), "no sound was rendered"
        return player, device

    yield made
    for player in players:
        player.stop()
