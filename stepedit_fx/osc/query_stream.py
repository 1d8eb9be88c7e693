"""One WebSocket of OSCQuery: which values its client listens to, and what is on its way there.

Values that change faster than a client reads are not queued: the newest of each address waits,
so that no client, however slow, makes this process grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stepedit_fx.errors import Busy, NotFound, RequestError
from stepedit_fx.graph.controls import Value
from stepedit_fx.osc import commands
from stepedit_fx.osc.clients import Client
from stepedit_fx.osc.commands import NORM
from stepedit_fx.osc.dispatch import Dispatcher
from stepedit_fx.osc.faults import code_of, told
from stepedit_fx.osc.query_tree import control_of, norm_of
from stepedit_fx.osc.wire import Message, encode
from stepedit_fx.session import Session

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

logger = logging.getLogger(__name__)

REST_S = 0.01  # between two rounds of values: at most a hundred a second of each
MAX_WAITING = 4096  # answers and commands that wait for a client, before it is sent away
MAX_LISTENED = 4096


class Stream:
    """A client's connection: OSC as over UDP and TCP, and LISTEN beside it.

    All of it runs in the server's event loop.
    """

    def __init__(self, socket: ServerConnection, session: Session, dispatcher: Dispatcher) -> None:
        self._socket = socket
        self._session = session
        self._dispatcher = dispatcher
        self._listened: set[str] = set()
        self._pending: dict[str, Value] = {}  # by the address that is listened to
        self._waiting: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self._sent_away: asyncio.Future[None] | None = None
        self._client = Client("a WebSocket", self._post, is_ready=self._is_ready)
        self._client.is_welcome = True  # the token came with the request

    async def run(self) -> None:
        """Take what the client sends, and send what it listens to, until either end closes."""
        from websockets.exceptions import ConnectionClosed

        sending = asyncio.create_task(self._send())
        self._dispatcher.audience.clients.add(self._client)
        try:
            async for frame in self._socket:
                if isinstance(frame, str):
                    self._obey(frame)
                else:
                    self._dispatcher.take(self._client, frame)
        except ConnectionClosed:
            pass  # without a farewell; nothing is lost with it
        finally:
            self._dispatcher.audience.leave(self._client)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    @property
    def client(self) -> Client:
        """Who it is to the commands."""
        return self._client

    def changed(self, values: Mapping[str, Value]) -> None:
        """Controls stand elsewhere. values: by their own addresses."""
        for address, value in values.items():
            if address in self._listened:
                self._pending[address] = value
            if address + NORM in self._listened:
                with contextlib.suppress(NotFound):  # gone since
                    self._pending[address + NORM] = norm_of(self._session.control(address), value)
        if self._pending:
            self._wake.set()

    def opened(self, path: str) -> None:
        """Another graph: what is below a path is another.

        What is gone is listened to no longer; what is there again is told where it stands.
        """
        self._pending.clear()
        for address in tuple(self._listened):
            try:
                self._pending[address] = self._standing(address)
            except NotFound:
                self._listened.discard(address)
        self._post(json.dumps({"COMMAND": "PATH_CHANGED", "DATA": path}))

    async def _send(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._socket.send(self._waiting.popleft())
            pending, self._pending = self._pending, {}
            for address, value in pending.items():
                try:
                    frame = encode(Message(address, (value,)))
                except RequestError as error:  # a text from a file may hold what OSC cannot
                    logger.warning("%s: %s", address, error)
                    continue
                await self._socket.send(frame)
            await asyncio.sleep(REST_S)

    def _post(self, frame: str | bytes) -> None:
        """Send something that no newer one takes the place of."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.append(frame)
            self._wake.set()
        elif self._sent_away is None:
            closing = self._socket.close(1013, f"{MAX_WAITING} answers were not read")
            self._sent_away = asyncio.ensure_future(closing)

    def _is_ready(self) -> bool:
        return len(self._waiting) < MAX_WAITING // 2

    def _obey(self, text: str) -> None:
        """LISTEN and IGNORE; anything else is answered with an error, as OSC is."""
        command, path = _read(text)
        try:
            if command == "IGNORE":
                self._listened.discard(path)
                self._pending.pop(path, None)
            elif command == "LISTEN":
                self._listen(path)
            else:
                raise RequestError(
                    'a text is {"COMMAND": "LISTEN" or "IGNORE", "DATA": an address}'
                )
        except RequestError as error:
            if self._client.faults.take():
                self._client.send(commands.ERROR, path[:200], 0, code_of(error), told(error))

    def _listen(self, path: str) -> None:
        if len(self._listened) >= MAX_LISTENED:
            raise Busy(f"{MAX_LISTENED} addresses are listened to already")
        # Now as well, so that nothing falls between the answer to a GET and this.
        self._pending[path] = self._standing(path)
        self._listened.add(path)
        self._wake.set()

    def _standing(self, address: str) -> Value:
        """Where a control, or its place on a knob, stands. Raises NotFound."""
        control, by_norm = control_of(address, self._session.controls)
        value = self._session.value(control.address)
        return norm_of(control, value) if by_norm else value


def _read(text: str) -> tuple[str, str]:
    """The command and the address in a text frame, "" where there is none."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return "", ""
    if not isinstance(data, dict) or not isinstance(data.get("DATA"), str):
        return "", ""
    return str(data.get("COMMAND")), data["DATA"].replace("\0", "")
