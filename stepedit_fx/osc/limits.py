"""How much of something a client may have in a second."""

from __future__ import annotations

import time


class Bucket:
    """Tokens that fill up at a rate, up to a burst; taking one is what is limited."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._filled_s = time.monotonic()

    def take(self, cost: float = 1.0) -> bool:
        """Whether there is one to take."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= cost
        return True

    def wait_s(self) -> float:
        """How long until there is one again."""
        self._fill()
        return max(0.0, (1 - self._tokens) / self._per_second)

    def _fill(self) -> None:
        now_s = time.monotonic()
        grown = self._tokens + (now_s - self._filled_s) * self._per_second
        self._tokens = min(self._burst, grown)
        self._filled_s = now_s
