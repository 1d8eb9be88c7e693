"""A chain of effects that runs in blocks while its knobs are turned.

Control threads turn knobs (`Rack.turn`) and have effects built anew where a value cannot glide
(`Rack.follow`); the callback alone calls `Rack.process`. Nothing here waits for another thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import CURVES, Effect, Item, Parallel, Series
from stepedit_fx.effects.curves import Curve
from stepedit_fx.effects.plugins import Plugin, built, longer
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.graph.controls import ROOT, Value
from stepedit_fx.live.fades import Fade
from stepedit_fx.live.knobs import Knob, Slot
from stepedit_fx.nodes.effects import Effects

FADE_S = 0.01  # bypass, and effects that are built anew: wet over to dry, or old to new
MIN_FRAMES = 8  # no shorter block, but for a device's own


@dataclass(frozen=True)
class Room:
    """What running effects needs to know. longest: frames of the longest block."""

    sample_rate: int
    channels: int
    longest: int
    folder: Path


class _Single:
    """One effect that sounds."""

    def __init__(self, effect: Effect, knobs: Sequence[Knob], room: Room) -> None:
        self.room = room
        self.plugin: Plugin = built(
            _clamped(effect, room.sample_rate), room.sample_rate, room.folder
        )
        self._silence = np.zeros((room.channels, max(room.longest, room.channels + 1)), np.float32)
        self._is_fresh = True
        self.slots = tuple(Slot(knob, self.plugin, 0) for knob in knobs)

    def process(self, block: Samples) -> Samples:
        return _run([self.ready(block.shape[1])], block, self.room)

    def ready(self, frames: int) -> Plugin:
        """The plugin, able to take a block of this many frames and longer ones after it.

        JUCE forgets its state when a block is longer than any since it was reset, so one as long
        as any goes first: the sound's own where it is, or else silence, by which the sweep of a
        chorus or phaser is then ahead.
        """
        if self._is_fresh:
            self._is_fresh = False
            if frames < self.room.longest:
                _run([self.plugin], self._silence, self.room)
        return self.plugin

    def reset(self) -> None:
        self.plugin.reset()
        self._is_fresh = True

    def all_slots(self) -> Iterator[Slot]:
        yield from self.slots


class _Line:
    """Spots one after another; neighbours at rest run together, which costs less."""

    def __init__(self, spots: Sequence[Spot], room: Room) -> None:
        self.spots = tuple(spots)
        self.room = room

    def process(self, block: Samples) -> Samples:
        together: list[Plugin] = []
        for spot in self.spots:
            voice = spot.voice
            if spot.is_fading or isinstance(voice, _Line | _Branches):
                block = spot.process(_run(together, block, self.room))
                together = []
            elif isinstance(voice, _Single):
                together.append(voice.ready(block.shape[1]))
        return _run(together, block, self.room)

    def reset(self) -> None:
        for spot in self.spots:
            spot.reset()

    def all_slots(self) -> Iterator[Slot]:
        for spot in self.spots:
            yield from spot.all_slots()


class _Branches:
    """Lines that hear the same sound, summed."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self.lines = tuple(lines)

    def process(self, block: Samples) -> Samples:
        total = self.lines[0].process(block)
        for line in self.lines[1:]:
            total = total + line.process(block)
        return total

    def reset(self) -> None:
        for line in self.lines:
            line.reset()

    def all_slots(self) -> Iterator[Slot]:
        for line in self.lines:
            yield from line.all_slots()


_Voice = _Single | _Line | _Branches


class Spot:
    """A place in a chain: what sounds there (None: nothing is done to the sound), and what comes.

    coming: at most one voice, in a tuple; the newest wins. spent: where old voices go, so that
    they are freed elsewhere than in the callback.
    """

    def __init__(self, voice: _Voice | None, room: Room) -> None:
        self.voice = voice
        self.coming: deque[tuple[_Voice | None]] = deque(maxlen=1)
        self._next: _Voice | None = None
        self.is_fading = False
        self._fade = Fade(round(FADE_S * room.sample_rate), room.longest)

    def begin(self, rack: Rack) -> None:
        """At a block's start: take up what came, or finish what is done."""
        if self.is_fading and self._fade.is_over:
            rack.spent.append(self.voice)
            self.voice, self._next, self.is_fading = self._next, None, False
            rack.is_changed = True
        if self.coming and not self.is_fading:
            (self._next,) = self.coming.popleft()
            self.is_fading = True
            self._fade.begin()
            rack.is_changed = True
        for voice in (self.voice, self._next):
            for spot in _spots(voice):
                spot.begin(rack)

    def process(self, block: Samples) -> Samples:
        now = block if self.voice is None else self.voice.process(block)
        if not self.is_fading:
            return now
        new = block if self._next is None else self._next.process(block)
        return self._fade.across(now, new)

    def reset(self) -> None:
        for voice in (self.voice, self._next):
            if voice is not None:
                voice.reset()

    def all_slots(self) -> Iterator[Slot]:
        for voice in (self.voice, self._next):
            if voice is not None:
                yield from voice.all_slots()


def _spots(voice: _Voice | None) -> Iterator[Spot]:
    if isinstance(voice, _Line):
        yield from voice.spots
    elif isinstance(voice, _Branches):
        for line in voice.lines:
            yield from line.spots


class Rack:
    """Effects nodes one after another, live.

    nodes: by id, in order, with the values they have now. written: the same as the graph file
    has them, with its curves; initial: what each of its controls stands at. sample_rate,
    channels: of the sound. longest: frames of the longest block. folder: what paths in the graph
    are relative to. Raises EffectError, ReadError where an effect cannot be built.
    """

    def __init__(
        self,
        nodes: Mapping[str, Effects],
        written: Mapping[str, Effects],
        initial: Mapping[str, Value],
        *,
        sample_rate: int,
        channels: int,
        longest: int,
        folder: Path,
    ) -> None:
        self.room = Room(sample_rate, channels, longest, folder)
        self.spent: deque[object] = deque()
        self.is_changed = True
        self._turning = threading.Lock()  # of control threads; the callback only reads
        self.knobs = dict(_knobs(written, nodes, initial, sample_rate))
        self._expected = 0
        self._slots: tuple[Slot, ...] = ()
        self._built: dict[str, tuple[Spot, Item]] = {}
        self._line = _Line(
            [self._spot(key, _as_item(node)) for key, node in nodes.items()], self.room
        )

    # From control threads, one at a time

    def turn(self, address: str, value: Value, generation: int) -> bool:
        """Set a knob that can glide; False where there is none at this address. Any thread.

        generation: of the value; one that is older than what the knob has is not taken.
        """
        knob = self.knobs.get(address)
        if knob is None:
            return False
        with self._turning:
            knob.set(float(value), generation)
        return True

    def cover(self, frames: int) -> None:
        """Be ready for a sound of this length."""
        for knob in self.knobs.values():
            knob.cover(frames)

    def follow(self, nodes: Mapping[str, Effects]) -> None:
        """Build anew what differs in values that cannot glide. Raises EffectError, ReadError."""
        for key, node in nodes.items():
            self._follow(key, _as_item(node))

    def _follow(self, part: str, item: Item) -> None:
        spot, before = self._built[part]
        if _stiff(before) != _stiff(item):
            voice = self._voice(part, item)
            self._built[part] = spot, item
            spot.coming.append((voice,))
        elif not item.bypass:
            for place, inner in _inside(part, item):
                self._follow(place, inner)

    def _spot(self, part: str, item: Item) -> Spot:
        spot = Spot(self._voice(part, item), self.room)
        self._built[part] = spot, item
        return spot

    def _voice(self, part: str, item: Item) -> _Voice | None:
        """What is to sound at a place; None for what is passed by."""
        if item.bypass:
            return None
        if isinstance(item, Effect):
            return _Single(item, self._knobs_of(part, item), self.room)
        if isinstance(item, Series):
            return _Line([self._spot(*found) for found in _inside(part, item)], self.room)
        assert isinstance(item, Parallel)
        return _Branches(
            [
                _Line(
                    [self._spot(*found) for found in _inside(f"{part}.{number}", branch)], self.room
                )
                for number, branch in enumerate(item.branches)
            ]
        )

    def _knobs_of(self, part: str, effect: Effect) -> list[Knob]:
        addresses = (_address(part, name) for name, _ in effect.params)
        return [self.knobs[address] for address in addresses if address in self.knobs]

    # In the callback

    def process(self, block: Samples, position: int, playing: bool) -> Samples:
        """The next block, (channels, frames) in and out; position: its place in the sound."""
        self._line_begins()
        jumped = position != self._expected
        self._expected = position + block.shape[1] if playing else position
        for slot in self._slots:
            slot.begin(position, jumped)
        frames = block.shape[1]
        if frames <= self.room.longest and not any(slot.is_moving for slot in self._slots):
            return self._line.process(block)
        out = np.empty_like(block)
        at = 0
        while at < frames:
            count = self._count(frames - at)
            here = position + at if playing else position
            for slot in self._slots:
                if slot.is_moving:
                    slot.move(here, count)
            out[:, at : at + count] = self._line.process(block[:, at : at + count])
            at += count
        return out

    def reset(self) -> None:
        """Forget all that rings on."""
        self._line.reset()

    def _line_begins(self) -> None:
        for spot in self._line.spots:
            spot.begin(self)
        if self.is_changed:
            self.is_changed = False
            self._slots = tuple(self._line.all_slots())

    def _count(self, left: int) -> int:
        """How long the next block may be."""
        count = min(
            (slot.grain_frames() for slot in self._slots if slot.is_moving),
            default=self.room.longest,
        )
        count = min(count, self.room.longest, left)
        if 0 < left - count < MIN_FRAMES:  # no crumbs: two channels need three frames at least
            return left if left <= self.room.longest else left - MIN_FRAMES
        return count


def _run(plugins: list[Plugin], block: Samples, room: Room) -> Samples:
    import pedalboard

    if not plugins:
        return block
    frames = block.shape[1]
    out: Samples = pedalboard.process(
        longer(block), room.sample_rate, plugins, room.longest, reset=False
    )
    return out if out.shape[1] == frames else out[:, :frames]


def _as_item(node: Effects) -> Series:
    return Series(node.chain.items, bypass=node.bypass)


def _inside(part: str, item: Item) -> Iterator[tuple[str, Item]]:
    """The items inside an item, with their places in addresses."""
    if isinstance(item, Series):
        for index, inner in enumerate(item.items):
            yield f"{part}.{index}", inner
    elif isinstance(item, Parallel):
        for number, branch in enumerate(item.branches):
            yield from _inside(f"{part}.{number}", branch)


def _address(part: str, name: str) -> str:
    return f"{ROOT}/node/{part}/param/{name}"


def _knobs(
    written: Mapping[str, Effects],
    nodes: Mapping[str, Effects],
    initial: Mapping[str, Value],
    sample_rate: int,
) -> Iterator[tuple[str, Knob]]:
    """The parameters that can glide, by address, at the values that the nodes have."""
    for key, node in nodes.items():
        now = dict(_effects(key, _as_item(node)))
        for part, effect in _effects(key, _as_item(written[key])):
            for (name, own), (_, value) in zip(effect.params, now[part].params, strict=True):
                param = EFFECTS[effect.name].params[name]
                if param.automatable:
                    address = _address(part, name)
                    knob = Knob(param, own, float(initial[address]), sample_rate)  # type: ignore[arg-type]
                    if not isinstance(value, CURVES):
                        knob.set(float(value))
                    yield address, knob


def _effects(part: str, item: Item) -> Iterator[tuple[str, Effect]]:
    for place, inner in _inside(part, item):
        if isinstance(inner, Effect):
            yield place, inner
        else:
            yield from _effects(place, inner)


def _stiff(item: Item) -> tuple[object, ...]:
    """What of an item cannot glide: where it changes, the item is built anew."""
    if not isinstance(item, Effect):
        return (item.bypass,)
    params = EFFECTS[item.name].params
    return (item.bypass, *((n, v) for n, v in item.params if not params[n].automatable))


def _clamped(effect: Effect, sample_rate: int) -> Effect:
    """The effect with frequencies that this rate can hold; its curves at their start."""

    def value(name: str, given: float | bool | str | Curve) -> float | bool | str:
        if isinstance(given, CURVES):
            given = float(given.at(np.zeros(1))[0])
        if EFFECTS[effect.name].params[name].below_nyquist:
            return min(float(given), 0.49 * sample_rate)
        return given

    return replace(effect, params=tuple((n, value(n, v)) for n, v in effect.params))
