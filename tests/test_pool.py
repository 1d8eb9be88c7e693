"""Worker processes: who dies takes only their own item along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from multiprocessing import active_children
from pathlib import Path

import pytest

from stepedit_fx.errors import Cancelled, RenderError
from stepedit_fx.pool import WorkerLost, spread

Cancel = Callable[[], bool]


def squarer(offset: int) -> Callable[[int, Cancel], int]:
    return lambda item, cancelled: item * item + offset


def killer(victim: int) -> Callable[[int, Cancel], int]:
    def do(item: int, cancelled: Cancel) -> int:
        if item == victim:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    return do


def stillborn(setup: None) -> Callable[[int, Cancel], int]:
    os._exit(7)


def killer_at_birth(setup: tuple[str, int]) -> Callable[[int, Cancel], int]:
    """The first so many workers are killed before they are ready; then, one by item 2."""
    folder, count = setup
    for number in range(count):
        try:
            Path(folder, str(number)).touch(exist_ok=False)
        except FileExistsError:
            continue
        os.kill(os.getpid(), signal.SIGKILL)
    return killer(2)


def sleeper(folder: str) -> Callable[[int, Cancel], int]:
    def do(item: int, cancelled: Cancel) -> int:
        half = Path(folder, f"{item}.half")
        half.touch()
        try:
            time.sleep(60)
        finally:
            half.rename(half.with_suffix(".tidied"))
        return item

    return do


def never() -> bool:
    return False


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_done_once(jobs: int) -> None:
    """A batch must not lose or repeat a recording."""
    started: list[int] = []
    done = dict(spread(squarer, 10, range(7), jobs=jobs, started=started.append, cancelled=never))
    assert done == {i: i * i + 10 for i in range(7)}
    assert sorted(started) == list(range(7))
    assert not active_children()


def test_a_killed_worker_costs_its_item_only() -> None:
    """When the system kills a process for its memory, the other recordings still come out."""
    done = dict(spread(killer, 2, range(6), jobs=2, started=lambda index: None, cancelled=never))
    assert done.pop(2) == WorkerLost(-signal.SIGKILL)
    assert done == {i: i for i in (0, 1, 3, 4, 5)}


def test_workers_that_cannot_start_are_an_error_and_no_endless_loop() -> None:
    """A script without a main guard must hear so, not hang."""
    with pytest.raises(RenderError, match="__main__"):
        list(spread(stillborn, None, range(3), jobs=2, started=lambda i: None, cancelled=never))
    assert not active_children()


@pytest.mark.parametrize("count", [1, 2])
def test_workers_killed_before_their_first_item_cost_nothing(tmp_path: Path, count: int) -> None:
    """Where memory ends while workers start, the others do all, and one they lose is replaced."""
    setup = (str(tmp_path), count)
    done = spread(killer_at_birth, setup, range(5), jobs=2, started=lambda _: None, cancelled=never)
    lost = WorkerLost(-signal.SIGKILL)
    assert dict(done) == {0: 0, 1: 1, 2: lost, 3: 3, 4: 4}


def test_stopping_cleans_up_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C in a batch: busy workers tidy their half-written files, and are gone."""
    run = spread(
        sleeper,
        str(tmp_path),
        range(4),
        jobs=2,
        started=lambda index: None,
        cancelled=lambda: len(list(tmp_path.glob("*.half"))) == 2,
    )
    begin = time.monotonic()
    with closing(run), pytest.raises(Cancelled):
        list(run)
    assert time.monotonic() - begin < 30
    assert not active_children()
    assert {path.name for path in tmp_path.iterdir()} == {"0.tidied", "1.tidied"}


def deaf_for_a_moment(folder: str) -> Callable[[int, Cancel], int]:
    """Its end is asked for while a weak reference dies, where Python loses an interrupt."""

    class Dying:
        pass

    def do(item: int, cancelled: Cancel) -> int:
        dying = Dying()
        watched = weakref.ref(dying, lambda _: os.kill(os.getpid(), signal.SIGTERM))
        try:
            del dying
            time.sleep(20)
        finally:
            Path(folder, "tidied").touch()
        return item if watched else -1

    return do


def test_a_worker_hears_at_any_moment_that_it_should_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else a batch that is stopped now and then waits, prints a traceback and leaves half files."""
    items, setup = range(2), str(tmp_path)
    done = spread(deaf_for_a_moment, setup, items, jobs=2, started=lambda _: None, cancelled=never)
    assert dict(done) == {0: WorkerLost(1), 1: WorkerLost(1)}
    assert (tmp_path / "tidied").exists()
    assert capfd.readouterr().err == ""


SLOW_TO_IMPORT = """
import pathlib, sys, time
from stepedit_fx.pool import spread

def factory(setup):
    return lambda item, cancelled: item

if __name__ == "__mp_main__":
    pathlib.Path(sys.argv[1]).open("a").write("x")
    time.sleep(2)
if __name__ == "__main__":
    try:
        list(spread(factory, None, [1, 2], jobs=2, started=print, cancelled=lambda: False))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_while_workers_are_born_is_quiet(tmp_path: Path) -> None:
    """Whoever stops a batch in its first second sees one line, not a traceback from each worker."""
    script, born = tmp_path / "script.py", tmp_path / "born"
    script.write_text(SLOW_TO_IMPORT)
    process = subprocess.Popen(
        [sys.executable, script, born], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not (born.is_file() and len(born.read_text()) == 2):
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 130
