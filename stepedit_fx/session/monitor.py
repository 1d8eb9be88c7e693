"""What somebody listens to, kept up to date behind their back."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Set

from stepedit_fx.errors import RenderError, StepEditError
from stepedit_fx.session.jobs import Heard
from stepedit_fx.session.renderer import Order, Renderer, Reply

# A knob that is turned sends a value every few milliseconds; rendering starts when it rests.
QUIET_S = 0.03
# One that never rests is heard on its way all the same.
PATIENCE_S = 0.25

_names = itertools.count(1)


class Monitor:
    """Renders one node again and again, the newest values winning.

    nodes: those whose controls matter. make: an order under a name, and its generation. told:
    of an error, or with None that the monitor is closed.
    """

    def __init__(
        self,
        nodes: Set[str],
        lane: Renderer,
        make: Callable[[str], tuple[Order, int]],
        heard: Callable[[Heard], None],
        told: Callable[[Monitor, StepEditError | None], None],
    ) -> None:
        self.nodes = nodes
        self._lane = lane
        self._make = make
        self._heard = heard
        self._tell = told
        self._condition = threading.Condition()
        self._first_s: float | None = None  # when the turns that are not rendered yet began
        self._last_s = 0.0  # and the newest of them
        self._running = ""  # the order that is under way
        self._closed = False
        self._delivered = -1
        self._thread = threading.Thread(target=self._watch, name="monitor", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """A value was turned."""
        with self._condition:
            self._last_s = time.monotonic()
            if self._first_s is None:
                self._first_s = self._last_s
            self._condition.notify_all()

    @property
    def is_busy(self) -> bool:
        """Whether newer sound is still to come."""
        with self._condition:
            return self._first_s is not None or bool(self._running)

    def close(self) -> None:
        """Want nothing more."""
        with self._condition:
            self._closed = True
            running = self._running
            self._condition.notify_all()
        if running:
            self._lane.cancel(running)
        self._tell(self, None)

    def _watch(self) -> None:
        while True:
            with self._condition:
                if not self._wait_for_rest():
                    return
                self._first_s = None
                overtaken, self._running = self._running, f"monitor-{next(_names)}"
                name = self._running
            if overtaken:
                self._lane.cancel(overtaken)
            try:
                order, generation = self._make(name)
            except Exception as error:  # noqa: BLE001 - it is told; the next value may do
                fault = RenderError(f"{type(error).__name__}: {error}")
                self._ended(name, error if isinstance(error, StepEditError) else fault)
                continue
            self._lane.submit(order, lambda reply, n=name, g=generation: self._take(n, g, reply))  # type: ignore[misc]

    def _wait_for_rest(self) -> bool:
        """Wait until a render is due; False when there is none to come."""
        while not self._closed:
            if self._first_s is None:
                self._condition.wait()
                continue
            now = time.monotonic()
            due = self._last_s + QUIET_S
            if not self._running:
                due = min(due, self._first_s + PATIENCE_S)
            if now >= due:
                return True
            self._condition.wait(due - now)
        return False

    def _take(self, name: str, generation: int, reply: Reply) -> None:
        """Called by the lane's thread."""
        if reply.state in ("running", "progress"):
            return
        try:
            if reply.audio is not None:
                with self._condition:
                    stale = self._closed or generation < self._delivered
                    self._delivered = max(generation, self._delivered)
                if not stale:
                    self._heard(Heard(reply.audio, generation))
        finally:  # whoever hears may fail, and the render is over all the same
            self._ended(name, reply.error if reply.state == "failed" else None)

    def _ended(self, name: str, error: StepEditError | None) -> None:
        if error is not None:
            self._tell(self, error)
        with self._condition:
            if self._running == name:
                self._running = ""
            self._condition.notify_all()
