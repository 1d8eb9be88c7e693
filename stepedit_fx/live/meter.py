"""Whose fault it was that a block came too late."""

from __future__ import annotations

import os
import time


class Meter:
    """Counts the blocks that took longer to make than to play.

    late: those for which we alone are to blame. preempted: those in which the machine had let
    the thread wait for a processor, and which would have been in time without that. longest_s:
    of any block's making, less such waits.
    """

    def __init__(self) -> None:
        self.late = 0
        self.preempted = 0
        self.longest_s = 0.0
        self.blocks = 0
        self._file = -1
        self._thread = 0
        self._began_s = 0.0
        self._waited_s = 0.0

    def begin(self) -> None:
        """The callback begins; each thread that does is watched."""
        thread = _thread_id()
        if thread != self._thread:
            self.close()
            self._thread, self._file = thread, _schedule_file()
        self._waited_s = self._waits_s()
        self._began_s = time.perf_counter()

    def end(self, block_s: float) -> None:
        """The callback ends; block_s: how long what it made lasts."""
        took_s = time.perf_counter() - self._began_s
        self.blocks += 1
        own_s = took_s
        if took_s > min(block_s, self.longest_s):
            own_s -= self._waits_s() - self._waited_s
        self.longest_s = max(self.longest_s, own_s)
        if took_s > block_s:
            if own_s > block_s:
                self.late += 1
            else:
                self.preempted += 1

    def close(self) -> None:
        """Watch no more."""
        if self._file >= 0:
            os.close(self._file)
        self._file, self._thread = -1, 0

    def _waits_s(self) -> float:
        """How long the thread has waited for a processor in all; 0 where nobody tells."""
        if self._file < 0:
            return 0.0
        # Time on a processor, time waiting for one (nanoseconds), turns: Linux,
        # Documentation/scheduler/sched-stats.rst.
        return int(os.pread(self._file, 100, 0).split()[1]) * 1e-9


def _thread_id() -> int:
    import threading

    return threading.get_ident()


def _schedule_file() -> int:
    try:
        return os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:  # not Linux, or not told
        return -1
