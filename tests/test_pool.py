"""Worker processes: who dies takes only their own item along."""

from __future__ import annotations

import os
import signal
import time
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
