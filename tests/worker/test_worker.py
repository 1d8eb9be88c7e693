"""One process for everybody: the same results as at home, and no client lost when it dies."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import EngineSettings, cancelled_by, engine_class, open_engine
from stepedit_fx.errors import Cancelled, EngineError, RequestError, TagError
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit
from stepedit_fx.store import Store
from stepedit_fx.worker.client import HeldVoice, WorkerEngine
from stepedit_fx.worker.control import find
from stepedit_fx.worker.starting import connected, start
from stepedit_fx.worker.wire import Closed, frame, send

HAPPY = Edit("emotion", "happy", seed=3)


@pytest.fixture(scope="module")
def clip(short_clip: Path) -> Audio:
    return read_audio(short_clip)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where workers of one test live; none of them lives on."""
    place = tmp_path_factory.mktemp("w")
    place.chmod(0o700)
    yield place
    for pid in workers(place):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def workers(place: Path) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-f", f"{place}/"], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def settings() -> EngineSettings:
    return engine_class("parametric").Settings.model_validate({"kind": "parametric"})


@pytest.fixture
def worker(folder: Path) -> Iterator[WorkerEngine]:
    engine = WorkerEngine(settings(), folder=folder)
    yield engine
    engine.close()


def heard(engine: Any, clip: Audio, edit: Edit = HAPPY) -> np.ndarray:
    take = engine.edit(engine.encode([clip]), [edit])[0]
    samples: np.ndarray = engine.decode([take])[0].samples
    return samples


def test_a_worker_gives_what_the_engine_gives(worker: WorkerEngine, clip: Audio) -> None:
    here = open_engine("parametric")
    assert worker.fingerprint == here.fingerprint
    assert {k: list(v) for k, v in here.offers.items()} == dict(worker.offers)
    assert np.array_equal(heard(worker, clip), heard(here, clip))


def test_no_sound_travels_between_edits(worker: WorkerEngine, clip: Audio, tmp_path: Path) -> None:
    """Not even to the store: the worker writes what it holds there itself."""
    store = Store(tmp_path)
    take = worker.encode([clip])[0]
    store.put("a" * 64, take)
    edited = worker.edit([take], [HAPPY])[0]
    store.put("b" * 64, edited)
    assert isinstance(edited.voice, HeldVoice)
    assert not edited.voice.is_here
    again = Store(tmp_path).get("b" * 64)
    assert again is not None
    assert np.array_equal(
        open_engine("parametric").decode([again])[0].samples,  # type: ignore[list-item]
        worker.decode([edited])[0].samples,
    )


def test_a_second_client_finds_the_first_ones_worker(
    worker: WorkerEngine, folder: Path, clip: Audio
) -> None:
    """Two DAW tracks must not load the model twice."""
    other = WorkerEngine(settings(), folder=folder)
    with ThreadPoolExecutor(2) as pool:
        pids = list(pool.map(lambda engine: engine.status()["pid"], (worker, other)))
    assert pids[0] == pids[1]
    _until(lambda: workers(folder) == [pids[0]])  # the one that came second goes by itself


def test_a_voice_from_another_worker_comes_along(worker: WorkerEngine, clip: Audio) -> None:
    """What was read from the store, or encoded here, is edited there."""
    here = open_engine("parametric")
    take = here.encode([clip])[0]
    edited = worker.edit([take], [HAPPY])[0]
    assert edited.voice is take.voice
    assert np.array_equal(worker.decode([edited])[0].samples, heard(here, clip))


def test_errors_come_back_in_words(worker: WorkerEngine, clip: Audio) -> None:
    take = worker.encode([clip])[0]
    with pytest.raises(TagError, match="unknown emotion 'hapy'") as caught:
        worker.edit([take], [Edit("emotion", "hapy")])
    assert "happy" in caught.value.remedy


def test_a_killed_worker_costs_nothing_but_time(
    worker: WorkerEngine, clip: Audio, folder: Path
) -> None:
    """Its voices are gone; they are taken again from what they were taken from."""
    take = worker.encode([clip])[0]
    os.kill(worker.status()["pid"], signal.SIGKILL)
    edited = worker.edit([take], [HAPPY])[0]
    wanted = heard(open_engine("parametric"), clip)
    assert np.array_equal(worker.decode([edited])[0].samples, wanted)


def test_a_worker_that_dies_under_a_job_fails_it_without_waiting(
    worker: WorkerEngine, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it cannot be started again, the error says what happened."""
    worker.encode([clip])
    pid = worker.status()["pid"]
    take = worker.encode([clip])[0]

    def cannot() -> Any:
        raise EngineError("the worker process could not start (exit code 1)")

    monkeypatch.setattr(worker._starter, "connected", cannot)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    with pytest.raises(EngineError, match="could not start"):
        worker.decode([take])
    assert time.monotonic() - began < 5.0


def test_a_socket_left_by_a_dead_worker_is_in_nobodys_way(
    worker: WorkerEngine, folder: Path
) -> None:
    os.kill(worker.status()["pid"], signal.SIGKILL)
    assert list(folder.glob("*.sock"))
    assert WorkerEngine(settings(), folder=folder).status()["done"] == 0


def test_only_this_user_may_connect(worker: WorkerEngine, folder: Path) -> None:
    worker.status()
    mode = stat.S_IMODE(worker._starter.address.socket.stat().st_mode)
    assert mode & 0o077 == 0
    folder.chmod(0o777)
    with pytest.raises(RequestError, match="others may write"):
        WorkerEngine(settings(), folder=folder).status()
    folder.chmod(0o700)


def test_a_client_of_another_version_is_told(
    worker: WorkerEngine, folder: Path, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it asks first; and also one that lives while its worker is another one."""
    worker.status()
    monkeypatch.setattr("stepedit_fx.worker.client.__version__", "0.0.1")
    for ask in (lambda c: c.fingerprint, lambda c: c.status(), lambda c: c.encode([clip])):
        with pytest.raises(EngineError, match=r"this program of 0\.0\.1") as caught:
            ask(WorkerEngine(settings(), folder=folder))
        assert "worker stop" in caught.value.remedy
    os.kill(find(folder)[0].pid, signal.SIGKILL)
    with pytest.raises(EngineError, match=r"this program of 0\.0\.1"):
        worker.encode([clip])


def test_a_worker_that_computes_otherwise_is_not_taken_for_the_first(
    worker: WorkerEngine, clip: Audio
) -> None:
    """Keys of results hold the first one's fingerprint."""
    worker.encode([clip])
    worker._fingerprint = "code 0"
    os.kill(int(worker.status()["pid"]), signal.SIGKILL)
    with pytest.raises(EngineError, match="computes otherwise"):
        worker.encode([clip])


def test_one_kill_costs_two_threads_of_one_program_nothing(
    worker: WorkerEngine, clip: Audio
) -> None:
    """The link that one of them makes anew must not be closed by the other."""
    wanted = heard(worker, clip)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(heard, worker, clip) for _ in range(4)]
        time.sleep(0.05)
        os.kill(find(worker.address.socket.parent)[0].pid, signal.SIGKILL)
        assert all(np.array_equal(future.result(), wanted) for future in running)


def test_voices_that_do_not_fit_all_at_once_are_used_all_the_same(
    folder: Path, clip: Audio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker with little room must not ask for the same voices for ever."""
    monkeypatch.setenv("STEPEDIT_WORKER_VOICES", "0.1")
    engine = WorkerEngine(settings(), folder=folder)
    here = open_engine("parametric")
    clips = [Audio(clip.samples * (0.5 + n / 10), clip.sample_rate) for n in range(4)]
    takes = here.encode(clips)
    found = engine.decode(engine.edit(takes, [HAPPY] * len(takes)))
    for sound, take in zip(found, takes, strict=True):
        wanted = here.decode(here.edit([take], [HAPPY]))[0]
        assert np.array_equal(sound.samples, wanted.samples)
    engine.close()


def test_a_store_that_cannot_be_made_is_no_worker_s_death(
    worker: WorkerEngine, clip: Audio, tmp_path: Path
) -> None:
    take = worker.encode([clip])[0]
    (tmp_path / "file").write_text("in the way")
    assert not worker.keep(take.voice.digest, tmp_path / "file" / "store", 1 << 20)
    assert worker.status()["failed"] == 0


def test_what_is_cancelled_stops(worker: WorkerEngine, clip: Audio) -> None:
    take = worker.encode([clip])[0]
    with pytest.raises(Cancelled), cancelled_by(lambda: True):
        worker.edit([take], [HAPPY])
    assert len(heard(worker, clip))


def test_rubbish_on_the_socket_harms_nobody(worker: WorkerEngine, clip: Audio) -> None:
    worker.status()
    for rubbish in (b"\0" * 64, os.urandom(512), b"\xff" * 16, b"\0\0\0\2\0\0\0\0[]"):
        link = connected(worker._starter.address)
        assert link is not None
        link.sendall(rubbish)
        link.close()
    assert len(heard(worker, clip))


def test_sixty_four_clients_get_their_own(folder: Path, clip: Audio) -> None:
    """Each its own result: none lost, none swapped."""
    piece = Audio(clip.samples[:, : clip.sample_rate // 3], clip.sample_rate)
    here = open_engine("parametric")

    def ask(n: int) -> bool:
        engine = WorkerEngine(settings(), folder=folder)
        mine = Audio(piece.samples * (0.5 + n / 200), piece.sample_rate)
        take = engine.encode([mine])[0]
        found = engine.decode([take])[0].samples
        engine.close()
        return np.array_equal(found, mine.samples)

    assert here
    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(ask, range(64)))
    _until(lambda: len(workers(folder)) == 1)


def test_an_idle_worker_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes are not held for somebody who went home."""
    monkeypatch.setenv("STEPEDIT_WORKER_PATIENCE", "0.2,0.6,60")
    engine = WorkerEngine(settings(), folder=folder)
    pid = engine.status()["pid"]
    engine.close()
    _gone(pid)
    assert not list(folder.glob("*.sock"))


def test_a_second_start_leaves_the_first_alone(worker: WorkerEngine) -> None:
    pid = worker.status()["pid"]
    second = start(worker._starter.address, worker._starter.data)
    assert second.wait(30) == 0
    assert worker.status()["pid"] == pid


def _gone(pid: int) -> None:
    _until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z"
    return True


def _until(true: Callable[[], bool]) -> None:
    for _ in range(400):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def test_a_client_that_reads_nothing_holds_nobody_up(worker: WorkerEngine, clip: Audio) -> None:
    """Ctrl-Z in one terminal must not stop what others have a worker do."""
    worker.status()
    left = 1 + int(worker.status()["clients"])
    link = connected(worker._starter.address)
    assert link is not None
    pieces = frame({"id": 1, "do": "status"})
    link.settimeout(1)
    with suppress(Closed):  # until nothing more goes in: the worker cannot answer any more
        while True:
            send(link, pieces)
    _until(lambda: int(worker.status()["clients"]) < left)
    link.close()
    assert heard(worker, clip).size
