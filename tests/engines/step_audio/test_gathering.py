"""Work that several threads want of one network: together, each its own result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.step_audio.gathering import Gathering, Stopped
from stepedit_fx.errors import Cancelled, EngineError

Work = Callable[[Sequence[int], Stopped], Sequence[int]]


def gathering(work: Work, most: int = 4) -> Gathering[int, int]:
    def out_of_memory(error: BaseException) -> EngineError | None:
        return EngineError("no room") if isinstance(error, MemoryError) else None

    return Gathering(work, most, out_of_memory, lambda item: item)


def never() -> bool:
    return False


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=6), st.integers(1, 4))
def test_everybody_gets_the_results_of_their_own_items(asked: list[list[int]], most: int) -> None:
    """A swapped result would be another clip's codes."""
    sizes: list[int] = []

    def work(batch: Sequence[int], _stopped: Stopped) -> list[int]:
        sizes.append(len(batch))
        return [item * 3 for item in batch]

    shared = gathering(work, most)
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda items: shared.run(items, is_urgent=False, cancelled=never), asked)
        )
    assert found == [[item * 3 for item in items] for items in asked]
    assert all(size <= most for size in sizes)


def test_what_waits_is_done_together() -> None:
    """Eight askers that wait for one batch cost two more, not eight."""
    gate, sizes = threading.Event(), []

    def work(batch: Sequence[int], _stopped: Stopped) -> Sequence[int]:
        gate.wait(10)
        sizes.append(len(batch))
        return batch

    shared = gathering(work)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(shared.run, [0], is_urgent=False, cancelled=never)
        _until(lambda: shared.is_working)
        rest = [pool.submit(shared.run, [n], is_urgent=False, cancelled=never) for n in range(8)]
        _until(lambda: shared.status()["waiting"] == 9)
        gate.set()
        assert [each.result(10) for each in (first, *rest)] == [[0], *([n] for n in range(8))]
    assert sizes == [1, 4, 4]


def test_the_urgent_are_in_the_next_batch() -> None:
    """What someone is listening to does not stand behind a night's batch."""
    gate, order = threading.Event(), []

    def work(batch: Sequence[int], _stopped: Stopped) -> Sequence[int]:
        gate.wait(10)
        order.extend(batch)
        return batch

    shared = gathering(work, most=1)
    with ThreadPoolExecutor(5) as pool:
        pool.submit(shared.run, [0], is_urgent=False, cancelled=never)
        _until(lambda: shared.is_working)
        for n in (1, 2, 3):
            pool.submit(shared.run, [n], is_urgent=False, cancelled=never)
            _until(lambda n=n: shared.status()["waiting"] == n + 1)  # type: ignore[misc]
        pool.submit(shared.run, [9], is_urgent=True, cancelled=never)
        _until(lambda: shared.status()["waiting"] == 5)
        gate.set()
    assert order == [0, 9, 1, 2, 3]


def test_one_that_fails_takes_nobody_with_it() -> None:
    """A clip that breaks a network must not cost the clips that were beside it."""

    def work(batch: Sequence[int], _stopped: Stopped) -> Sequence[int]:
        if 13 in batch:
            raise EngineError("unlucky")
        return batch

    shared = gathering(work)
    with ThreadPoolExecutor(4) as pool:
        asked = {
            n: pool.submit(shared.run, [n], is_urgent=False, cancelled=never)
            for n in (11, 12, 13, 14)
        }
        assert [asked[n].result(10) for n in (11, 12, 14)] == [[11], [12], [14]]
        with pytest.raises(EngineError, match="unlucky"):
            asked[13].result(10)


def test_what_nobody_wants_is_stopped_and_what_somebody_wants_is_not() -> None:
    """A cancelled graph frees the device at once, unless another's take is in the same batch."""
    cancelled, begun = threading.Event(), threading.Event()

    def work(batch: Sequence[int], stopped: Stopped) -> Sequence[int]:
        begun.set()
        for _ in range(1000):
            if stopped():
                raise Cancelled("stopped")
            time.sleep(0.001 if cancelled.is_set() else 0.0001)
        return batch

    shared = gathering(work)
    with ThreadPoolExecutor(2) as pool:
        going = pool.submit(shared.run, [1], is_urgent=False, cancelled=cancelled.is_set)
        begun.wait(10)
        cancelled.set()
        with pytest.raises(Cancelled):
            going.result(0.5)
    with pytest.raises(Cancelled):
        shared.run([1], is_urgent=False, cancelled=lambda: True)
    assert shared.run([2], is_urgent=False, cancelled=never) == [2]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.001)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=9), st.integers(1, 120))
def test_a_batch_takes_no_more_memory_than_there_is(sizes: list[int], room: int) -> None:
    """Padded to its longest, as networks do; one alone always goes, for nobody could do less."""
    taken: list[list[int]] = []

    def work(batch: Sequence[int], _stopped: Stopped) -> Sequence[int]:
        taken.append(list(batch))
        return batch

    shared: Gathering[int, int] = Gathering(
        work, 4, lambda error: None, lambda item: item, lambda: room
    )
    assert shared.run(sizes, is_urgent=False, cancelled=never) == sizes
    assert all(len(batch) * max(batch) <= room for batch in taken if len(batch) > 1)
    assert sorted(item for batch in taken for item in batch) == sorted(sizes)
    assert shared.status() == {"waiting": 0, "batches": len(taken), "items": len(sizes)}
