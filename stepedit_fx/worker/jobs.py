"""What waits in a worker, and in which order it is done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Job:
    """One request of one client. work: does it all, in a thread of its own; raises nothing.

    client: whoever asks; askers of equal urgency go in turn. sign: when it last gave one, by the
    monotonic clock; 0 before it starts.
    """

    client: int
    number: int
    what: str
    work: Callable[[Job], None]
    is_urgent: bool = False
    turn: int = 0
    is_cancelled: bool = False
    started: float = 0.0
    sign: float = 0.0

    def give_sign(self) -> None:
        """It is alive: whoever watches for jobs that hang waits on."""
        self.sign = time.monotonic()


@dataclass
class Desk:
    """Jobs on their way through `threads` threads: the urgent first, then the clients in turn."""

    threads: int
    waiting: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._clock = 0
        self._turns: dict[int, int] = {}
        self._started = 0
        self._ended = 0.0  # when the last job did, by the monotonic clock

    def put(self, job: Job) -> None:
        """Have a job done."""
        with self._changed:
            # A client's next job comes a turn after its last, and never before what is done now.
            job.turn = max(self._clock, self._turns.get(job.client, -1) + 1)
            self._turns[job.client] = job.turn
            self.waiting.append(job)
            # As many threads as were ever needed at once, up to the limit.
            needed = len(self.waiting) + len(self.running)
            if self._started < min(self.threads, needed):
                self._started += 1
                threading.Thread(
                    target=self._serve, name=f"stepedit-fx job {self._started}", daemon=True
                ).start()
            self._changed.notify()

    def cancel(self, client: int, number: int | None = None) -> None:
        """Stop a client's job, or all of its jobs."""
        with self._changed:
            for job in (*self.waiting, *self.running):
                if job.client == client and number in (None, job.number):
                    job.is_cancelled = True

    def gone(self, client: int) -> None:
        """A client that has left needs nothing any more."""
        self.cancel(client)
        with self._changed:
            self._turns.pop(client, None)

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.running

    def hanging(self, longest_s: float) -> Job | None:
        """The job that has been silent longest, where none has given a sign or ended for so long.

        While any goes on, one that is silent may just wait in line for the same network.
        """
        now = time.monotonic()
        with self._changed:
            started = [job for job in self.running if job.sign]
            last = max([self._ended, *(job.sign for job in started)])
            if not started or now - last <= longest_s:
                return None
            return min(started, key=lambda job: job.sign)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.waiting)
                job = min(self.waiting, key=lambda j: (not j.is_urgent, j.turn))
                self.waiting.remove(job)
                self.running.append(job)
                self._clock = max(self._clock, job.turn)
                job.started = time.monotonic()
                job.give_sign()
            try:
                job.work(job)
            finally:
                with self._changed:
                    self.running.remove(job)
                    self._ended = time.monotonic()
