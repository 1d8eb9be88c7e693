"""The UDP side: one socket, many sources, each with what it may ask for in a second."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from typing import Any

from stepedit_fx.errors import Busy, RequestError
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.commands import NODES
from stepedit_fx.osc.dispatch import Dispatcher
from stepedit_fx.osc.limits import Bucket

logger = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 8192
MAX_SOURCES = 256
MESSAGES_PER_SECOND = 1000
BURST = 200
IDLE_S = 60.0  # after which a source without a subscription or a render is forgotten
WELCOME_IDLE_S = 600.0  # one that said the token
_MAX_HELD = 1024
_MAX_HELD_BYTES = 1024
_DRAIN = 2048  # datagrams that are taken from the system at a time
_SLICE = 8  # datagrams that are done before the system is asked for more
_EVERY_S = 0.01
_NODES = NODES.encode()


class Source:
    """One address and port that datagrams come from.

    A source that sends more than it may has its values held, the newest of each control, and
    set as soon as it may again; other messages over the limit are refused.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.rate = Bucket(MESSAGES_PER_SECOND, BURST)
        self.complaints = Bucket(1, 1)
        self.held: dict[bytes, bytes] = {}
        self.seen_s = time.monotonic()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost by forgetting it."""
        idle_s = time.monotonic() - self.seen_s
        client = self.client
        if client.subscriptions or client.renders or self.held:
            return False
        return idle_s > (WELCOME_IDLE_S if client.is_welcome else IDLE_S)

    def may_send(self) -> bool:
        return self.client.faults.wait_s() == 0 and self.rate.take()


class UdpSide:
    """Reads a bound UDP socket in the running loop."""

    def __init__(self, sock: socket.socket, dispatcher: Dispatcher) -> None:
        self._sock = sock
        self._dispatcher = dispatcher
        self._loop = asyncio.get_running_loop()
        self._sources: OrderedDict[Any, Source] = OrderedDict()
        self._arrived: list[tuple[Source, bytes]] = []
        self._holding: set[Source] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._turned_away = Bucket(10, 20)  # answers to those there is no room for
        sock.setblocking(False)
        self._loop.add_reader(sock, self._readable)

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        if self._timer is not None:
            self._timer.cancel()
        self._sock.close()

    def forget_idle(self) -> None:
        """Forget the sources that said nothing for long."""
        for address in [key for key, source in self._sources.items() if source.is_idle]:
            self._dispatcher.audience.leave(self._sources.pop(address).client)

    def _readable(self) -> None:
        # A flood fills the system's buffer, which then throws away the newest: so empty it first
        # and often, and look at what came in between.
        for _ in range(_DRAIN // _SLICE):
            is_empty = self._drain()
            now, self._arrived = self._arrived[:_SLICE], self._arrived[_SLICE:]
            for source, data in now:
                self._dispatcher.take(source.client, data)
            if is_empty and not self._arrived:
                return

    def _drain(self) -> bool:
        """Take what has come; True when no more is there."""
        for _ in range(_DRAIN):
            try:
                data, address = self._sock.recvfrom(1 << 16)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError as error:  # on Windows, of an answer that nobody took
                logger.debug("receiving: %s", error)
                continue
            source = self._source(address)
            if source is not None:
                self._sort_in(source, data)
            elif self._turned_away.take():
                stranger = self._client(address)
                full = Busy(f"{MAX_SOURCES} clients are served already", remedy="Come by TCP.")
                self._dispatcher.refuse(stranger, _address_in(data), full)
        return False

    def _source(self, address: Any) -> Source | None:
        source = self._sources.get(address)
        if source is None:
            if len(self._sources) >= MAX_SOURCES and not self._make_room():
                return None
            source = self._sources[address] = Source(self._client(address))
            self._dispatcher.audience.clients.add(source.client)
        source.seen_s = time.monotonic()
        self._sources.move_to_end(address)
        return source

    def _make_room(self) -> bool:
        for address, source in self._sources.items():  # the longest silent first
            client = source.client
            if not (client.subscriptions or client.renders or client.is_welcome):
                self._dispatcher.audience.leave(client)
                del self._sources[address]
                return True
        return False

    def _client(self, address: Any) -> Client:
        to = [address]

        def write(data: bytes) -> None:
            try:
                self._sock.sendto(data, to[0])
            except OSError as error:  # a full buffer, a port that is closed: UDP loses things
                logger.debug("to %s: %s", to[0], error)

        def answer_at(port: int) -> None:
            to[0] = (address[0], port, *address[2:])

        return Client(f"udp {address[0]}:{address[1]}", write, answer_at=answer_at)

    def _sort_in(self, source: Source, data: bytes) -> None:
        """Do it in its turn, hold it, or refuse it."""
        if len(data) > MAX_DATAGRAM_BYTES:
            error = RequestError(
                f"a datagram of over {MAX_DATAGRAM_BYTES} bytes", remedy="Send it by TCP."
            )
            self._complain(source, data, error)
        elif data.startswith(_NODES) and len(data) <= _MAX_HELD_BYTES:
            if source.held or not source.may_send():
                self._hold(source, data)
            else:
                self._arrived.append((source, data))
        elif source.may_send():
            self._release(source, len(source.held))  # what was said before it
            self._arrived.append((source, data))
        else:
            error = Busy(f"over {MESSAGES_PER_SECOND} messages a second", remedy="Send by TCP.")
            self._complain(source, data, error)

    def _complain(self, source: Source, data: bytes, error: RequestError) -> None:
        if source.complaints.take():
            self._dispatcher.refuse(source.client, _address_in(data), error)

    def _hold(self, source: Source, data: bytes) -> None:
        end = data.find(b"\0")
        tags = end + 4 - end % 4
        is_query = data[tags : tags + 2] in (b"", b",\0")
        key = data[:end] + (b"?" if is_query else b"")
        if key in source.held or len(source.held) < _MAX_HELD:
            source.held[key] = data
        self._holding.add(source)
        if self._timer is None:
            self._timer = self._loop.call_later(_EVERY_S, self._release_due)

    def _release_due(self) -> None:
        self._timer = None
        for source in tuple(self._holding):
            ready = 0
            while ready < len(source.held) and source.may_send():
                ready += 1
            self._release(source, ready)
        arrived, self._arrived = self._arrived, []
        for source, data in arrived:
            self._dispatcher.take(source.client, data)
        if self._holding and self._timer is None:
            self._timer = self._loop.call_later(_EVERY_S, self._release_due)

    def _release(self, source: Source, count: int) -> None:
        """Do the first of what is held."""
        for key in list(source.held)[:count]:
            self._arrived.append((source, source.held.pop(key)))
        if not source.held:
            self._holding.discard(source)


def _address_in(data: bytes) -> str:
    """The address a packet seems to have."""
    return data[: data.find(b"\0")][:200].decode(errors="replace")
