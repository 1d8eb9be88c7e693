"""What several tests share: the sample clip, and short ones made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from tests.peers import jack_server

REPO = Path(__file__).parents[1]

settings.register_profile("stepedit", deadline=None)  # timing goes into benchmarks/
settings.load_profile("stepedit")


@pytest.fixture(scope="session")
def sample_clip() -> Path:
    """The speech clip that ships in examples/, some six seconds of 24 kHz mono."""
    return REPO / "examples" / "audio" / "good-morning.wav"


@pytest.fixture(scope="session")
def short_clip(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 1.2 s of the sample clip, for tests that only need some speech."""
    samples, rate = soundfile.read(sample_clip, frames=28_800, dtype="int16")
    path = tmp_path_factory.mktemp("clips") / "short.wav"
    soundfile.write(path, np.asarray(samples), rate, subtype="PCM_16")
    return path


@pytest.fixture(autouse=True, scope="session")
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the store of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPEDIT_STORE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test starts or finds a worker, but those that are about one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEPEDIT_WORKER", "off")
        patch.setenv("STEPEDIT_RUN", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture(scope="session")
def jackd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A JACK dummy server at 48 kHz and 256 frames that stays for the whole run; its name."""
    with jack_server(tmp_path_factory.mktemp("jack")) as name:
        yield name
