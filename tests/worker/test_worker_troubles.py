"""What goes wrong in a worker costs who asked for it, in words, and nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import odd_engine
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines import base
from stepedit_fx.engines.base import cancelled_by
from stepedit_fx.errors import Cancelled, EngineError
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit, Speech
from stepedit_fx.store import Store
from stepedit_fx.worker import starting
from stepedit_fx.worker.client import WorkerEngine
from stepedit_fx.worker.control import find
from stepedit_fx.worker.jobs import Desk, Job

HAPPY = Edit("emotion", "happy")


def odd(text: str) -> Edit:
    return Edit("emotion", "happy", text=text)


@pytest.fixture(scope="module")
def clip(short_clip: Path) -> Audio:
    audio = read_audio(short_clip)
    return Audio(audio.samples[:, :12_000], audio.sample_rate)


@pytest.fixture(autouse=True)
def odd_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The odd engine is known here, and its workers are started by its own script."""
    engines = {**base.ENGINES, odd_engine.NAME: ("odd_engine", "OddEngine")}
    monkeypatch.setattr(base, "ENGINES", engines)

    def start(address: Any, settings: dict[str, object]) -> Any:
        if settings["kind"] != odd_engine.NAME:
            return started(address, settings)
        with address.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, odd_engine.__file__, os.fspath(address.socket)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        starting._children.append(process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(settings).encode())
        process.stdin.close()
        return process

    started = starting.start
    monkeypatch.setattr(starting, "start", start)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "w"
    place.mkdir(mode=0o700)
    yield place
    for found in find(place):
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGKILL)


def client(folder: Path, kind: str = odd_engine.NAME) -> WorkerEngine:
    settings = base.engine_class(kind).Settings.model_validate({"kind": kind})
    return WorkerEngine(settings, folder=folder)


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerEngine]:
    engine = client(folder)
    yield engine
    engine.close()


def asked(work: Callable[[], Any], stop: threading.Event) -> Callable[[], Any]:
    def work_until_stopped() -> Any:
        with cancelled_by(stop.is_set):
            return work()

    return work_until_stopped


def test_what_is_cancelled_while_it_waits_runs_or_is_decoded(
    worker: WorkerEngine, folder: Path, clip: Audio
) -> None:
    """Each ends at once for who asked, leaves the worker soon, and costs nobody else anything."""
    take = worker.encode([clip])[0]
    loud = worker.encode([Audio(clip.samples * 0 + 0.95, clip.sample_rate)])[0]
    jobs: list[Callable[[], Any]] = [
        lambda: worker.edit([take], [odd("wait")]),
        lambda: worker.edit([take], [HAPPY]),
        lambda: worker.decode([loud]),
    ]
    stops = [threading.Event() for _ in jobs]
    status = client(folder)
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = []
        for job, stop in zip(jobs, stops, strict=True):
            running.append(pool.submit(asked(job, stop)))
            _until(lambda: _jobs(status) == len(running))
        assert (status.status()["running"], status.status()["waiting"]) == (1, 2)
        for place in (1, 0, 2):  # the one that waits, the one that runs, the one that is decoded
            if place == 2:
                _until(lambda: status.status()["running"] == 1)
            stops[place].set()
            with pytest.raises(Cancelled):
                running[place].result(5)
    _until(lambda: _jobs(status) == 0)
    assert worker.decode(worker.edit([take], [HAPPY]))[0].frames
    status.close()


def test_what_somebody_listens_to_goes_before_a_batch(
    worker: WorkerEngine, folder: Path, clip: Audio
) -> None:
    """A knob that is turned must not wait for the night's ten thousand lines."""
    take = worker.encode([clip])[0]
    status, stop, ended = client(folder), threading.Event(), list[str]()

    def edit(name: str, *, urgent: bool) -> None:
        with base.urgently() if urgent else nullcontext():
            worker.edit([take], [HAPPY])
        ended.append(name)

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(asked(lambda: worker.edit([take], [odd("wait")]), stop))
        _until(lambda: _jobs(status) == 1)
        for n in range(3):
            pool.submit(edit, "batch", urgent=False)
            _until(lambda n=n: _jobs(status) == n + 2)  # type: ignore[misc]
        pool.submit(edit, "heard", urgent=True)
        _until(lambda: _jobs(status) == 5)
        stop.set()
        with pytest.raises(Cancelled):
            first.result(10)
    assert ended == ["heard", "batch", "batch", "batch"]
    status.close()


def _jobs(status: WorkerEngine) -> int:
    told = status.status()
    return int(told["running"]) + int(told["waiting"])


def test_a_job_that_hangs_is_stopped_and_the_others_go_on(
    folder: Path, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPEDIT_WORKER_PATIENCE", "60,60,6")
    hanging, other = client(folder), client(folder)
    take = hanging.encode([clip])[0]
    mine = other.encode([clip])[0]
    pid = hanging.status()["pid"]
    with ThreadPoolExecutor(2) as pool:
        hung = pool.submit(hanging.edit, [take], [odd("hang")])
        _until(lambda: other.status()["running"] == 1)
        waiting = pool.submit(other.edit, [mine], [HAPPY])
        while not hung.done():  # nor do those who come and go keep it from being seen
            find(folder)
            time.sleep(0.1)
        with pytest.raises(EngineError, match="gave no sign for 6 s"):
            hung.result(30)
        assert len(waiting.result(30)) == 1  # of another worker
    assert other.status()["pid"] != pid
    hanging.close()
    other.close()


def test_a_job_that_waits_in_line_is_not_taken_for_one_that_hangs() -> None:
    """Ten minutes' worth of work may well be queued; the worker is busy, not stuck."""
    desk, stuck = Desk(4), threading.Event()

    def work(job: Job) -> None:
        if job.what == "first":
            for _ in range(8):
                time.sleep(0.1)
                job.give_sign()
        stuck.wait(10)

    for number, what in enumerate(("waits", "first")):
        desk.put(Job(client=1, number=number, what=what, work=work))
    _until(lambda: len(desk.running) == 2)
    time.sleep(0.5)
    assert desk.hanging(0.3) is None
    _until(lambda: desk.hanging(0.3) is not None)
    stuck.set()
    _until(lambda: desk.is_idle)
    assert desk.hanging(0.0) is None


@pytest.mark.parametrize(
    ("text", "told"), [("break", "ZeroDivisionError: by design"), ("memory", "MemoryError")]
)
def test_what_breaks_is_told_and_the_worker_lives(
    worker: WorkerEngine, clip: Audio, text: str, told: str
) -> None:
    take = worker.encode([clip])[0]
    pid = worker.status()["pid"]
    with pytest.raises(EngineError, match=told):
        worker.edit([take], [odd(text)])
    assert worker.edit([take], [HAPPY])
    assert worker.status()["pid"] == pid


def test_an_idle_model_leaves_the_device_and_comes_back(
    folder: Path, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPEDIT_WORKER_PATIENCE", "0.3,60,60")
    engine = client(folder)
    take = engine.encode([clip])[0]
    address = engine.address
    time.sleep(1.5)  # asking it would be to use it
    assert engine.status()["model"]["released"] == 1
    assert engine.edit([take], [HAPPY])
    assert address.socket.exists()
    engine.close()


def test_killed_again_and_again(folder: Path, clip: Audio, tmp_path: Path) -> None:
    """Every client has its own result or an error that says what happened; the store is whole."""
    here = base.open_engine("parametric")
    store = Store(tmp_path / "store")
    wrong: list[str] = []
    right: list[int] = []
    over = threading.Event()

    def load(n: int) -> None:
        engine = client(folder, "parametric")
        mine = Audio(clip.samples * (0.4 + n / 20), clip.sample_rate)
        wanted = here.decode(here.edit(here.encode([mine]), [HAPPY]))[0].samples
        done = 0
        while not over.is_set():
            with suppress(EngineError):
                edited = engine.edit(engine.encode([mine]), [HAPPY])
                store.put(f"{n:032x}{done:032x}", edited[0])
                if not np.array_equal(engine.decode(edited)[0].samples, wanted):
                    wrong.append(f"client {n}")
                done += 1
                right.append(n)
        engine.close()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load, n) for n in range(4)]
        for wait_s in (0.05, 0.4, 0.9, 0.2, 0.6):
            _until(lambda: bool(find(folder)))
            time.sleep(wait_s)
            for found in find(folder):
                with suppress(ProcessLookupError):
                    os.kill(found.pid, signal.SIGKILL)
        _until(lambda: len(set(right)) == 4)
        over.set()
        for future in running:
            future.result(60)
    assert not wrong
    assert not store.verify()
    assert len(find(folder)) == 1  # the last one lives, and no other


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="mounts a small disk")
def test_a_full_disk_costs_the_store_alone(
    folder: Path, clip: Audio, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The edit goes on; what could not be kept is said."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        engine = client(folder, "parametric")
        store = Store(place)
        take: Speech = engine.encode([clip])[0]
        store.put("a" * 64, take)
        assert "The disk is full" in caplog.text
        assert Store(place).get("a" * 64) is None
        assert not store.verify()
        assert engine.decode(engine.edit([take], [HAPPY]))[0].frames
        engine.close()
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _until(true: Callable[[], bool]) -> None:
    for _ in range(1200):
        if true():
            return
        time.sleep(0.025)
    raise AssertionError("it never came")
