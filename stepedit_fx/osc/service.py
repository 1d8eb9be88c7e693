"""The OSC face of a session: UDP and TCP on one port, OSCQuery beside them, in its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections import deque
from concurrent.futures import Future

from stepedit_fx.errors import RequestError
from stepedit_fx.osc.dispatch import Dispatcher
from stepedit_fx.osc.ports import bound
from stepedit_fx.osc.settings import OscSettings
from stepedit_fx.osc.tcp import TcpSide
from stepedit_fx.osc.udp import UdpSide
from stepedit_fx.osc.wire import Message, encode
from stepedit_fx.session import Event, Finished, Job, Session

logger = logging.getLogger(__name__)

STOP_S = 5.0
_TICK_S = 1.0


class OscService:
    """Answers OSC for a session until it is stopped. Safe to use from any thread."""

    def __init__(self, session: Session, settings: OscSettings | None = None) -> None:
        self._session = session
        self._settings = settings or OscSettings()
        self._lock = threading.Lock()  # of starting and stopping
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._events: deque[Event] = deque()
        self._is_waking = False
        self._port = 0
        self._http_port: int | None = None

    @property
    def port(self) -> int:
        """Of UDP and TCP; 0 before the start."""
        return self._port

    @property
    def http_port(self) -> int | None:
        """Where OSCQuery answers; None where it does not."""
        return self._http_port

    def start(self) -> None:
        """Listen from now on. Raises RequestError where it cannot."""
        with self._lock:
            if self._thread is not None:
                return
            started: Future[None] = Future()
            thread = threading.Thread(target=self._run, args=(started,), name="osc", daemon=True)
            thread.start()
            started.result()
            self._thread = thread

    def stop(self) -> None:
        """Listen no longer; what was asked for and is not done stays undone."""
        with self._lock:
            if self._thread is None:
                return
            if self._loop is not None and self._stopping is not None:
                with contextlib.suppress(RuntimeError):  # it ended by itself
                    self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                logger.error("the OSC service did not end within %g s", STOP_S)
            self._thread = None

    def __enter__(self) -> OscService:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # In the service's own thread

    def _run(self, started: Future[None]) -> None:
        # The selector loop, also on Windows: it lets us empty a UDP socket ourselves.
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(self._serve(started))
        except Exception as error:
            if not started.done():
                started.set_exception(error)
            else:
                logger.exception("the OSC service ended")
        finally:
            with contextlib.suppress(Exception):
                loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _serve(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._dispatcher = Dispatcher(self._session, self._settings)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._dispatcher.close)
            udp_socket, tcp_socket = bound(self._settings.host, self._settings.port)
            port = udp_socket.getsockname()[1]
            udp = UdpSide(udp_socket, self._dispatcher)
            stack.callback(udp.close)
            stack.callback(tcp_socket.close)
            tcp = TcpSide(self._dispatcher)
            await tcp.start(tcp_socket)
            stack.push_async_callback(tcp.close)
            await self._start_query(stack, port)
            self._announcements = [_Announcement(*target) for target in self._settings.notify]
            for announcement in self._announcements:
                stack.callback(announcement.close)
            stack.callback(self._session.subscribe(self._listen))
            self._port = port
            started.set_result(None)
            while not self._stopping.is_set():
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _TICK_S)
                udp.forget_idle()
                for client in self._dispatcher.audience.clients:
                    client.expire()

    async def _start_query(self, stack: contextlib.AsyncExitStack, port: int) -> None:
        if self._settings.http_port is None:
            return
        from stepedit_fx.osc.query import QueryServer

        query = QueryServer(self._session, self._settings, port)
        await query.start()
        stack.push_async_callback(query.stop)
        self._http_port = query.port

    def _listen(self, event: Event) -> None:
        """Called by any thread, under the session's lock."""
        self._events.append(event)
        if not self._is_waking and self._loop is not None:
            self._is_waking = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear
                self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._is_waking = False
        while self._events:
            event = self._events.popleft()
            try:
                self._dispatcher.hear(event)
            except Exception:  # one event that fails must not cost the others
                logger.exception("passing on %s failed", type(event).__name__)
            if isinstance(event, Finished) and event.job.state == "done":
                self._announce(event.job)

    def _announce(self, job: Job) -> None:
        for announcement in self._announcements:
            announcement.send(job.id)


class _Announcement:
    """Somebody who is sent the id of each render that is done, by UDP."""

    def __init__(self, host: str, port: int, address: str) -> None:
        try:
            family, _, _, _, to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise RequestError(f"cannot notify {host}: {error.strerror or error}") from error
        self._to = to
        self._address = address
        self._sock = socket.socket(family, socket.SOCK_DGRAM)
        self._sock.setblocking(False)

    def send(self, job_id: str) -> None:
        try:
            self._sock.sendto(encode(Message(self._address, (job_id,))), self._to)
        except OSError as error:
            logger.warning("%s was not told of render %s: %s", self._to, job_id, error)

    def close(self) -> None:
        self._sock.close()
