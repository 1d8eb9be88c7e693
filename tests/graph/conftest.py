"""What tests of graphs share: the toy engine, and something to put through it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines import base
from stepedit_fx.files import write_audio
from tests.graph.toy import ToyEngine


@pytest.fixture(scope="session", autouse=True)
def toy_engine() -> Iterator[type[ToyEngine]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(base.ENGINES, "toy", (ToyEngine.__module__, "ToyEngine"))
        yield ToyEngine


@pytest.fixture
def calls(toy_engine: type[ToyEngine]) -> Iterator[list[str]]:
    """What the toy was asked to do since the test began."""
    toy_engine.calls.clear()
    toy_engine.before.clear()
    yield toy_engine.calls
    toy_engine.before.clear()


@pytest.fixture(scope="session")
def tone() -> Audio:
    """A twentieth of a second of quiet tone, 8 kHz mono."""
    wave = 0.05 * np.sin(2 * np.pi * 440 * np.arange(400) / 8000)
    return Audio(wave[None].astype(np.float32), 8000)


@pytest.fixture
def take(tone: Audio, tmp_path: Path) -> Path:
    """The tone in a file, in a folder of its own."""
    path = tmp_path / "in" / "take.wav"
    write_audio(path, tone)
    return path
