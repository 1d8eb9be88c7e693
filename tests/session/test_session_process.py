"""The process that renders: when it cannot be started, when memory is full, when nobody is left."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest

from stepedit_fx.errors import RenderError, WriteError
from stepedit_fx.provenance import GraphSource
from stepedit_fx.session import Event, Finished, Request, Session
from stepedit_fx.session.process import _put_down
from tests.peers import until

LOUD = "version: 1\nname: loud\nchain: [{effects: [{Gain: {gain_db: 0}}]}]\n"


def test_a_process_that_cannot_be_started_fails_that_render_alone(
    tmp_path: Path, short_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory or file descriptors were short for a moment, and every later render would hang."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    graph = GraphSource(LOUD, "test.yaml", tmp_path)
    with Session(graph, spool=tmp_path / "spool", source=short_clip) as session:
        told: list[Event] = []
        session.subscribe(told.append)

        def ends() -> list[Finished]:
            return [event for event in told if isinstance(event, Finished)]

        with monkeypatch.context() as patched:
            patched.setattr(subprocess, "Popen", refused)
            session.render(Request())
            until(ends, "the render fails")
        error = ends()[0].job.error
        assert isinstance(error, RenderError)
        assert "Cannot allocate memory" in str(error)
        session.render(Request())
        until(lambda: len(ends()) == 2, "the next one ends")
        assert ends()[1].job.state == "done"


def test_sound_that_memory_does_not_hold_goes_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container has 64 MiB of /dev/shm: three minutes would never be heard, and fill it."""
    memory, disk = tmp_path / "memory", tmp_path / "disk"
    memory.mkdir()
    disk.mkdir()
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.is_relative_to(memory):
            write(path, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    path = _put_down(b"sound", str(memory), str(disk))
    assert path.parent == disk
    assert path.read_bytes() == b"sound"
    with pytest.raises(WriteError, match="No space left"):
        _put_down(b"sound", str(memory))
    assert list(memory.iterdir()) == []


def test_it_ends_with_who_started_it_in_the_middle_of_a_line() -> None:
    """A daemon killed while it writes an order would leave a process behind for good."""
    setup = json.dumps({"desk": "", "store": None, "plugin_folders": []}).encode()
    process = subprocess.run(
        [sys.executable, "-m", "stepedit_fx.session.process"],
        input=setup + b'\n{"name": "monitor-1", "gra',
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert process.returncode == 0
