"""One writer for everybody who wants audio ids: their prompts share one running batch.

Whoever asks waits in a thread of its own. One thread takes prompts in as rows become free, the
urgent ones first and the askers in turn, and hands every answer back as soon as it ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from stepedit_fx.engines.base import asker
from stepedit_fx.engines.step_audio.generation import Generated, Request, Stop, most_ids
from stepedit_fx.engines.step_audio.prompt_states import PromptStates
from stepedit_fx.engines.step_audio.token_loop import TokenLoop
from stepedit_fx.engines.step_audio.vocabulary import GROUP
from stepedit_fx.errors import EngineError

logger = logging.getLogger(__name__)

PLACES_STEP = 1024  # room for ids is made in steps of this
MOST_FITTING = 1 << 30  # no limit is known
POLL_S = 0.05  # how often an asker looks whether the answer is still wanted

Progress = Callable[[int, int], None]
Written = Callable[[int, Sequence[int], bool], None]


@dataclass(eq=False)
class _Job:
    """One prompt on its way to its answer. turn: smaller ones first, among equally urgent."""

    request: Request
    place: int  # among those asked for together
    is_urgent: bool
    turn: int
    progress: Progress | None
    written: Written | None
    asker: object = None
    most: int = 0
    done: threading.Event = field(default_factory=threading.Event)
    is_cancelled: bool = False
    answer: Generated | None = None
    error: BaseException | None = None

    @property
    def places(self) -> int:
        return len(self.request.prompt_ids) + self.most

    def end(self, ids: Sequence[int], stop: Stop) -> None:
        whole = len(ids) - len(ids) % GROUP
        self.answer = Generated(np.array(ids[:whole], np.int64), stop)
        try:
            if self.written is not None:
                self.written(self.place, ids[:whole], True)
        except Exception as error:  # noqa: BLE001 - whose it is, is told
            self.error = error
        self.done.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done.set()


class TokenService:
    """Answers for any number of threads, from one model and one batch.

    model: gives the language model; called in the service's own thread, when first needed.
    most_rows: for how many takes of so many ids there is memory now, beside what is in use.
    out_of_memory: gives back what it can and says what to tell, for an error that means it, None
    for another; the batch is then made smaller and goes on.
    """

    def __init__(
        self,
        model: Callable[[], Any],
        most_rows: Callable[[int], int],
        out_of_memory: Callable[[Exception], EngineError | None],
    ) -> None:
        self._model, self._most_rows = model, most_rows
        self._out_of_memory = out_of_memory
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []
        self._clock = 0  # turn of the newest job that has been taken in
        self._thread: threading.Thread | None = None
        self._loop: TokenLoop | None = None
        self._states = PromptStates()
        self._writing: list[_Job] = []  # by row; the service's thread alone touches it
        self._fitting = MOST_FITTING  # rows that memory was seen to be enough for
        self._is_released = False

    def answer(
        self,
        requests: Sequence[Request],
        *,
        is_urgent: bool = False,
        progress: Progress | None = None,
        written: Written | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> list[Generated]:
        """The answers to all requests; in float32 the same codes whoever else asks at the time.

        is_urgent: goes before what is not. progress: told, in the service's thread, a request's
        place and how many ids it has, now and then. written: the same with the ids themselves,
        after every group, and whether they are all; it makes the writer wait for the device.
        cancelled: asked now and then; whole groups are kept.
        Raises RequestError, EngineError as `generate` does, for the first request that fails.
        """
        who = asker()
        with self._changed:
            # After what they wait for already, and never before what is taken in now.
            turn = max([self._clock, *(j.turn + 1 for j in self._waiting if j.asker == who)])
            jobs = [
                _Job(request, place, is_urgent, turn + place, progress, written, who)
                for place, request in enumerate(requests)
            ]
            self._waiting += jobs
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="stepedit-fx tokens", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        for job in jobs:
            while not job.done.is_set():
                if cancelled():
                    self._cancel(jobs)
                job.done.wait(POLL_S)
        failed = next((job.error for job in jobs if job.error is not None), None)
        if failed is not None:
            raise failed
        return [job.answer for job in jobs if job.answer is not None]

    def _cancel(self, jobs: Sequence[_Job]) -> None:
        """Those that wait end at once, those being written at their next group."""
        with self._changed:
            for job in jobs:
                job.is_cancelled = True
                if job in self._waiting:
                    self._waiting.remove(job)
                    job.end((), "cancelled")

    def release(self) -> None:
        """Give the batch's memory back, at the latest when all is written; it is made anew."""
        with self._changed:
            if self._waiting or self._writing:
                self._is_released = True
                return
            self._loop = None  # its thread waits, and touches it no more
            self._states.clear()

    def status(self) -> dict[str, Any]:
        """Prompts that are not taken in yet, those that are being answered, and memory."""
        loop = self._loop
        return {
            "waiting": len(self._waiting),
            "writing": len(self._writing),
            "rows": loop.rows if loop is not None else 0,
            "bytes": loop.bytes if loop is not None else 0,
            "prompts": self._states.status(),
        }

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting and not self._writing:
                    self._fitting = MOST_FITTING  # what else needed the memory may be gone by now
                self._changed.wait_for(lambda: self._waiting or self._writing or self._is_released)
                if self._is_released and not self._writing:
                    self._loop, self._is_released = None, False
                    self._states.clear()
            try:
                with torch.inference_mode():
                    self._take_in()
                    self._write()
            except Exception as error:  # noqa: BLE001 - whoever asked is told, and the thread lives
                self._make_smaller(error)

    def _make_smaller(self, error: Exception) -> None:
        """After an error in the middle of a batch: fewer rows if memory ran out, else it ends."""
        jobs, self._writing, self._loop = self._writing, [], None
        self._states.clear()
        told = self._out_of_memory(error)
        if told is not None and len(jobs) > 1:
            self._fitting = len(jobs) // 2
            logger.info("out of memory: %d takes at a time from here on", self._fitting)
            with self._changed:
                self._waiting += jobs  # the same seeds: begun again, they give the same codes
            return
        for job in jobs:
            job.fail(told or error)
        if not jobs:
            logger.error("the token service failed with nothing to do", exc_info=error)
            with self._changed:
                waiting, self._waiting = self._waiting, []
            for job in waiting:
                job.fail(error)

    def _take_in(self) -> None:
        """Waiting prompts into free rows, the most urgent first."""
        while job := self._next():
            try:
                job.most = most_ids(self._model(), job.request)
            except Exception as error:  # noqa: BLE001 - also what loading the model raises
                job.fail(error)
                continue
            if job.is_cancelled:
                job.end((), "cancelled")
                continue
            if self._writing and len(self._writing) >= self._rows_for(job):
                with self._changed:
                    self._waiting.append(job)
                return
            self._writing.append(job)
            try:
                self._make_room(job)
                if not self._admitted(job):
                    self._writing.remove(job)
                    job.end((), "cancelled")
            except Exception as error:
                if self._out_of_memory(error) is not None:
                    raise  # the batch is made smaller
                self._writing.remove(job)
                job.fail(error)
            self._clock = max(self._clock, job.turn)

    def _next(self) -> _Job | None:
        with self._changed:
            if not self._waiting:
                return None
            best = min(self._waiting, key=lambda job: (not job.is_urgent, job.turn))
            self._waiting.remove(best)
            return best

    def _rows_for(self, job: _Job) -> int:
        """How many takes may be written at once if this one is among them."""
        longest = _rounded(max([job.places, *(each.places for each in self._writing)]))
        loop = self._loop
        there = loop.rows if loop is not None and loop.places >= longest else 0
        return max(1, min(self._fitting, max(there, self._most_rows(longest))))

    def _make_room(self, job: _Job) -> None:
        """A loop with a row for one more take, and places for all of it."""
        rows, places = len(self._writing), _rounded(job.places)
        loop = self._loop
        if loop is None:
            self._loop = TokenLoop(self._model(), rows, places, self._states)
        elif rows > loop.rows or places > loop.places:
            # Doubled, so that growing row by row does not copy everything every time.
            doubled = min(2 * loop.rows, self._rows_for(job)) if rows > loop.rows else loop.rows
            self._loop = loop.resized(max(rows, doubled), max(places, loop.places))

    def _admitted(self, job: _Job) -> bool:
        assert self._loop is not None
        request = job.request
        return self._loop.admit(
            [int(id_) for id_ in request.prompt_ids],
            least=request.min_groups * GROUP,
            most=job.most,
            seed=request.seed,
            sampling=request.sampling,
            prefix=request.prefix,
            stopped=lambda: job.is_cancelled,
        )

    def _write(self) -> None:
        """One group for every row. A turn ends at a group's first id."""
        if self._loop is None or not self._writing:
            return
        self._loop.advance()
        self._let_go(self._loop)
        self._loop.advance(GROUP - 1)
        self._let_go(self._loop)
        for row, job in enumerate(self._writing):
            try:
                if job.progress is not None:
                    job.progress(job.place, self._loop.count(row))
                if job.written is not None:
                    job.written(job.place, self._loop.written(row), False)
            except Exception as error:  # noqa: BLE001 - whose it is, is told
                job.error, job.is_cancelled = error, True

    def _let_go(self, loop: TokenLoop) -> None:
        ended = set(loop.ended())
        for row in reversed(range(loop.active)):
            job = self._writing[row]
            if row in ended or job.is_cancelled:
                answer = self._answer(loop, row, job, row in ended)
                loop.leave(row)
                self._writing[row] = self._writing[-1]
                self._writing.pop()
                answer()

    def _answer(self, loop: TokenLoop, row: int, job: _Job, ended: bool) -> Callable[[], None]:
        """What tells a job how it went, for when its row is free."""
        try:
            loop.check(row)
        except EngineError as error:
            return partial(job.fail, error)
        ids = loop.written(row)
        return partial(
            job.end, ids, "budget" if len(ids) == job.most else "end" if ended else "cancelled"
        )


def _rounded(places: int) -> int:
    return -(-places // PLACES_STEP) * PLACES_STEP
