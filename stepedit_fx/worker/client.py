"""An engine that is somewhere else: every call is a job of the worker process.

What a worker holds stays there: a speech that comes back has its codes with it, which are small,
and knows of its voice only the digest until somebody looks into it.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from stepedit_fx import __version__, errors
from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import (
    Engine,
    EngineSettings,
    engine_class,
    hearer,
    is_cancelled,
    is_urgent,
    tell_progress,
)
from stepedit_fx.errors import Cancelled, EngineError, NotFound, StepEditError
from stepedit_fx.speech import Array, Edit, Speech, Voice
from stepedit_fx.store.blob import Entry
from stepedit_fx.worker.address import Address
from stepedit_fx.worker.starting import Starter
from stepedit_fx.worker.wire import (
    PROTOCOL,
    Closed,
    Message,
    Value,
    audio_of,
    frame,
    receive,
    send,
    speech_of,
    voice_of,
)

logger = logging.getLogger(__name__)

POLL_S = 0.05  # how often a call looks whether it is still wanted
TRIES = 2  # a job whose worker dies is given to a fresh one, once


class WorkerLost(Exception):
    """The worker ended while it was asked."""


class HeldVoice(Voice):
    """A voice that a worker holds; its arrays are fetched when somebody looks at them.

    source: what it was taken from, to take it again where its worker is gone.
    """

    def __init__(
        self, engine: str, digest: str, worker: WorkerEngine, source: Audio | None = None
    ) -> None:
        # A frozen dataclass whose field is computed here: nothing of the base is called.
        vars(self).update(engine=engine, digest=digest, _worker=worker, _source=source)

    @cached_property
    def arrays(self) -> Mapping[str, Array]:
        worker: WorkerEngine = vars(self)["_worker"]
        source: Audio | None = vars(self)["_source"]
        try:
            return worker.voice(self.digest).arrays
        except NotFound:
            if source is None:
                raise
            worker.encode([source])
            return worker.voice(self.digest).arrays

    @property
    def is_here(self) -> bool:
        """Whether its arrays have been fetched."""
        return "arrays" in vars(self)

    def keep_in(self, folder: Path, max_bytes: int) -> bool:
        """Have the worker write it into a store's folder; False where it cannot."""
        kept: bool = vars(self)["_worker"].keep(self.digest, folder, max_bytes)
        return kept


class WorkerEngine:
    """The engine of a worker process; several threads may use it at once.

    Starts a worker where none is found. Raises EngineError where it cannot be started, or is of
    another version; a call whose worker dies is asked once more of a fresh one.
    """

    is_heavy = True  # a batch has one client process: the work is done elsewhere

    def __init__(self, settings: EngineSettings, *, folder: Path | None = None) -> None:
        self.settings = settings
        self.kind = settings.kind
        self.Settings = type(settings)
        cls = engine_class(settings.kind)
        for name in ("segment_s", "batch"):
            if hasattr(cls, name):
                setattr(self, name, getattr(cls, name))
        self._folder = folder
        self._lock = threading.Lock()
        self._link: _Link | None = None
        self._fingerprint = ""  # once a worker has told

    @cached_property
    def _starter(self) -> Starter:
        """Made when first needed: a graph may be looked at where its models are not."""
        return Starter(self.settings, self._folder)

    @property
    def address(self) -> Address:
        """Where its worker is, or would be."""
        return self._starter.address

    @cached_property
    def _here(self) -> Engine:
        """The engine in this process, for what it knows without its model."""
        made: Any = engine_class(self.settings.kind)
        engine: Engine = made(self.settings)
        return engine

    @property
    def fingerprint(self) -> str:
        while not self._fingerprint:
            self._call("hello", {"protocol": PROTOCOL, "version": __version__})
        return self._fingerprint

    @property
    def offers(self) -> Mapping[str, Sequence[str]]:
        return self._here.offers

    def encode(self, takes: Sequence[Audio]) -> list[Speech]:
        """See `Engine.encode`. The voices stay with the worker."""
        entries = self._call("encode", {}, takes)[1]
        voices = [
            HeldVoice(self.kind, entry.voice_digest, self, take)
            for entry, take in zip(entries, takes, strict=True)
        ]
        return [speech_of(*pair) for pair in zip(entries, voices, strict=True)]

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """See `Engine.edit`. Only codes travel, and sound where somebody listens."""
        asked = {"edits": _data(edits), "heard": hearer() is not None}
        return self._speeches(self._call("edit", asked, takes)[1], takes)

    def clone(self, references: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """See `Engine.clone`."""
        asked = {"edits": _data(edits), "heard": hearer() is not None}
        entries = self._call("clone", asked, references)[1]
        return self._speeches(entries, references)

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        """See `Engine.decode`."""
        return [audio_of(entry) for entry in self._call("decode", {}, takes)[1]]

    def voice(self, digest: str) -> Voice:
        """A voice that the worker holds. Raises NotFound where it does not any more."""
        return voice_of(self._call("voice", {"digest": digest})[1][0])

    def keep(self, digest: str, folder: Path, max_bytes: int) -> bool:
        """Have the worker write a voice into a store's folder; False where it cannot."""
        asked = {"digest": digest, "folder": str(folder), "max_bytes": max_bytes}
        return bool(self._call("keep", asked)[0]["kept"])

    def status(self) -> Message:
        """What the worker says of itself."""
        return self._call("status", {})[0]

    def _drop(self, lost: _Link) -> None:
        """Forget a link whose worker is gone, but not one that another thread has made since."""
        lost.close()
        with self._lock:
            if self._link is lost:
                self._link = None

    def close(self) -> None:
        """Hang up; the worker lives on."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()

    def _speeches(self, entries: Sequence[Entry], known: Sequence[Speech]) -> list[Speech]:
        voices = {take.voice.digest: take.voice for take in known}
        return [
            speech_of(
                entry,
                voices.get(entry.voice_digest) or HeldVoice(self.kind, entry.voice_digest, self),
            )
            for entry in entries
        ]

    def _call(
        self, what: str, data: Message, values: Sequence[Value] = ()
    ) -> tuple[Message, list[Entry]]:
        told = _Told()
        for remaining in reversed(range(TRIES)):
            link = self._connected()
            try:
                return link.call(what, data, values, told)
            except WorkerLost as error:
                self._drop(link)
                logger.info("the worker ended in '%s': %s", what, error)
                if not remaining:
                    raise EngineError(
                        f"the worker process ended while it did '{what}', twice",
                        remedy=f"Out of memory? Its log may say: {self._starter.address.log}.",
                    ) from error
        raise AssertionError("unreachable")

    def _connected(self) -> _Link:
        with self._lock:
            if self._link is None or self._link.is_closed:
                link = _Link(self._starter.connected())
                # Its reading thread keeps a link alive: whoever drops the engine hangs up.
                weakref.finalize(self, link.close)
                self._greet(link)
                self._link = link
            return self._link

    def _greet(self, link: _Link) -> None:
        """Tell a worker who we are, and hear who it is: a later one may not be as the first was."""
        asked = {"protocol": PROTOCOL, "version": __version__}
        try:
            told = link.call("hello", asked, (), _Told())[0]
        except WorkerLost:
            return  # whoever asks next finds that out, and tries again
        except BaseException:
            link.close()
            raise
        known, self._fingerprint = self._fingerprint, str(told["fingerprint"])
        if known not in ("", self._fingerprint):
            link.close()
            self._fingerprint = known
            raise EngineError(
                "the worker was started anew and computes otherwise than the one before it",
                remedy="Start this program anew, too; was something installed meanwhile?",
            )


class _Told:
    """What has been heard of a job: a second worker's blocks go on where the first's end."""

    def __init__(self) -> None:
        self._end_s = 0.0

    def hear(self, block: Audio) -> None:
        """Hand on what is new of a block."""
        hear = hearer()
        known = max(0, round((self._end_s - block.start_s) * block.sample_rate))
        if hear is None or known >= block.frames:
            return
        start_s = block.start_s + known / block.sample_rate
        self._end_s = block.start_s + block.duration_s
        hear(Audio(block.samples[:, known:], block.sample_rate, start_s))


class _Link:
    """One connection, shared by the calling threads: a thread reads and hands replies out."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._writing = threading.Lock()
        self._calls: dict[int, queue.SimpleQueue[tuple[Message, list[Entry]] | None]] = {}
        self._next = 0
        self._ended = ""
        self._book = threading.Lock()
        threading.Thread(target=self._read, name="stepedit-fx worker link", daemon=True).start()

    @property
    def is_closed(self) -> bool:
        return bool(self._ended)

    def close(self) -> None:
        """No more replies; those who wait are told."""
        with suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def call(
        self, what: str, data: Message, values: Sequence[Value], told: _Told
    ) -> tuple[Message, list[Entry]]:
        """Ask and wait. Raises WorkerLost, Cancelled, and what the worker failed with."""
        replies: queue.SimpleQueue[tuple[Message, list[Entry]] | None] = queue.SimpleQueue()
        with self._book:
            if self._ended:
                raise WorkerLost(self._ended)
            self._next += 1
            number = self._next
            self._calls[number] = replies
        try:
            self._send({"id": number, "do": what, "urgent": is_urgent(), **data}, values)
            return self._answer(number, replies, values, told)
        finally:
            with self._book:
                self._calls.pop(number, None)

    def _answer(
        self,
        number: int,
        replies: queue.SimpleQueue[tuple[Message, list[Entry]] | None],
        values: Sequence[Value],
        told: _Told,
    ) -> tuple[Message, list[Entry]]:
        while True:
            if is_cancelled():  # the worker stops when it can; nobody here waits for that
                with suppress(WorkerLost):
                    self._send({"id": number, "do": "cancel"})
                raise Cancelled("the job was cancelled", remedy="Nothing half-made was kept.")
            try:
                reply = replies.get(timeout=POLL_S)
            except queue.Empty:
                continue
            if reply is None:
                raise WorkerLost(self._ended)
            message, entries = reply
            match message["event"]:
                case "done":
                    return message, entries
                case "failed" | "cancelled":
                    raise _error_of(message)
                case "progress":
                    tell_progress(int(message["tokens"]))
                case "block":
                    told.hear(audio_of(entries[0]))
                case "wanted":
                    wanted = set(message["voices"])
                    known = {v.voice.digest: v.voice for v in values if isinstance(v, Speech)}
                    voices = [known[digest] for digest in wanted if digest in known]
                    self._send({"id": number, "do": "voices"}, voices)
                case _:
                    pass  # queued, started

    def _send(self, message: Message, values: Sequence[Value] = ()) -> None:
        pieces = frame(message, values)  # outside the lock: a voice may have to be fetched for it
        try:
            with self._writing:
                send(self._socket, pieces)
        except Closed as error:
            raise WorkerLost(str(error)) from error

    def _read(self) -> None:
        why = "the connection was closed"
        try:
            while True:
                message, entries = receive(self._socket)
                with self._book:
                    replies = self._calls.get(int(message.get("id", 0)))
                if replies is not None:
                    replies.put((message, entries))
        except (Closed, EngineError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
            why = f"{type(error).__name__}: {error}"
        self._socket.close()
        with self._book:
            self._ended = why
            for replies in self._calls.values():
                replies.put(None)


def _data(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    return [asdict(edit) for edit in edits]


def _error_of(message: Message) -> StepEditError:
    told = message["error"]
    kind = getattr(errors, str(told["kind"]), EngineError)
    if not (isinstance(kind, type) and issubclass(kind, StepEditError)):
        kind = EngineError
    if kind is errors.GraphError:
        kind = EngineError
    made: StepEditError = kind(told["cause"], remedy=told["remedy"], node=told["node"])
    return made
