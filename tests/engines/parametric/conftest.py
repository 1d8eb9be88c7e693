"""The sample clip, analysed once, and the engine that everything here is tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit, Speech

Render = Callable[..., Audio]


@pytest.fixture(scope="session")
def engine() -> ParametricEngine:
    return ParametricEngine()


@pytest.fixture(scope="session")
def clip(sample_clip: Path) -> Audio:
    return read_audio(sample_clip)


@pytest.fixture(scope="session")
def take(engine: ParametricEngine, clip: Audio) -> Speech:
    return engine.encode([clip])[0]


@pytest.fixture(scope="session")
def render(engine: ParametricEngine, take: Speech) -> Render:
    """The clip after some edits, one after another."""

    def rendered(*edits: Edit, take: Speech = take) -> Audio:
        for edit in edits:
            take = engine.edit([take], [edit])[0]
        return engine.decode([take])[0]

    return rendered
