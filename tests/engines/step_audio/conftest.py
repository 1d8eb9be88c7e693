"""What the tests of the step-audio engine share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from make_tiny_checkpoint import make_tiny_checkpoint


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
