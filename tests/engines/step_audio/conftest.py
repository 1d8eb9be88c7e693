"""What the tests of the step-audio engine share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from language_models import writing as writing_model
from make_tiny_checkpoint import make_tiny_checkpoint

from stepedit_fx.engines.step_audio.language_model import Step1ForCausalLM
from tests.engines.step_audio.lm_server import LmServer, serving, writing


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models folder of a complete checkpoint with random weights. Do not change its files."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    """Tiny networks: threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def _own_hashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the notes on hashes of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("hashes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stepedit_fx.engines.step_audio.hashes.cache_folder", lambda: folder)
        yield


@pytest.fixture
def own_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint of this test alone: files may be removed and replaced, not written into."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "models", copy_function=os.link))


@pytest.fixture(scope="session")
def served_model() -> Step1ForCausalLM:
    """Random weights: it ends often by itself, and knows nothing of groups."""
    return writing_model(5)


@pytest.fixture(scope="session")
def _running(served_model: Step1ForCausalLM) -> Iterator[LmServer]:
    with serving(writing(served_model, keeps_slots=True)) as server:
        yield server


@pytest.fixture
def trained(_running: LmServer) -> LmServer:
    """A server whose model keeps to groups, as a trained one does; of each test as if new."""
    _running.faults, _running.bodies, _running.headers = [], [], []
    _running.key, _running.model, _running.others = "", "step1", []
    _running.left.clear()
    _running.go_on.clear()
    return _running
