"""What ends `serve` and `live`."""

from __future__ import annotations

import os
import signal

import pytest

from stepedit_fx.cli.control import stop_signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_it_ends_in_order(name: str) -> None:
    """A closed terminal would leave processes' folders in memory behind, and a cut recording."""
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"no {name} on this system")
    before = signal.getsignal(number)
    with stop_signals() as stopped:
        os.kill(os.getpid(), number)
        assert stopped.wait(5)
    assert signal.getsignal(number) == before


def test_under_nohup_it_goes_on() -> None:
    """Logging out would end a daemon that was meant to stay."""
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("no SIGHUP on this system")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped.wait(0.1)
    finally:
        signal.signal(signal.SIGHUP, before)
