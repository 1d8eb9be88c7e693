"""The controls of a surface and what they turn in a session: values out, values back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stepedit_fx.errors import RequestError, StepEditError
from stepedit_fx.graph.controls import ROOT, Controls
from stepedit_fx.midi.binding import Bound, as_number
from stepedit_fx.midi.decode import Decoder, Moved
from stepedit_fx.midi.feedback import messages
from stepedit_fx.midi.maps import MidiMap, entry_problems
from stepedit_fx.session import Request, Session, Transport

logger = logging.getLogger(__name__)

TOUCH_S = 0.3  # a motor fader is left alone this long after it was moved by hand
FEEDBACK_S = 0.01  # feedback goes out at most this often; the newest value wins
SETTLE_S = 0.1  # a connection is heard through from JACK's next period or two on
GLIDE_STEP_S = 0.005
_NEVER_S = float("inf")
_COARSE = ("cc", "channel_pressure", "poly_pressure")  # 7 bits: steps that can be heard

Later = Callable[[Callable[[], None]], None]


@dataclass
class _Glide:
    """A parameter on its way. first, last: positions."""

    first: float
    last: float
    start_s: float
    at: float
    due_s: float = 0.0

    def place(self, now_s: float, length_s: float) -> float:
        self.due_s = now_s + GLIDE_STEP_S
        share = min((self.due_s - self.start_s) / length_s, 1.0)
        self.at = self.first + (self.last - self.first) * share
        return self.at


class _Strip:
    """One mapping on the desk, with what time does to it."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound
        self.glide: _Glide | None = None
        self.touched_s = -_NEVER_S
        self.sent: list[Any] | None = None
        self.warned = ""
        entry, control = bound.entry, bound.control
        is_coarse = entry.source.type in _COARSE and bound.mode == "absolute"
        is_smooth = control is not None and control.is_smooth
        self.glide_s = entry.smooth_ms / 1e3 if is_coarse and is_smooth else 0.0
        # A fader knows where it was put; a button's light and an encoder's ring do not.
        self.stands = bound.mode == "absolute" and entry.source.type != "cc_relative"

    @property
    def held_until_s(self) -> float:
        """Until when a hand may be on it."""
        return self.touched_s + TOUCH_S if self.stands else 0.0


class Desk:
    """Every mapping of a map at work on a session. Not safe for several threads at once,
    except `cause`.
    """

    def __init__(self, session: Session, origin: str) -> None:
        self.session = session
        self.origin = origin
        self.decoder = Decoder()
        self._strips: list[_Strip] = []
        self._changed: list[_Strip] = []  # to be sent feedback, each once
        self._send_at_s = 0.0
        self._acting = threading.local()

    def bind(self, map: MidiMap, controls: Controls) -> None:
        """Take a map's mappings, without those that do not fit the graph."""
        self._strips = [
            _Strip(Bound(entry, controls.by_address.get(entry.target)))
            for entry in map.entries
            if not entry_problems(entry, controls)
        ]
        self.forget_hardware(0.0)

    def forget_hardware(self, now_s: float) -> None:
        """Another device, or another graph: every control is to be told where it stands.

        A device that was plugged in at now_s is given time to listen.
        """
        self._send_at_s = now_s + SETTLE_S
        for strip in self._strips:
            strip.sent = None
        self._changed = list(self._strips)

    # In

    def act(self, move: Moved, now_s: float, later: Later) -> None:
        """Let a movement turn what it turns. later: takes what may have to wait for a disk."""
        for strip in self._strips:
            if strip.bound.hears(move):
                try:
                    self._act(strip, move, now_s, later)
                except StepEditError as error:
                    self._warn(strip, error)

    def _warn(self, strip: _Strip, error: StepEditError) -> None:
        """Say it once: a fader that is moved says it a hundred times a second."""
        if strip.warned != str(error):
            strip.warned = str(error)
            logger.warning("MIDI: %s: %s", strip.bound.entry.source, error)

    def _act(self, strip: _Strip, move: Moved, now_s: float, later: Later) -> None:
        bound = strip.bound
        strip.touched_s, strip.sent = now_s, None
        if bound.control is None:
            if bound.entry.target.endswith("/loop") and bound.number is None:
                bound.number = 0.0
            number = bound.moved(move)
            if number is not None:
                self._do(bound, number, move, later)
            return
        now = as_number(bound.control, self.session.value(bound.entry.target))
        on_its_way = strip.glide is not None and now == bound.number
        bound.seen(now)
        before = strip.glide.at if strip.glide is not None and on_its_way else bound.position
        number = bound.moved(move)
        if number is None:
            return
        strip.glide = None
        if strip.glide_s:
            strip.glide = _Glide(before, bound.position, now_s, before)
            self._step(strip, now_s)
        else:
            self._set(strip, number)

    def _set(self, strip: _Strip, number: float) -> None:
        bound = strip.bound
        address = bound.entry.target
        self._acting.strip = strip
        try:
            values = self.session.set({address: number}, origin=self.origin)
        finally:
            self._acting.strip = None
        if bound.control is not None:
            bound.number = as_number(bound.control, values[address])

    def cause(self) -> object:
        """Which mapping this thread acts for; for a listener that the change calls."""
        return getattr(self._acting, "strip", None)

    def glide(self, now_s: float) -> None:
        """Move what is on its way."""
        for strip in self._strips:
            if strip.glide is not None and now_s >= strip.glide.due_s:
                try:
                    self._step(strip, now_s)
                except StepEditError as error:
                    strip.glide = None
                    self._warn(strip, error)

    def _step(self, strip: _Strip, now_s: float) -> None:
        bound, glide = strip.bound, strip.glide
        if glide is None or bound.control is None:
            return
        now = as_number(bound.control, self.session.value(bound.entry.target))
        if now != bound.number:  # somebody else turned it on the way
            strip.glide = None
            return
        self._set(strip, bound.travel.value(glide.place(now_s, strip.glide_s)))
        if glide.at == glide.last:
            strip.glide = None

    # Actions

    def _do(self, bound: Bound, number: float, move: Moved, later: Later) -> None:
        entry, session = bound.entry, self.session
        kind, _, verb = entry.target.removeprefix(f"{ROOT}/").partition("/")
        is_new = number != bound.number or bound.mode != "absolute"
        bound.number = number
        if kind == "scene" and verb == "morph":
            first, second = entry.scenes
            session.morph(first, second, number, origin=self.origin)
        elif kind == "scene" and (is_new or move.type == "program_change"):
            name = entry.scenes[round(number) if entry.picks_scenes else 0]
            if verb == "recall":
                session.recall_scene(name, origin=self.origin)
            else:
                later(partial(self._try, bound, partial(session.store_scene, name)))
        elif kind == "render":
            later(partial(self._try, bound, partial(session.render, Request(note="MIDI"))))
        elif kind == "transport":
            if session.transport is None:
                raise RequestError(
                    f"{entry.target}: nothing plays here", remedy="`stepedit-fx live` does."
                )
            _transport(session.transport, verb, number)

    def _try(self, bound: Bound, work: Callable[[], object]) -> None:
        try:
            work()
        except StepEditError as error:
            logger.warning("MIDI: %s: %s", bound.entry.source, error)

    # Out

    def note_changes(self, addresses: Sequence[str], cause: object) -> None:
        """Somebody changed these; cause: the strip that did, or None.

        A control is not told of what it did itself, but for those that do not know it.
        """
        turned = set(addresses)
        for strip in self._strips:
            if strip.bound.entry.target not in turned or strip in self._changed:
                continue
            if strip is not cause or not strip.stands:
                self._changed.append(strip)

    def feedback(self, now_s: float) -> list[Any]:
        """The mido messages that are due, newest values only."""
        if now_s < self._send_at_s:
            return []
        out: list[Any] = []
        waiting = []
        for strip in self._changed:
            if now_s < strip.held_until_s:
                waiting.append(strip)
                continue
            told = self._told(strip)
            if told != strip.sent:
                strip.sent = told
                out.extend(told)
        self._changed = waiting
        if out:
            self._send_at_s = now_s + FEEDBACK_S
        return out

    def _told(self, strip: _Strip) -> list[Any]:
        bound = strip.bound
        entry, control = bound.entry, bound.control
        if control is None or not entry.feedback or entry.target not in self.session.controls:
            return []
        number = as_number(control, self.session.value(entry.target))
        if bound.mode == "absolute":
            position = bound.travel.position(number)
        else:
            first, last = bound.travel.first, bound.travel.last
            position = float(abs(number - last) < abs(number - first))
        if control.kind == "switch" and bound.mode == "absolute":
            position = float(position >= 0.5)
        return messages(entry.source, position, bound.channel)

    # Time

    def next_due_s(self, has_port: bool) -> float:
        """When there is something to do next, as `time.monotonic` counts; infinity: never."""
        dues = [self.decoder.next_due_s() or _NEVER_S]
        dues += [strip.glide.due_s for strip in self._strips if strip.glide is not None]
        if has_port:
            dues += [max(self._send_at_s, strip.held_until_s) for strip in self._changed]
        return min(dues)


def _transport(transport: Transport, verb: str, number: float) -> None:
    if verb == "play":
        transport.play()
    elif verb == "stop":
        transport.stop()
    elif verb == "locate":
        transport.locate(number)
    else:
        transport.set_loop(number >= 0.5)
