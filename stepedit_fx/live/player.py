"""A session's sound: played, kept up to date, started and stopped, recorded."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stepedit_fx.effects.files import check_files
from stepedit_fx.errors import EffectError, RenderError, RequestError, StepEditError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.plan import is_same_file
from stepedit_fx.live.deck import LEVEL_S, Deck, Program, Sound
from stepedit_fx.live.devices import Device
from stepedit_fx.live.rack import Rack
from stepedit_fx.live.recording import Recorder
from stepedit_fx.live.split import Split, split
from stepedit_fx.live.transport import Transport
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.session import (
    Changed,
    Event,
    Heard,
    Opened,
    Session,
    TransportState,
    Trouble,
)
from stepedit_fx.session.monitor import Monitor

logger = logging.getLogger(__name__)

TOLD_EVERY_S = 0.1
STOP_S = 2.0
MAX_CHANNELS = 2


@dataclass(frozen=True)
class Counts:
    """What went wrong so far. late: blocks that we took too long for. preempted: blocks that the
    machine kept from being made in time. device: what the device says was lost or late. faults:
    blocks muted because something failed.
    """

    late: int
    preempted: int
    device: int
    faults: int


@dataclass(frozen=True)
class _Open:
    """What is open: the graph as its file has it, how it is split, which of all opened it is."""

    written: Graph
    split: Split
    serial: int

    def nodes(self, graph: Graph) -> dict[str, Effects]:
        """The live nodes, with the values of a graph."""
        found = {key: graph.nodes[key].node for key in self.split.live}
        return {key: node for key, node in found.items() if isinstance(node, Effects)}


class Player:
    """Plays a session on a device: edits rendered behind, the last effects live.

    output: which of the graph's, None for the first. loop: begin again at the end. record: a wav
    file for what is heard. playing: whether it begins at once. `transport` is also the session's
    while this runs; `sounding` is set when there is sound to play, `ended` when it was played
    once and has rung out. Safe to use from any thread.
    """

    def __init__(
        self,
        session: Session,
        device: Device,
        *,
        output: str | None = None,
        loop: bool = True,
        record: Path | None = None,
        playing: bool = True,
    ) -> None:
        self.session = session
        self.device = device
        self.sounding = threading.Event()
        self.ended = threading.Event()
        self._tick = threading.Event()
        self.deck = Deck(device.sample_rate, device.block_frames)
        self.deck.loop = loop
        self.transport = Transport(self.deck, self._tick)
        self.recorder: Recorder | None = None
        self._output = output
        self._record = record
        self._begins_playing = playing
        self._open: _Open | None = None
        self._addresses: frozenset[str] = frozenset()  # of the live nodes' controls
        self._rack: Rack | None = None  # the one that knobs are turned on
        self._monitor: Monitor | None = None
        self._heard: deque[tuple[int, Heard]] = deque(maxlen=1)
        self._missed: tuple[int, Heard] | None = None  # a sound without a rack, so far
        self._wake = threading.Event()
        self._reopen = False
        self._stiff_turned = False
        self._running = False
        self._threads: list[threading.Thread] = []
        self._faults_told = 0

    # Service

    def start(self) -> None:
        """Begin to render and play.

        Raises NotFound and RequestError for an output, a recording or a device that cannot be
        used, WriteError for the record file.
        """
        if self._running:
            return
        self._running = True
        self._unsubscribe = self.session.subscribe(self._listen)
        try:
            self._take_up()
            if self._record is not None:
                self._check_record(self._record)
                self.recorder = Recorder(
                    self._record, self.device.sample_rate, self.device.channels, self._trouble
                )
                self.deck.listener = self.recorder.write
            for name, work in (("player", self._work), ("transport", self._look_after)):
                thread = threading.Thread(target=work, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
            self.deck.playing = self._begins_playing
            self.device.start(self.deck)
        except BaseException:
            self.stop()
            raise
        self.session.transport = self.transport

    def _check_record(self, path: Path) -> None:
        """That the recording goes over no file that is played. Raises RequestError."""
        graph, source = self.session.graph, self.session.source
        folder = self.session.graph_source.folder
        read = [file for spec in graph.nodes.values() for file in spec.node.reads(folder)]
        for file in [*read, source] if source else read:
            if is_same_file(path, file):
                raise RequestError(
                    f"the recording '{path}' would go over the input '{file}'",
                    remedy="Record under another name.",
                )

    def stop(self) -> None:
        """Fade out, let go of the device, finish the recording. Twice does nothing."""
        if not self._running:
            return
        self._running = False
        if self.session.transport is self.transport:
            self.session.transport = None
        self._unsubscribe()
        if self.deck.playing:
            self.deck.playing = False
            time.sleep(LEVEL_S + 3 * self.device.block_frames / self.device.sample_rate)
        self.device.stop()
        if self._monitor is not None:
            self._monitor.close()
        self._wake.set()
        self._tick.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(STOP_S)
        self._threads.clear()
        if self.recorder is not None:
            self.deck.listener = None
            self.recorder.stop()
        self.deck.meter.close()

    def __enter__(self) -> Player:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def counts(self) -> Counts:
        """What went wrong so far."""
        meter = self.deck.meter
        return Counts(meter.late, meter.preempted, self.device.xruns, self.deck.faults)

    @property
    def state(self) -> TransportState:
        """What is played, and where; seconds from the start of the sound."""
        deck, program = self.deck, self.deck.program
        rate = self.device.sample_rate
        length_s = 0.0 if program is None else program.sound.frames / rate
        counts = self.counts
        # A device counts the blocks that we were late with too, where it counts at all.
        xruns = max(counts.late, counts.device)
        position_s = min(deck.position / rate, length_s)
        return TransportState(deck.playing, position_s, length_s, deck.loop, xruns)

    @property
    def live_nodes(self) -> tuple[str, ...]:
        """The ids of the nodes that run while it plays."""
        return self._open.split.live if self._open is not None else ()

    @property
    def rendered_node(self) -> str:
        """The id of the node that is rendered behind."""
        return self._open.split.above if self._open is not None else ""

    # In whichever thread turns or renders: hand over and go

    def _listen(self, event: Event) -> None:
        if isinstance(event, Changed):
            rack, stiff = self._rack, False
            for address, value in event.values.items():
                if address in self._addresses:
                    turned = rack is not None and rack.turn(address, value, event.generation)
                    stiff = stiff or not turned
            if stiff:
                self._stiff_turned = True
                self._wake.set()
        elif isinstance(event, Opened):
            self._rack = None
            self._addresses = frozenset()
            self._reopen = True
            self._wake.set()

    def _hear(self, serial: int, heard: Heard) -> None:
        self._heard.append((serial, heard))
        self._wake.set()

    def _trouble(self, error: StepEditError) -> None:
        self.session.tell(Trouble(error))

    # In the player's own thread: what takes time

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if not self._running:
                return
            try:
                self._catch_up()
            except StepEditError as error:
                self._trouble(error)
            except Exception as error:  # the sound goes on as it was
                logger.exception("the player failed")
                self._trouble(RenderError(f"{type(error).__name__}: {error}"))

    def _catch_up(self) -> None:
        if self._reopen:
            self._reopen = False
            self._take_up()
        if self._heard:
            serial, heard = self._heard.popleft()
            if self._open is not None and serial == self._open.serial:
                self._load(self._open, heard)
        if self._stiff_turned:
            self._stiff_turned = False
            self._follow()

    def _follow(self) -> None:
        """Do what is to be done for values that cannot glide."""
        opened, rack, missed = self._open, self._rack, self._missed
        if opened is None or self._reopen:
            return
        if rack is not None:
            rack.follow(opened.nodes(self.session.graph))
        elif missed is not None and missed[0] == opened.serial:
            self._load(opened, missed[1])  # with the values of now it may be built

    def _take_up(self) -> None:
        """The graph that is open now; what plays goes on until the new one is rendered."""
        written = self.session.graph_source.graph()
        # Another graph need not have the output that was asked for.
        is_first = self._open is None
        output = self._output if is_first or self._output in written.nodes else None
        serial = 1 if self._open is None else self._open.serial + 1
        found = split(written, output)
        opened = _Open(written, found, serial)
        self._open = opened
        self._rack = None
        controls = self.session.controls
        self._addresses = frozenset(a for a, c in controls.items() if c.node in found.live)
        logger.info("live: %s; rendered: %s (%s)", ", ".join(found.live), found.above, found.why)
        if self._monitor is not None:
            self._monitor.close()
        self._monitor = self.session.monitor(
            found.above,
            sample_rate=self.device.sample_rate,
            channels=min(self.device.channels, MAX_CHANNELS),
            heard=partial(self._hear, serial),
        )

    def _load(self, opened: _Open, heard: Heard) -> None:
        self._missed = (opened.serial, heard)
        sound = Sound.of(heard.audio, heard.generation)
        rack = self._rack
        if rack is None or rack.room.channels != sound.channels:
            rack = self._built(opened, sound)
            if rack is None:
                return
        rack.cover(sound.frames)
        self._missed = None
        self.deck.load(Program(sound, rack))
        self.sounding.set()
        self._tick.set()

    def _built(self, opened: _Open, sound: Sound) -> Rack | None:
        """A rack at the values of now, which follows them from here; None if it is out of date."""
        graph, _, _ = self.session.snapshot()
        if self._reopen:
            return None
        nodes, written = opened.nodes(graph), opened.nodes(opened.written)
        _check_files(nodes, opened.written.folder)
        rack = Rack(
            nodes,
            written,
            self.session.controls.initial,
            sample_rate=self.device.sample_rate,
            channels=sound.channels,
            longest=self.deck.longest,
            folder=opened.written.folder,
        )
        rack.cover(sound.frames)
        self.deck.hold_s = sum(node.tail_s for node in nodes.values())
        self._rack = rack  # turned by who turns, from here on
        _, values, generation = self.session.snapshot()
        if self._reopen:
            return None
        for address in rack.knobs:
            rack.turn(address, values[address], generation)
        self._stiff_turned = True  # as may be
        self._wake.set()
        return rack

    # In the thread that looks after the callback

    def _look_after(self) -> None:
        told: TransportState | None = None
        while self._running:
            self._tick.wait(TOLD_EVERY_S)
            self._tick.clear()
            self._free()
            self._tell_faults()
            if self.deck.is_over and self.deck.playing and not self.deck.loop:
                self.deck.playing = False
                self.ended.set()
            elif self.deck.playing:
                self.ended.clear()
            state = self.state
            if state != told:
                told = state
                self.session.tell(state)
            time.sleep(TOLD_EVERY_S / 4)  # at most so often, however often it is turned

    def _free(self) -> None:
        """Let go of what the callback is done with, here and not there."""
        program = self.deck.program
        piles = [self.deck.spent] + ([program.rack.spent] if program is not None else [])
        for pile in piles:
            while pile:
                pile.popleft()

    def _tell_faults(self) -> None:
        faults = self.deck.faults
        if faults > self._faults_told:
            logger.warning(
                "%d blocks were muted: %s", faults - self._faults_told, self.deck.last_fault
            )
            self._faults_told = faults


def _check_files(nodes: Mapping[str, Effects], folder: Path) -> None:
    for key, node in nodes.items():
        problems = check_files(node.chain, folder, ())
        if problems:
            raise EffectError("\n".join(str(problem) for problem in problems), node=key)
