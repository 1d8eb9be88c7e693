"""Who talks to us: what they subscribed to, what they wait for, what is still to be sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from stepedit_fx.errors import Busy, RequestError
from stepedit_fx.osc.limits import Bucket
from stepedit_fx.osc.wire import Arg, Message, encode

logger = logging.getLogger(__name__)

LEASE_S = 30.0
MAX_SUBSCRIPTIONS = 64  # of one client
# A value that moves is sent at most every 10 ms; one that rests goes out at once.
EVERY_S = 0.01
BLOCKED_S = 0.05  # how soon a client that does not keep up is tried again


@dataclass
class Subscription:
    """Addresses that a client hears of, until the lease ends (time.monotonic)."""

    pattern: str
    addresses: frozenset[str]
    until_s: float


class Client:
    """One peer: a UDP source or a TCP connection. Used in the service's loop alone.

    write: sends the bytes of a packet. is_ready: whether values may be sent now, False while
    there is much on the way already. answer_at: makes a UDP client's answers go to another port.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[bytes], None],
        *,
        is_ready: Callable[[], bool] = lambda: True,
        answer_at: Callable[[int], None] | None = None,
    ) -> None:
        self.name = name
        self.is_welcome = False  # said the token, where there is one
        self.answer_at = answer_at
        self.subscriptions: dict[str, Subscription] = {}
        self.renders: dict[int, str] = {}  # request id -> job id, of those that run
        # A fault costs more than a message: its answer, and the search for what was meant.
        self.faults = Bucket(100, 200)
        self.is_gone = False
        self._write = write
        self._is_ready = is_ready
        self._pending: dict[str, tuple[Arg, ...]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushed_s = 0.0

    def send(self, address: str, *args: Arg) -> None:
        """Send one message now."""
        if self.is_gone:
            return
        try:
            self._write(encode(Message(address, args)))
        except RequestError as error:  # a text from a file may hold what OSC cannot
            logger.warning("%s is not told of %s: %s", self.name, address, error)

    def send_value(self, address: str, *args: Arg) -> None:
        """Send the newest value of an address soon; one before it may never be sent."""
        if self.is_gone:
            return
        self._pending[address] = args
        if self._timer is None:
            self._flush_at(max(time.monotonic(), self._flushed_s + EVERY_S))

    def _flush_at(self, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at_s - time.monotonic()), self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self.is_gone:
            return
        if not self._is_ready():
            self._flush_at(time.monotonic() + BLOCKED_S)
            return
        self._flushed_s = time.monotonic()
        pending, self._pending = self._pending, {}
        for address, args in pending.items():
            self.send(address, *args)

    def subscribe(self, pattern: str, addresses: Iterable[str]) -> Subscription:
        """Hear of addresses from now on. Raises Busy over the limit."""
        if pattern not in self.subscriptions and len(self.subscriptions) >= MAX_SUBSCRIPTIONS:
            raise Busy(f"{MAX_SUBSCRIPTIONS} subscriptions are kept", remedy="End one first.")
        until_s = time.monotonic() + LEASE_S
        made = self.subscriptions[pattern] = Subscription(pattern, frozenset(addresses), until_s)
        return made

    def renew(self) -> None:
        """Every lease begins again."""
        for subscription in self.subscriptions.values():
            subscription.until_s = time.monotonic() + LEASE_S

    def expire(self) -> None:
        """Forget the subscriptions whose lease has ended."""
        now_s = time.monotonic()
        ended = [key for key, kept in self.subscriptions.items() if kept.until_s < now_s]
        for key in ended:
            del self.subscriptions[key]

    def hears(self, address: str) -> bool:
        """Whether a subscription holds an address."""
        return any(address in kept.addresses for kept in self.subscriptions.values())

    def leave(self) -> None:
        """Nothing more is sent."""
        self.is_gone = True
        self.subscriptions.clear()
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
