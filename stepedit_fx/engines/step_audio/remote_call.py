"""One call over HTTP, that another thread may end at once.

http.client and not a library on top of it: a call that is ended has to let go of its socket in the
middle of a read, and nothing may follow a redirect with the key.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import urlsplit

from stepedit_fx.engines.step_audio.remote_settings import RemoteModel
from stepedit_fx.errors import Busy, EngineError, RequestError, StepEditError

CONNECT_S = 5.0
TRIES = 5  # of a call that the server is too busy for
FIRST_WAIT_S = 0.5  # doubled from try to try, where the server names no time
MOST_WAIT_S = 30.0
MOST_BYTES = 1 << 22  # of a line or a body; a piece of a stream is some hundred
MOST_TOLD = 300  # characters of what a server says


class CutOff(Exception):
    """The connection ended in the middle of an answer."""


class Call:
    """What one thread waits for and another may end: a connection, or a pause between tries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._ended = threading.Event()

    @property
    def is_ended(self) -> bool:
        return self._ended.is_set()

    def end(self) -> None:
        """Hang up; the server notices and stops writing."""
        with self._lock:
            self._ended.set()
            self._shut()

    def pause(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def hold(self, link: socket.socket | None) -> None:
        """The connection that `end` is to end from here on."""
        with self._lock:
            self._socket = link
            if self._ended.is_set():
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # it may be closed already
                # Of the plain socket: that of TLS would forget its keys under a reading thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class Server:
    """The server that a graph names. Its key goes into the header of a call and nowhere else."""

    def __init__(self, settings: RemoteModel) -> None:
        self.settings = settings
        self.url = settings.base_url

    def get(self, path: str, call: Call) -> Any:
        """What a path says, as plain data. Raises as `stream`."""
        answer, connection = self._asked("GET", path, None, call)
        try:
            with _told_plainly(self, call):
                data = answer.read(MOST_BYTES)
        finally:
            _let_go(call, answer, connection)
        return self._parsed(data)

    def stream(self, path: str, body: dict[str, Any], call: Call) -> Generator[Any, None, None]:
        """The events of a stream (server-sent events), each as plain data, up to its end.

        Raises CutOff where it ends early, RequestError for what the server will not do, Busy,
        EngineError. A call that was ended ends quietly.
        """
        answer, connection = self._asked("POST", path, json.dumps(body).encode(), call)
        try:
            while not call.is_ended:
                with _told_plainly(self, call):
                    line = answer.readline(MOST_BYTES + 1)
                if not line.endswith(b"\n"):
                    if len(line) > MOST_BYTES:
                        raise self.odd("a line without end")
                    raise CutOff
                name, _, value = line.partition(b":")
                if name != b"data":
                    if name.lstrip()[:1] in {b"{", b"<"}:
                        raise self.odd("no stream of events")
                    continue  # a blank line, a comment, another field
                if value.strip() == b"[DONE]":
                    return
                yield self._parsed(value)
        finally:
            _let_go(call, answer, connection)

    def odd(self, what: str) -> EngineError:
        """The error for an answer that makes no sense."""
        return EngineError(
            f"{self.url} gives {what}",
            remedy="Is it the OpenAI-compatible interface of vLLM? The URL ends with /v1.",
        )

    def _asked(
        self, method: str, path: str, body: bytes | None, call: Call
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """The beginning of a good answer; waits where the server is too busy."""
        for number in range(TRIES):
            answer, connection = self._sent(method, path, body, call)
            if answer.status == 200:
                return answer, connection
            told = ""
            try:
                with suppress(OSError, http.client.HTTPException):
                    told = self._said(answer.read(MOST_BYTES))
            finally:
                _let_go(call, answer, connection)
            if answer.status not in {429, 503}:
                raise self._refused(answer.status, told)
            if number + 1 < TRIES and not call.is_ended:
                call.pause(_wait_s(answer.getheader("Retry-After"), number))
        raise Busy(
            f"{self.url} is too busy ({answer.status}), {TRIES} times in a row",
            remedy=f"Ask again later. It says: {told}" if told else "Ask again later.",
        )

    def _sent(
        self, method: str, path: str, body: bytes | None, call: Call
    ) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        key = self.settings.key()
        headers = {"Accept": "text/event-stream, application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Authorization"] = f"Bearer {key}"
        connection = self._connected(call)
        try:
            with _told_plainly(self, call):
                connection.request(method, urlsplit(self.url).path + path, body, headers)
                return connection.getresponse(), connection
        except BaseException:
            call.hold(None)
            connection.close()
            raise

    def _connected(self, call: Call) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if call.is_ended:
            raise CutOff
        if parts.scheme == "https":
            context = ssl.create_default_context()
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, parts.port, timeout=CONNECT_S, context=context
            )
        else:
            made = http.client.HTTPConnection(host, parts.port, timeout=CONNECT_S)
        try:
            made.connect()
        except ssl.SSLError as error:
            raise EngineError(
                f"no secure connection to {self.url}: {error.reason or error}",
                remedy="Is it http? Else this machine has to trust its certificate: "
                "$SSL_CERT_FILE names those that it trusts.",
            ) from error
        except OSError as error:
            raise EngineError(
                f"nobody answers at {self.url}: {error.strerror or error}",
                remedy="Start the server there, or put its address in the engine's lm.base_url.",
            ) from error
        made.sock.settimeout(self.settings.timeout_s)
        call.hold(made.sock)
        return made

    def _refused(self, status: int, told: str) -> StepEditError:
        says = f" It says: {told}" if told else ""
        if status in {401, 403}:
            name = self.settings.key_variable
            return RequestError(
                f"{self.url} does not let us in ({status})",
                remedy=f"Put its key in ${name}. A worker keeps what it was started with: "
                f"`stepedit-fx worker stop`.{says}",
            )
        if status == 404:
            return NotServed(
                f"{self.url} knows nothing of what was asked (404)", remedy=says.strip()
            )
        return EngineError(f"{self.url} refuses ({status})", remedy=says.strip())

    def _parsed(self, data: bytes) -> Any:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            raise self.odd("what is no JSON") from None
        if isinstance(found, dict) and (found.get("error") or found.get("object") == "error"):
            raise EngineError(f"{self.url} failed", remedy=f"It says: {_message(found)}")
        return found

    def _said(self, data: bytes) -> str:
        """What a server says of a failure, in one short line."""
        try:
            found: Any = json.loads(data)
        except (ValueError, RecursionError):
            found = data.decode("utf-8", errors="replace")
        said = _message(found)
        key = self.settings.key()
        return said.replace(key, "...") if key else said  # some say which key they do not know


class NotServed(RequestError):
    """The server has no such path or model."""


class _told_plainly:  # noqa: N801 - reads as a word after `with`
    """Turns what can happen to a connection into CutOff or an error that names the server."""

    def __init__(self, server: Server, call: Call) -> None:
        self.server, self.call = server, call

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError | http.client.HTTPException | ValueError):
            return
        if isinstance(error, TimeoutError) and not self.call.is_ended:
            silent = self.server.settings.timeout_s
            raise EngineError(
                f"{self.server.url} has said nothing for {silent:g} s",
                remedy="Is it overloaded? The engine's lm.timeout_s may be longer.",
            ) from error
        raise CutOff from error


def _let_go(
    call: Call, answer: http.client.HTTPResponse, connection: http.client.HTTPConnection
) -> None:
    call.hold(None)
    answer.close()  # where the server closes, the connection has handed its socket on to it
    connection.close()


def _message(found: Any) -> str:
    """The words in an error as vLLM and others write it."""
    if isinstance(found, dict):
        inner = found.get("error")
        found = inner.get("message") if isinstance(inner, dict) else inner or found.get("message")
    text = " ".join(str(found or "").split())
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= MOST_TOLD else shown[:MOST_TOLD] + "..."


def _wait_s(told: str | None, number: int) -> float:
    """Seconds until the next try: as the server says, by seconds or by date."""
    wait = FIRST_WAIT_S * 2**number
    if told:
        try:
            wait = float(told)
        except ValueError:
            with suppress(ValueError):
                wait = parsedate_to_datetime(told).timestamp() - time()
    return min(max(wait, 0.0), MOST_WAIT_S) if wait == wait else FIRST_WAIT_S
