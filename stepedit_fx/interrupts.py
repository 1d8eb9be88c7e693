"""Ctrl-C that is not lost: for processes that are ours from start to end."""

from __future__ import annotations

import signal
import sys

AGAIN_S = 0.01  # by then what swallowed it has returned


def keep_interrupts() -> None:
    """Raise KeyboardInterrupt again where Python would only print it; call it in the main thread.

    It comes up in whatever runs, and a finalizer or the callback of a weak reference has nobody
    to hand it to: Python reports it as unraisable, and the program goes on as if nobody had asked
    it to end. Does nothing where there are no timers (Windows).
    """
    if not hasattr(signal, "setitimer"):
        return
    report = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs, /) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            report(unraisable)

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = hook
