"""The worker's side: one engine, any number of clients, each job answered or failed in words."""

from __future__ import annotations

import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stepedit_fx import __version__
from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import Engine, asked_for, heard_by
from stepedit_fx.errors import Cancelled, EngineError, NotFound, StepEditError, StoreError
from stepedit_fx.speech import Speech, Voice
from stepedit_fx.store import Store
from stepedit_fx.store.blob import Entry
from stepedit_fx.worker.held import Held
from stepedit_fx.worker.jobs import Desk, Job
from stepedit_fx.worker.wire import (
    GREETING,
    PROTOCOL,
    Closed,
    Message,
    Value,
    audio_of,
    edit_of,
    error_data,
    frame,
    receive,
    send,
    speech_of,
    voice_of,
)

logger = logging.getLogger(__name__)

# As many as a batch of the language model has rows, twice over: those that wait are prepared.
MOST_AT_ONCE = 64
HELD_BYTES = 1 << 30
LOOK_S = 0.5
UNREAD_S = 5  # a client that reads nothing for so long (one that is suspended) is dismissed
HUNG = 75  # exit code: a job gave no sign for too long


@dataclass(frozen=True)
class Patience:
    """Seconds after which: an idle model leaves the device, an idle worker ends, a job hangs."""

    release_s: float = 600.0
    end_s: float = 3600.0
    hang_s: float = 600.0


class Server:
    """Serves one engine on one socket until it is stopped, or idle for long."""

    def __init__(
        self,
        engine: Engine,
        listener: socket.socket,
        patience: Patience,
        tidy: Callable[[], None] = lambda: None,  # done now and then
        voice_bytes: int = HELD_BYTES,
    ) -> None:
        self.engine = engine
        self.patience = patience
        self.held = Held(voice_bytes)
        self.desk = Desk(MOST_AT_ONCE)
        self.began = time.monotonic()
        self.done = 0
        self.failed = 0
        self.used = time.monotonic()
        self._listener = listener
        self._tidy = tidy
        self._clients: dict[int, _Client] = {}
        self._next = 0
        self._stop = threading.Event()
        self._released = False

    def run(self) -> None:
        """Take clients in until it ends."""
        self._listener.settimeout(LOOK_S)
        looked = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() - looked >= LOOK_S:  # also while clients come one after another
                self._look_around()
                looked = time.monotonic()
            try:
                link, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:  # too many open files, say: those who are here go on
                logger.warning("a client could not be let in: %s", error)
                self._stop.wait(LOOK_S)
                continue
            link.settimeout(None)
            # Whoever tells a client of progress does the others' work too, and must not wait long.
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", UNREAD_S, 0))
            self._next += 1
            client = _Client(self, self._next, link)
            self._clients[self._next] = client
            threading.Thread(target=client.run, name=f"client {self._next}", daemon=True).start()

    def stop(self) -> None:
        """End after the present look around; jobs that run are dropped."""
        self._stop.set()

    def left(self, client: int) -> None:
        """A client is gone, and what it asked for is not needed."""
        self._clients.pop(client, None)
        self.desk.gone(client)

    def use(self) -> None:
        """Somebody wants something."""
        self.used = time.monotonic()
        self._released = False

    def status(self) -> Message:
        """What there is to know, for people and for tests."""
        return {
            "version": __version__,
            "pid": os.getpid(),
            "engine": self.engine.kind,
            "seconds": round(time.monotonic() - self.began, 1),
            "clients": len(self._clients),
            "waiting": len(self.desk.waiting),
            "running": len(self.desk.running),
            "done": self.done,
            "failed": self.failed,
            "voices": {
                "held": len(self.held),
                "bytes": self.held.bytes,
                "hits": self.held.hits,
                "misses": self.held.misses,
            },
            **_engine_status(self.engine),
        }

    def _look_around(self) -> None:
        self._tidy()
        hanging = self.desk.hanging(self.patience.hang_s)
        if hanging is not None:
            # A thread cannot be stopped from outside, a process can: clients see it end, and ask
            # again elsewhere for what did not hang.
            logger.error("%s gave no sign for %.0f s", hanging.what, self.patience.hang_s)
            for client in list(self._clients.values()):
                client.tell_hung(hanging)
            os._exit(HUNG)
        if not self.desk.is_idle:
            self.use()
            return
        idle_s = time.monotonic() - self.used
        if idle_s > self.patience.release_s and not self._released:
            self._released = True
            release = getattr(self.engine, "release", None)
            if release is not None:
                release()
                logger.info("the model has left the device after %.0f s idle", idle_s)
        if idle_s > self.patience.end_s:
            self.stop()


def _engine_status(engine: Engine) -> Message:
    told = getattr(engine, "status", None)
    return {"model": told()} if told is not None else {}


class _Client:
    """One connection: reads in its own thread, is written to from the jobs' threads."""

    def __init__(self, server: Server, number: int, link: socket.socket) -> None:
        self._server, self._number, self._link = server, number, link
        self._writing = threading.Lock()
        self._parked: dict[int, tuple[Message, list[Entry], dict[str, Voice]]] = {}

    def run(self) -> None:
        try:
            self._link.sendall(GREETING)
            while True:
                message, entries = receive(self._link)
                try:
                    self._obey(message, entries)
                except StepEditError as error:
                    self._say(int(message.get("id", 0)), "failed", error_data(error))
        except (Closed, OSError):
            pass  # it has hung up
        except (EngineError, KeyError, TypeError, ValueError) as error:  # no message of ours
            logger.warning("a client is dismissed: %s: %s", type(error).__name__, error)
        finally:
            self._server.left(self._number)
            self._link.close()

    def tell_hung(self, job: Job) -> None:
        """Before the process ends."""
        if job.client == self._number:
            error = EngineError(
                f"{job.what} gave no sign for {self._server.patience.hang_s:.0f} s and was stopped",
                remedy="Try shorter takes; `stepedit-fx worker status` shows what runs.",
            )
            # Nobody may hold this up: the process is about to end.
            if self._writing.acquire(timeout=1):
                self._link.settimeout(1)
                self._send(frame({"id": job.number, "event": "failed", **error_data(error)}))

    def _obey(self, message: Message, entries: list[Entry]) -> None:
        number = int(message.get("id", 0))
        if message.get("do") not in ("status", "cancel", "stop"):  # looking on is not using
            self._server.use()
        match message.get("do"):
            case "hello":
                self._hello(number, message)
            case "encode" | "edit" | "clone" | "decode":
                self._ask(number, message, entries)
            case "voices":
                self._take_voices(number, [voice_of(entry) for entry in entries])
            case "voice":
                self._hand_over(number, str(message.get("digest")))
            case "keep":
                self._keep(number, message)
            case "cancel":
                self._parked.pop(number, None)
                self._server.desk.cancel(self._number, number)
            case "status":
                self._say(number, "done", self._server.status())
            case "stop":
                self._say(number, "done", {})
                self._server.stop()
            case other:
                raise EngineError(f"an unknown order: {other!r}")

    def _hello(self, number: int, message: Message) -> None:
        theirs = (message.get("protocol"), message.get("version"))
        if theirs != (PROTOCOL, __version__):
            error = EngineError(
                f"the worker is of version {__version__}, this program of {theirs[1]}",
                remedy="Stop it (`stepedit-fx worker stop`); the next run starts one that fits.",
            )
            self._say(number, "failed", error_data(error))
            return
        try:
            engine = self._server.engine
            told = {
                "fingerprint": engine.fingerprint,
                "pid": os.getpid(),
            }
        except StepEditError as error:
            self._say(number, "failed", error_data(error))
            return
        self._say(number, "done", told)

    def _ask(self, number: int, message: Message, entries: list[Entry]) -> None:
        held = self._server.held
        voices = {e.voice_digest: held.get(e.voice_digest) for e in entries if e.kind == "speech"}
        there = {digest: voice for digest, voice in voices.items() if voice is not None}
        wanted = [digest for digest, voice in voices.items() if voice is None]
        if wanted:
            # What is there stays with the job: it may be given up before the others have come.
            self._parked[number] = (message, entries, there)
            self._say(number, "wanted", {"voices": wanted})
        else:
            self._put(number, message, entries, there)

    def _take_voices(self, number: int, sent: list[Voice]) -> None:
        """Voices that a parked job waits for."""
        for voice in sent:
            self._server.held.put(voice)
        if number not in self._parked:
            return
        message, entries, there = self._parked.pop(number)
        there |= {voice.digest: voice for voice in sent}
        for digest in {e.voice_digest for e in entries if e.kind == "speech"} - there.keys():
            held = self._server.held.get(digest)  # taken again from its source meanwhile
            if held is None:
                raise NotFound(
                    "a voice is neither here nor with its program", remedy="Run it again."
                )
            there[digest] = held
        self._put(number, message, entries, there)

    def _put(
        self, number: int, message: Message, entries: list[Entry], there: dict[str, Voice]
    ) -> None:
        job = Job(
            client=self._number,
            number=number,
            what=str(message["do"]),
            work=partial(self._work, message=message, entries=entries, voices=there),
            is_urgent=bool(message.get("urgent")),
        )
        self._say(number, "queued")
        self._server.desk.put(job)

    def _work(
        self, job: Job, *, message: Message, entries: list[Entry], voices: dict[str, Voice]
    ) -> None:
        start = time.monotonic()
        self._say(job.number, "started")

        def progress(tokens: int) -> None:
            job.give_sign()
            seconds = round(time.monotonic() - start, 3)
            self._say(job.number, "progress", {"tokens": tokens, "seconds": seconds})

        def hear(block: Audio) -> None:
            job.give_sign()
            self._say(job.number, "block", {}, [block])

        try:
            if job.is_cancelled:
                raise Cancelled("the job was cancelled while it waited")
            with (
                asked_for(
                    lambda: job.is_cancelled,
                    is_urgent=job.is_urgent,
                    progress=progress,
                    asker=self._number,
                ),
                heard_by(hear if message.get("heard") else None),
            ):
                values = self._done(message, entries, voices)
            self._server.done += 1
            self._say(job.number, "done", {}, values)
        except Cancelled as error:
            self._say(job.number, "cancelled", error_data(error))
        except StepEditError as error:
            self._server.failed += 1
            self._say(job.number, "failed", error_data(error))
        except Exception as error:
            self._server.failed += 1
            logger.exception("%s failed", job.what)
            told = EngineError(
                f"the worker failed in {job.what}: {type(error).__name__}: {error}",
                remedy="Its log says more: `stepedit-fx worker status` names it.",
            )
            self._say(job.number, "failed", error_data(told))

    def _done(
        self, message: Message, entries: list[Entry], voices: dict[str, Voice]
    ) -> Sequence[Value]:
        engine = self._server.engine
        if message["do"] == "encode":
            return self._held(engine.encode([audio_of(entry) for entry in entries]))
        takes = [speech_of(entry, voices[entry.voice_digest]) for entry in entries]
        if message["do"] == "decode":
            return engine.decode(takes)
        edits = [edit_of(data) for data in message["edits"]]
        if message["do"] == "clone":
            return self._held(engine.clone(takes, edits))
        return self._held(engine.edit(takes, edits))

    def _held(self, takes: list[Speech]) -> list[Speech]:
        for take in takes:
            self._server.held.put(take.voice)
        return takes

    def _hand_over(self, number: int, digest: str) -> None:
        voice = self._server.held.get(digest)
        if voice is None:
            gone = NotFound("the worker does not hold this voice any more", remedy="Run it again.")
            self._say(number, "failed", error_data(gone))
            return
        self._say(number, "done", {}, [voice])

    def _keep(self, number: int, message: Message) -> None:
        """Write a voice into a store's folder, so that it need not travel."""
        voice = self._server.held.get(str(message.get("digest")))
        kept = False
        if voice is not None:
            try:
                store = Store(Path(str(message["folder"])), max_bytes=int(message["max_bytes"]))
                kept = store.put_voice(voice)
            except StoreError as error:
                logger.warning("a voice is not kept on disk: %s", error)
        self._say(number, "done", {"kept": kept})

    def _say(
        self,
        number: int,
        event: str,
        data: Message | None = None,
        values: Sequence[Value] = (),
    ) -> None:
        pieces = frame({"id": number, "event": event, **(data or {})}, values)
        with self._writing:
            self._send(pieces)

    def _send(self, pieces: Sequence[bytes | memoryview]) -> None:
        try:
            send(self._link, pieces)
        except Closed:
            self._server.desk.gone(self._number)  # nobody is there to hear it
            with suppress(OSError):  # half a message may be out: nothing may follow it
                self._link.shutdown(socket.SHUT_RDWR)
