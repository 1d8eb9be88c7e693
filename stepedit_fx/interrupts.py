"""Ctrl-C that is not lost: for processes that are ours from start to end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN_S = 0.01


@contextmanager
def kept_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Python would only print it; for the main thread.

    It comes up in whatever runs, and a finalizer or the callback of a weak reference has nobody
    to hand it to: Python reports it as unraisable, and the program goes on as if nobody had asked
    it to end. Raised soon after, and again where that too is swallowed. Does nothing where there
    are no timers (Windows).
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    report = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs, /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            report(unraisable)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        # A timer that went off while Python shuts down would kill it.
        sys.unraisablehook = report
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
