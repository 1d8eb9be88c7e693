"""One daemon for all the examples' tests."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.serving import Daemon, serving


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that renders anything in its root folder."""
    root = tmp_path_factory.mktemp("daw takes")  # with a space, as people's folders have
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as finished:
        finished.bind(("127.0.0.1", 0))
        with serving(root, notify=finished.getsockname()[1]) as (port, spool):
            yield Daemon(port, spool, root, finished)


@pytest.fixture(scope="session")
def recording(daemon: Daemon, sample_clip: Path) -> Path:
    """The sample clip in a folder that the daemon may read."""
    return Path(shutil.copy(sample_clip, daemon.root / "good morning.wav"))
