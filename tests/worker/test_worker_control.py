"""Workers looked after from the command line: found, described, ended, in whatever state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from make_tiny_checkpoint import make_tiny_checkpoint

from stepedit_fx.engines.base import engine_class
from stepedit_fx.worker import starting
from stepedit_fx.worker.address import addresses
from stepedit_fx.worker.client import WorkerEngine
from stepedit_fx.worker.control import find, stop
from stepedit_fx.worker.locks import held


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "w"
    place.mkdir(mode=0o700)
    yield place
    for found in find(place):
        os.kill(found.pid, signal.SIGKILL)


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerEngine]:
    settings = engine_class("parametric").Settings.model_validate({"kind": "parametric"})
    engine = WorkerEngine(settings, folder=folder)
    engine.status()
    yield engine
    engine.close()


def test_a_worker_is_found_and_ended(worker: WorkerEngine, folder: Path) -> None:
    (found,) = find(folder)
    assert found.status["engine"] == "parametric"
    assert stop(found) == "stopped"
    assert find(folder) == []
    assert not list(folder.iterdir())  # no socket, no lock, no log
    with pytest.raises(ProcessLookupError):  # reaped by who started it, here
        _reaped(found.pid)


def test_one_that_does_not_answer_is_ended_all_the_same(
    worker: WorkerEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that hangs on its device holds gigabytes until somebody ends it."""
    monkeypatch.setattr("stepedit_fx.worker.control.ANSWER_S", 0.3)
    monkeypatch.setattr(starting, "GREETING_S", 0.3)
    pid = int(worker.status()["pid"])
    os.kill(pid, signal.SIGSTOP)
    (found,) = find(folder)
    assert (found.pid, found.status) == (pid, {})
    assert found.why
    assert stop(found, end_s=0.5) == "killed"
    assert find(folder) == []


def test_what_a_dead_worker_left_is_cleared_away(worker: WorkerEngine, folder: Path) -> None:
    os.kill(int(worker.status()["pid"]), signal.SIGKILL)
    assert addresses(folder)
    cleared: list[Path] = []
    for _ in range(200):
        if not find(folder, cleared=cleared.append):
            break
        time.sleep(0.05)
    assert cleared == [worker.address.socket]
    assert not addresses(folder)
    assert not worker.address.lock.exists()


def test_a_log_does_not_grow_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "MOST_LOG", 100)
    settings = engine_class("parametric").Settings.model_validate({"kind": "parametric"})
    engine = WorkerEngine(settings, folder=folder)
    engine.address.log.write_text("x" * 200)
    engine.status()
    engine.close()
    assert engine.address.log.stat().st_size < 200
    assert engine.address.log.with_suffix(".log.old").read_text() == "x" * 200


def test_a_log_stays_short_while_its_worker_lives(worker: WorkerEngine, folder: Path) -> None:
    """One that is asked every minute for weeks never starts again."""
    with worker.address.log.open("a") as log:
        log.write("x" * (starting.MOST_LOG + 1))
    for _ in range(200):
        if not worker.address.log.stat().st_size:
            break
        time.sleep(0.05)
    assert worker.address.log.stat().st_size == 0
    assert worker.address.old_log.stat().st_size > starting.MOST_LOG
    assert worker.status()["pid"] == find(folder)[0].pid


def test_a_lock_that_its_holder_removed_keeps_nobody_out_twice(tmp_path: Path) -> None:
    """Two workers at one address would be two models on one device."""
    path = tmp_path / "one.lock"
    held_now: list[bool] = []

    def wait() -> None:
        with held(path, wait=True), held(path, wait=False) as twice:
            held_now.append(twice)

    with held(path, wait=False) as first:
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.2)  # it has opened the file that is removed now
        path.unlink()
    waiting.join(10)
    assert (first, held_now) == (True, [False])
    assert path.exists()


def test_the_commands(tmp_path: Path, folder: Path) -> None:
    """As somebody uses them on the step-audio engine."""
    models = make_tiny_checkpoint(tmp_path / "models")
    environment = {k: v for k, v in os.environ.items() if k != "STEPEDIT_WORKER"} | {
        "STEPEDIT_RUN": str(folder),
        "STEPEDIT_MODELS": str(models),
    }

    def said(*args: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "stepedit_fx", "worker", *args],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    assert said("status") == "no worker runs\n"
    first, second = json.loads(said("start", "--json")), said("start")
    assert f"worker {first['pid']} serves step-audio" in second
    (told,) = json.loads(said("status", "--json"))
    assert (told["pid"], told["model"]["device"]) == (first["pid"], "cpu")
    assert "has no worker" in said("start", "warm-podcast", code=2)
    assert "process id 1" in said("stop", "1", code=2)
    assert "stopped" in said("stop", str(first["pid"]))
    assert said("stop") == "no worker runs\n"
    assert not list(folder.iterdir())
    environment["STEPEDIT_MODELS"] = str(tmp_path / "nowhere")
    assert "nowhere" in said("start", code=1)
    assert said("status") == "no worker runs\n"


def _reaped(pid: int) -> None:
    for _ in range(200):
        starting._children[:] = [child for child in starting._children if child.poll() is None]
        os.kill(pid, 0)
        time.sleep(0.05)
