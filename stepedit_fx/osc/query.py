"""OSCQuery: what can be turned, and where it stands, for whoever asks over HTTP or WebSocket.

The Vidvox proposal (https://github.com/Vidvox/OSCQueryProposal): GET of an address gives JSON,
``?VALUE`` one attribute of it, ``?HOST_INFO`` what this server is and can; over a WebSocket
clients LISTEN to values, which come as binary OSC, and send all that UDP and TCP take.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from stepedit_fx.errors import NotFound, RequestError
from stepedit_fx.graph.controls import ROOT, Value
from stepedit_fx.osc.dispatch import Dispatcher
from stepedit_fx.osc.ports import holder
from stepedit_fx.osc.query_guard import Guard
from stepedit_fx.osc.query_mdns import NAME, Announcement
from stepedit_fx.osc.query_stream import Stream
from stepedit_fx.osc.query_tree import EXTENSIONS, Node, at, attributes, tree
from stepedit_fx.osc.settings import OscSettings, is_everywhere, is_loopback
from stepedit_fx.session import Changed, Event, Opened, Session

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

logger = logging.getLogger(__name__)

MAX_FRAME = 64 << 10
MAX_CLIENTS = 64  # WebSockets; an HTTP request is answered and over
MAX_CONNECTIONS = 256  # of both kinds, and of those who have not said yet what they want
OPEN_S = 5.0  # to say what is wanted
CLOSE_S = 1.0
_TICK_S = 1.0
CHANGED_PATH = f"{ROOT}/node"  # below which another graph has other addresses


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """What goes wrong with a connection is its client's affair, not an error of this program."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        super().log(logging.DEBUG, msg, *args, **kwargs)


class QueryServer:
    """HTTP and WebSocket on one port. Lives in the event loop that starts it.

    settings: host, token (needed from everyone where there is one), http_port (0: any that is
    free), mdns. osc_port: where OSC itself is taken.
    """

    def __init__(self, session: Session, settings: OscSettings, osc_port: int) -> None:
        self._session = session
        self._settings = settings
        self._osc_port = osc_port
        self._guard = Guard(settings.host, settings.token)
        self._streams: set[Stream] = set()
        self._server: Server | None = None
        self._announcement: Announcement | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._events: deque[Event] = deque()
        self._is_waking = False

    @property
    def port(self) -> int:
        """The port that is listened on; 0 while none is."""
        sockets = self._server.sockets if self._server else ()
        return int(next(iter(sockets)).getsockname()[1]) if sockets else 0

    @property
    def host(self) -> str:
        """The address it is bound to."""
        return self._settings.host

    async def start(self) -> None:
        """Listen. Raises RequestError where the port is taken, or mDNS cannot be had."""
        from websockets.asyncio.server import serve

        if not is_loopback(self.host) and not self._settings.token:
            raise RequestError(
                f"OSCQuery on {self.host} without a token would let anybody in the network in",
                remedy="Give a token, or stay on 127.0.0.1.",
            )
        wanted = self._settings.http_port or 0
        try:
            self._server = await serve(
                self._converse,
                self.host,
                wanted,
                process_request=self._answer,
                compression=None,  # frames are small, and what is small stays small
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                max_size=MAX_FRAME,
                max_queue=4,
                server_header=None,
                create_connection=_counted(MAX_CONNECTIONS),
                logger=_Quiet(logger),
            )
        except (OSError, OverflowError) as error:
            raise _cannot_listen(self.host, wanted, error) from error
        self._loop = asyncio.get_running_loop()
        self._dispatcher = Dispatcher(self._session, self._settings)
        self._expiring = self._loop.create_task(self._expire())
        self._unsubscribe = self._session.subscribe(self._hear)
        if self._settings.mdns:
            self._announcement = Announcement(self.host, self.port, self._osc_port)
            try:
                await self._announcement.start()
            except RequestError:
                await self.stop()
                raise

    async def stop(self) -> None:
        """Say goodbye to everyone and give the port back."""
        self._unsubscribe()
        announcement, self._announcement = self._announcement, None
        self._events.clear()
        if announcement is not None:
            await announcement.stop()
        server, self._server = self._server, None
        if server is not None:
            self._expiring.cancel()
            server.close()
            await server.wait_closed()
            self._dispatcher.close()

    # Changes

    def _hear(self, event: Event) -> None:
        """Called by whoever made a change, under the session's lock."""
        if not self._streams:
            return
        self._events.append(event)
        if not self._is_waking:
            self._is_waking = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(self._spread)

    def _spread(self) -> None:
        self._is_waking = False
        fresh: dict[str, Value] = {}
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Changed):
                fresh.update(event.values)
            elif isinstance(event, Opened):
                fresh.clear()
                for stream in self._streams:
                    stream.opened(CHANGED_PATH)
            try:
                self._dispatcher.hear(event)
            except Exception:  # one event that fails must not cost the others
                logger.exception("passing on %s failed", type(event).__name__)
        for stream in self._streams:
            stream.changed(fresh)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            for stream in self._streams:
                stream.client.expire()

    async def _converse(self, connection: ServerConnection) -> None:
        if len(self._streams) >= MAX_CLIENTS:
            await connection.close(1013, f"{MAX_CLIENTS} clients are here already")
            return
        stream = Stream(connection, self._session, self._dispatcher)
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    # HTTP

    def _answer(self, _connection: ServerConnection, request: Request) -> Response | None:
        """The response to a request; None for one that becomes a WebSocket."""
        path, _, query = request.path.partition("?")
        asked = [unquote(part) for part in query.split("&") if part]
        token = next((part[6:] for part in asked if part.startswith("token=")), "")
        refused = self._refused(request, token)
        if refused is not None or "Upgrade" in request.headers:
            return refused
        names = [part for part in asked if not part.startswith("token=")]
        return self._described(unquote(path), names, request.headers.get("Origin"))

    def _refused(self, request: Request, token: str) -> Response | None:
        """The response to a request that is not let in; None for one that is."""
        headers = request.headers
        origins = headers.get_all("Origin")
        origin = origins[0] if origins else None
        hosts = headers.get_all("Host")
        if len(hosts) != 1 or not self._guard.knows(hosts[0]):
            return _response(403, {"ERROR": "this is no name of this server's"})
        if len(origins) > 1 or not self._guard.trusts(origin):
            return _response(403, {"ERROR": "pages of other sites may not ask"})
        authorizations = headers.get_all("Authorization")
        if not self._guard.admits(authorizations[0] if authorizations else "", token):
            wanted = {"ERROR": "the token is wanted: Authorization: Bearer, or ?token="}
            return _response(401, wanted, origin, {"WWW-Authenticate": "Bearer"})
        # Before 16.0 websockets drops every other method by itself.
        if getattr(request, "method", "GET") != "GET":
            return _response(405, {"ERROR": "only GET"}, origin, {"Allow": "GET"})
        return None

    def _described(self, path: str, names: list[str], origin: str | None) -> Response:
        if names == ["HOST_INFO"]:
            return _response(200, self._host_info(), origin)
        try:
            node = at(self._tree(), path)
            if not names:
                return _response(200, node, origin)
            found = attributes(node, names)
        except NotFound as error:
            return _response(404, {"ERROR": str(error)}, origin)
        except RequestError as error:
            return _response(400, {"ERROR": str(error)}, origin)
        return _response(200 if found else 204, found, origin)

    def _tree(self) -> Node:
        session = self._session
        controls, values = session.controls, session.values
        while values.keys() != controls.keys():  # another graph came in between
            controls, values = session.controls, session.values
        return tree(session.name, controls, values)

    def _host_info(self) -> Node:
        info: Node = {
            "NAME": f"{NAME}: {self._session.name}",
            "EXTENSIONS": EXTENSIONS,
            "OSC_PORT": self._osc_port,
            "OSC_TRANSPORT": "UDP",
            "WS_PORT": self.port,
        }
        # Where it listens everywhere there is no one address; clients then take the one they used.
        if not is_everywhere(self.host):
            info["OSC_IP"] = info["WS_IP"] = self.host
        return info


def _counted(most: int) -> type[ServerConnection]:
    """A kind of connection of which there are only so many at once; the next is cut off."""
    from websockets.asyncio.server import ServerConnection

    there: set[ServerConnection] = set()

    class Counted(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            there.add(self)
            if len(there) > most and isinstance(transport, asyncio.WriteTransport):
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            there.discard(self)
            super().connection_lost(exc)

    return Counted


def _response(
    status: int, body: Node, origin: str | None = None, more: dict[str, str] | None = None
) -> Response:
    from http import HTTPStatus

    from websockets.datastructures import Headers
    from websockets.http11 import Response

    headers = Headers({"Connection": "close", "Cache-Control": "no-store", **(more or {})})
    if origin is not None:  # a page of this machine, or it would not have come this far
        headers["Access-Control-Allow-Origin"] = origin
    headers["Vary"] = "Origin"
    headers["X-Content-Type-Options"] = "nosniff"
    data = b"" if status == 204 else json.dumps(body, ensure_ascii=False).encode()
    if data:
        headers["Content-Type"] = "application/json; charset=utf-8"
        headers["Content-Length"] = str(len(data))
    return Response(status, HTTPStatus(status).phrase, headers, data)


def _cannot_listen(host: str, port: int, error: Exception) -> RequestError:
    cause = f"OSCQuery cannot listen on {host}:{port}"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        who = holder(port, socket.SOCK_STREAM) or "another program"
        remedy = "Name another port with --http, or leave it out with --no-http."
        return RequestError(f"{cause}: {who} has that port", remedy=remedy)
    return RequestError(f"{cause}: {error}", remedy="Name an address of this machine.")
