"""Batches across requests: what several threads want of one network is done together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from stepedit_fx.engines.base import asker
from stepedit_fx.errors import Cancelled, EngineError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Stopped = Callable[[], bool]
POLL_S = 0.05  # how often whoever waits looks whether it is still wanted


@dataclass(eq=False)
class _Asked(Generic[Item, Result]):
    """The items of one call. done: their results so far, by place; failed: why there are none."""

    items: Sequence[Item]
    is_urgent: bool
    turn: int
    cancelled: Stopped
    asker: object
    done: dict[int, Result] = field(default_factory=dict)
    failed: BaseException | None = None

    @property
    def is_over(self) -> bool:
        return self.failed is not None or len(self.done) == len(self.items)


class Gathering(Generic[Item, Result]):
    """Work on batches of at most `most` items, whoever asked for them; threads may share it.

    work: does a batch, asking now and then whether nobody wants any of it any more. out_of_memory:
    gives back what it can and says what to tell, for an error that means it, None for another.
    size: bytes that an item takes; like sizes go together, for a batch is as long as its longest.
    room: bytes that a batch may take now, None where nobody knows.
    A batch that fails is halved, and only what fails alone has failed.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item], Stopped], Sequence[Result]],
        most: int,
        out_of_memory: Callable[[Exception], EngineError | None],
        size: Callable[[Item], int] = lambda item: 0,
        room: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._work, self._most, self._size, self._room = work, most, size, room
        self._fitting = most  # items that memory was seen to be enough for
        self._out_of_memory = out_of_memory
        self._changed = threading.Condition()
        self._asked: list[_Asked[Item, Result]] = []
        self.is_working = False
        self._clock = 0  # of the newest item that has been taken
        self._batches = self._items = 0

    def run(self, items: Sequence[Item], *, is_urgent: bool, cancelled: Stopped) -> list[Result]:
        """The result of each item. The thread that finds nobody at work does the next batch.

        Raises Cancelled, and whatever the work raises for these items.
        """
        who = asker()
        with self._changed:
            # After what they wait for already, and never before what is being done.
            behind = (a.turn + len(a.items) for a in self._asked if a.asker == who)
            turn = max([self._clock, *behind])
            mine = _Asked[Item, Result](items, is_urgent, turn, cancelled, who)
            if not self._asked:
                self._fitting = self._most  # what else needed the memory may be gone by now
            self._asked.append(mine)
        try:
            while not mine.is_over:
                if cancelled():
                    raise Cancelled("the job was cancelled", remedy="Nothing half-made was kept.")
                batch = self._next()
                if batch is None:
                    continue
                try:
                    self._do(batch)
                finally:
                    with self._changed:
                        self.is_working = False
                        self._changed.notify_all()
        finally:
            with self._changed:
                self._asked.remove(mine)
        if mine.failed is not None:
            raise mine.failed
        return [mine.done[place] for place in range(len(items))]

    def status(self) -> dict[str, int]:
        """Calls that are not answered yet; batches that were done, and the items in them."""
        return {"waiting": len(self._asked), "batches": self._batches, "items": self._items}

    def _next(self) -> list[tuple[_Asked[Item, Result], int]] | None:
        """The next batch for this thread to do; None, after a while, where another is at it."""
        with self._changed:
            if self.is_working:
                self._changed.wait(POLL_S)
                return None
            waiting = [
                (asked, place)
                for asked in self._asked
                if asked.failed is None
                for place in range(len(asked.items))
                if place not in asked.done
            ]
            if not waiting:
                return None
            # The urgent first, then the first item of everybody before anybody's second.
            waiting.sort(key=lambda each: (not each[0].is_urgent, each[1] + each[0].turn))
            first = waiting[0]
            self._clock = max(self._clock, first[1] + first[0].turn)
            alike = sorted(waiting[1:], key=lambda each: self._unlike(each, first))
            self.is_working = True
            return self._within_room([first, *alike[: self._fitting - 1]])

    def _within_room(
        self, batch: list[tuple[_Asked[Item, Result], int]]
    ) -> list[tuple[_Asked[Item, Result], int]]:
        """As much of a batch as there is memory for, the first item always."""
        room, longest = self._room(), 0
        for count, (asked, place) in enumerate(batch, start=1):
            longest = max(longest, self._size(asked.items[place]))
            if room is not None and count > 1 and count * longest > room:
                return batch[: count - 1]
        return batch

    def _unlike(self, each: tuple[_Asked[Item, Result], int], first: Any) -> tuple[bool, int]:
        size = self._size(first[0].items[first[1]])
        return not each[0].is_urgent, abs(self._size(each[0].items[each[1]]) - size)

    def _do(self, batch: Sequence[tuple[_Asked[Item, Result], int]]) -> None:
        """One batch, halved where it fails."""
        failed = self._tried(batch)
        if failed is None:
            return
        if len(batch) == 1 or isinstance(failed, Cancelled):
            for asked, _ in batch:
                asked.failed = failed
            return
        failed = None  # its frames hold the batch's memory
        half = len(batch) // 2
        self._do(batch[:half])
        self._do(batch[half:])

    def _tried(self, batch: Sequence[tuple[_Asked[Item, Result], int]]) -> Exception | None:
        """Why a batch could not be done, if so."""

        def stopped() -> bool:
            return all(asked.cancelled() for asked, _ in batch)

        try:
            results = self._work([asked.items[place] for asked, place in batch], stopped)
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            told = self._out_of_memory(error)
            if told is None:
                return error
            self._fitting = max(1, len(batch) // 2)
            logger.info("out of memory: %d at a time from here on", self._fitting)
            return told
        for (asked, place), result in zip(batch, results, strict=True):
            asked.done[place] = result
        self._batches += 1
        self._items += len(batch)
        return None
