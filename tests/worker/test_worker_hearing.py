"""An edit by a worker's model is heard by who asked for it, while it is made."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from make_tiny_checkpoint import make_tiny_checkpoint

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import engine_class, heard_by
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit
from stepedit_fx.worker.client import WorkerEngine

HAPPY = Edit("emotion", "happy", seed=3)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerEngine]:
    models = make_tiny_checkpoint(tmp_path_factory.mktemp("models"))
    settings = engine_class("step-audio").Settings.model_validate(
        {"kind": "step-audio", "models": models, "device": "cpu", "dtype": "float32"}
    )
    folder = tmp_path_factory.mktemp("w")
    folder.chmod(0o700)
    engine = WorkerEngine(settings, folder=folder)
    yield engine
    with suppress(ProcessLookupError):
        os.kill(int(engine.status()["pid"]), signal.SIGKILL)
    engine.close()


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    return read_audio(sample_clip)


def test_blocks_come_from_the_worker(worker: WorkerEngine, clip: Audio) -> None:
    take = worker.encode([clip])
    blocks: list[Audio] = []
    with heard_by(blocks.append):
        edited = worker.edit(take, [HAPPY])
    whole = worker.decode(edited)[0].samples
    heard = np.concatenate([block.samples for block in blocks], axis=1)
    assert len(blocks) > 2
    assert heard.shape == whole.shape
    assert np.sqrt(np.mean((heard - whole) ** 2)) < 0.05 * np.sqrt(np.mean(whole**2))


def test_a_worker_that_dies_is_not_heard_twice(worker: WorkerEngine, clip: Audio) -> None:
    """The next one makes the same sound from the start; what was heard is not heard again."""
    take = worker.encode([clip])
    blocks: list[Audio] = []

    def hear(block: Audio) -> None:
        if len(blocks) == 1:  # it has said something, and has more to say
            os.kill(int(worker.status()["pid"]), signal.SIGKILL)
        blocks.append(block)

    with heard_by(hear):
        edited = worker.edit(take, [HAPPY])
    whole = worker.decode(edited)[0].samples
    heard = np.concatenate([block.samples for block in blocks], axis=1)
    assert heard.shape == whole.shape
    assert np.sqrt(np.mean((heard - whole) ** 2)) < 0.05 * np.sqrt(np.mean(whole**2))
