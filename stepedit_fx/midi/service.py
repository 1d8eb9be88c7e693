"""MIDI in and out of a session: ports, threads, and what goes between them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.midi.decode import Moved, parsed
from stepedit_fx.midi.desk import Desk
from stepedit_fx.midi.learn import Done, Learning, keep
from stepedit_fx.midi.maps import Entry, MidiMap
from stepedit_fx.midi.ports import Ports
from stepedit_fx.session import Event, Opened, Session
from stepedit_fx.session.events import Changed

logger = logging.getLogger(__name__)

ORIGIN = "midi"
POLL_S = 1.0  # how often the ports are looked at
POLL_GONE_S = 2.0  # and while they are gone; libjack complains on stderr each time
STOP_S = 3.0


@dataclass(frozen=True)
class MidiSettings:
    """map: what turns what. port: its name, virtual or (a part of) a device's; None: the map's,
    else the first device. virtual: make a port that others connect to. backend: alsa, jack,
    coremidi or windows; None: the first that works.
    """

    map: MidiMap
    port: str | None = None
    virtual: bool = False
    backend: str | None = None

    @classmethod
    def of(
        cls,
        map: MidiMap,
        *,
        port: str | None = None,
        virtual: bool = False,
        backend: str | None = None,
    ) -> MidiSettings:
        """The map's own port, with what is given instead."""
        own = map.port
        return cls(
            map, port or own.name, virtual or (own.virtual and not port), backend or own.backend
        )


class MidiService:
    """A session's MIDI face, and its learner. Safe to use from any thread.

    Messages are acted upon as they come, in a thread of the port's. Another does what is due
    later: coarse halves, smoothing, feedback, learning, and looking after the ports.
    """

    def __init__(self, session: Session, settings: MidiSettings) -> None:
        self.session = session
        self.map = settings.map
        self._ports = Ports(
            settings.port,
            virtual=settings.virtual,
            backend=settings.backend,
            heard=self._heard,
        )
        self._lock = threading.RLock()
        self._desk = Desk(session, ORIGIN)
        self._learning: Learning | None = None
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._end: Callable[[], None] | None = None
        self._poll_at_s = 0.0

    # Start and stop

    def start(self) -> None:
        """Open the port and listen; a device that is not there is waited for.

        Raises RequestError where no MIDI system works.
        """
        if self._thread is not None:
            return
        self._bind()
        self._stopping.clear()
        self._say_opened(self._ports.open())
        self._end = self.session.subscribe(self._told)
        self.session.learner = self
        self._poll_at_s = time.monotonic() + POLL_S
        self._thread = threading.Thread(target=self._run, name="midi", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the port and end the thread; nothing where it does not run."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._end is not None:
            self._end()
        if self.session.learner is self:
            self.session.learner = None
        self._stopping.set()
        self._wake.set()
        thread.join(STOP_S)
        self._end_learning(RequestError("MIDI was stopped before a control was moved"))

    @property
    def is_connected(self) -> bool:
        """Whether a port is open."""
        return self._ports.is_open

    def learn(self, address: str, done: Done) -> None:
        """Wait for a control to be moved, and let it turn this address from then on.

        done gets the mapping in words, or why there is none, from a thread of this service's.
        """
        self._later(lambda: self._learn(address, done))

    # The port's thread

    def _heard(self, data: list[int]) -> None:
        now_s = time.monotonic()
        message = parsed(data)
        if message is None:  # half of one, from a loose cable
            return
        try:
            with self._lock:
                moves = self._desk.decoder.feed(message, now_s)
                self._act(moves, now_s)
        except Exception:  # the next message is still to be heard
            logger.exception("a MIDI message could not be acted upon: %s", message)

    def _act(self, moves: list[Moved], now_s: float) -> None:
        for move in moves:
            if self._learning is not None:
                self._learning.heard(move, now_s)
            else:
                self._desk.act(move, now_s, self._later)
        self._wake.set()

    # Whoever changed something, under the session's lock: hand over at once

    def _told(self, event: Event) -> None:
        if isinstance(event, Changed):
            cause = self._desk.cause() if event.origin == ORIGIN else None
            addresses = tuple(event.values)
            self._later(lambda: self._desk.note_changes(addresses, cause))
        elif isinstance(event, Opened):
            self._later(self._bind)

    def _later(self, work: Callable[[], None]) -> None:
        self._inbox.put(work)
        self._wake.set()

    # Our thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(max(0.0, self._next_s() - time.monotonic()))
            self._wake.clear()
            try:
                self._tick()
            except Exception:  # whatever it was, the next message is still to be heard
                logger.exception("MIDI went on after an error")
        self._ports.close()

    def _next_s(self) -> float:
        with self._lock:
            dues = [self._poll_at_s, self._desk.next_due_s(self._ports.is_open)]
            if self._learning is not None:
                dues.append(self._learning.due_s)
        return min(dues)

    def _tick(self) -> None:
        self._empty_inbox()
        now_s = time.monotonic()
        with self._lock:
            late = self._desk.decoder.due(now_s)
            if late:
                self._act(late, now_s)
            self._desk.glide(now_s)
            out = self._desk.feedback(now_s) if self._ports.is_open else []
        self._send(out)
        if self._learning is not None and now_s >= self._learning.due_s:
            self._learned(self._learning)
        if now_s >= self._poll_at_s:
            self._poll()

    def _empty_inbox(self) -> None:
        while True:
            try:
                work = self._inbox.get_nowait()
            except Empty:
                return
            work()  # without the lock: it may wait for a disk, and controls must not

    def _send(self, messages: list[Any]) -> None:
        try:
            for message in messages:
                self._ports.send(message.bytes())
        except (OSError, RuntimeError) as error:
            logger.warning("MIDI feedback could not be sent: %s", error)
            self._poll_at_s = 0.0

    # Ports

    def _poll(self) -> None:
        if self._ports.is_open and not self._ports.is_there():
            logger.warning("MIDI port %s is gone; waiting for it", self._ports.told)
            self._ports.close()
        elif not self._ports.is_open:
            try:
                if self._ports.open():
                    self._say_opened(True)
            except RequestError as error:
                logger.debug("%s", error)
        wait_s = POLL_S if self._ports.is_open else POLL_GONE_S
        self._poll_at_s = time.monotonic() + wait_s

    def _say_opened(self, is_open: bool) -> None:
        if is_open:
            logger.info("MIDI port %s is open", self._ports.told)
            with self._lock:
                self._desk.forget_hardware(time.monotonic())
        else:
            name = f"'{self._ports.name}'" if self._ports.name else "any device"
            logger.warning("MIDI: %s is not there; waiting for it", name)

    # The map

    def _bind(self) -> None:
        controls = self.session.controls
        with self._lock:
            self._desk.bind(self.map, controls)
        for problem in self.map.problems(controls):
            logger.warning("%s", problem)

    def _learn(self, address: str, done: Done) -> None:
        self._end_learning(RequestError("another control is being learned"))
        try:
            control = self.session.control(address)
            if control.kind == "text":
                raise RequestError(f"{address} is a text, which no control can turn")
        except StepEditError as error:
            _tell(done, error)
            return
        self._learning = Learning(address, done, time.monotonic())

    def _end_learning(self, error: StepEditError) -> None:
        with self._lock:
            learning, self._learning = self._learning, None
        if learning is not None:
            _tell(learning.done, error)

    def _learned(self, learning: Learning) -> None:
        with self._lock:
            self._learning = None
        address = learning.address
        try:
            source = learning.source()
            if self.map.file is None:
                told = "; the map has no file, so it is forgotten at the end"
                self.map = self.map.with_entry(Entry(source, address))
            else:
                self.map = keep(self.map.file, address, source)
                told = f", in {self.map.file}"
        except StepEditError as error:
            _tell(learning.done, error)
            return
        self._bind()
        others = [
            e.target for e in self.map.entries if e.target != address and e.source.overlaps(source)
        ]
        conflict = f". It also turns {', '.join(others)}" if others else ""
        _tell(learning.done, f"{source} turns {address}{told}{conflict}")


def _tell(done: Done, what: str | StepEditError) -> None:
    try:
        done(what)
    except Exception:  # of whoever asked
        logger.exception("what was learned could not be told")
