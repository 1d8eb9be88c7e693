"""What makes each block: the sound at its position, through the rack. The callback itself.

Other threads give orders as attributes and one-place mailboxes, of which the newest counts; the
callback takes them at the start of a block. It waits for nothing, raises nothing and logs
nothing: a fault mutes, is counted, and told of by whoever looks after it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stepedit_fx.audio import Audio, Samples
from stepedit_fx.live.fades import Fade, rising
from stepedit_fx.live.meter import Meter
from stepedit_fx.live.rack import Rack

EDGE_S = 0.005  # at a sound's ends, so that a loop meets itself at silence
SWAP_S = 0.015
LEVEL_S = 0.01  # play and stop
MUTE_FRAMES = 64
SILENCE = 1e-4  # -80 dB: what rings on below this is not heard
QUIET_S = 1.0  # an echo may come after a pause
LONGEST_RING_S = 120.0  # a room can ring for ever


@dataclass(frozen=True)
class Sound:
    """What is played: (channels, frames), with faded ends; one channel where all are the same."""

    samples: Samples
    generation: int = 0

    @classmethod
    def of(cls, audio: Audio, generation: int = 0) -> Sound:
        """A copy in memory of our own, made where there is time for it."""
        kept = audio.samples
        if audio.channels > 1 and all(np.array_equal(kept[0], row) for row in kept[1:]):
            kept = kept[:1]
        samples = np.array(kept, np.float32, order="C")
        edge = min(round(EDGE_S * audio.sample_rate), audio.frames // 2)
        if edge:
            samples[:, :edge] *= rising(edge)
            samples[:, -edge:] *= rising(edge)[::-1]
        return cls(samples, generation)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        return int(self.samples.shape[1])


@dataclass(frozen=True)
class Program:
    """A sound and the rack that it goes through."""

    sound: Sound
    rack: Rack


class _Head:
    """Where a program is read. position: the next frame."""

    __slots__ = ("position", "program")

    def __init__(self, program: Program, position: int) -> None:
        self.program = program
        self.position = position

    def read(self, frames: int, loop: bool) -> Samples:
        """The next frames, silence after the end; (channels, frames)."""
        samples = self.program.sound.samples
        length = samples.shape[1]
        if self.position >= length and loop:
            self.position = 0
        end = self.position + frames
        if end <= length:
            found = samples[:, self.position : end]
            self.position = end
            return found
        out = np.zeros((samples.shape[0], frames), np.float32)
        at = 0
        while at < frames and length:
            if self.position >= length:
                if not loop:
                    break
                self.position = 0
            count = min(frames - at, length - self.position)
            out[:, at : at + count] = samples[:, self.position : self.position + count]
            at += count
            self.position += count
        return out

    @property
    def is_over(self) -> bool:
        return self.position >= self.program.sound.frames


class Deck:
    """Makes block after block. longest: frames of the longest it makes at once.

    playing, loop: set by anybody. hold_s: how long after its end a sound is over at the earliest.
    listener: given each finished block, in the callback; it must not fail.
    """

    def __init__(self, sample_rate: int, longest: int) -> None:
        self.sample_rate = sample_rate
        self.longest = longest
        self.meter = Meter()
        self.playing = False
        self.loop = True
        self.listener: Callable[[Samples], None] | None = None
        self.faults = 0
        self.swaps = 0
        self.last_fault: BaseException | None = None
        self.is_over = False  # played to the end, once, and rung out
        self.spent: deque[object] = deque()  # to be freed by another thread
        self._programs: deque[Program] = deque(maxlen=1)
        self._places: deque[int] = deque(maxlen=1)
        self._head: _Head | None = None
        self._old: _Head | None = None  # while it fades out
        self._swap = Fade(round(SWAP_S * sample_rate), longest)
        self._level = Fade(round(LEVEL_S * sample_rate), longest)
        self._level_up = False
        self._moving = False
        self.hold_s = 0.0
        self._ringing = 0  # frames since the sound was over
        self._quiet = 0  # frames since it was heard last
        self._recovering = False
        self._last = np.zeros((1, 1), np.float32)
        self._mute = rising(MUTE_FRAMES)[::-1]

    # From other threads

    def load(self, program: Program) -> None:
        """Play this from the next block on, where the one before it stands."""
        self._programs.append(program)

    def locate(self, position: int) -> None:
        """Go on from this frame."""
        self._places.append(position)

    @property
    def program(self) -> Program | None:
        head = self._head
        return None if head is None else head.program

    @property
    def position(self) -> int:
        """The frame that is played next; the one that was asked for, where that is to come."""
        try:
            return self._places[0]
        except IndexError:  # none is asked for, or the callback has just taken it
            head = self._head
        return 0 if head is None else head.position

    # The callback

    def __call__(self, out: Samples) -> None:
        """Fill a block, (channels, frames)."""
        self.meter.begin()
        try:
            for at in range(0, out.shape[1], self.longest):
                self._fill(out[:, at : at + self.longest])
        except Exception as error:  # noqa: BLE001 - told of by who looks after us
            self._fault(out, error)
        self._last = out[:, -1:].copy()
        if self.listener is not None:
            self.listener(out)
        self.meter.end(out.shape[1] / self.sample_rate)

    def _fill(self, out: Samples) -> None:
        self._take_orders()
        head, old = self._head, self._old
        if head is None:
            out[:] = 0.0
            return
        frames = out.shape[1]
        # While it plays, and while it fades out.
        self._moving = moving = self._level_up or not self._level.is_over
        rack, position = head.program.rack, head.position
        if old is None:
            done = rack.process(self._levelled(self._read(head, frames), frames), position, moving)
        elif old.program.rack is rack:
            dry = self._swap.across(self._read(old, frames), self._read(head, frames))
            done = rack.process(self._levelled(dry, frames), position, moving)
        else:
            done = self._through_both(old, head, frames)
        self._finish(out, done)

    def _through_both(self, old: _Head, head: _Head, frames: int) -> Samples:
        """While one rack gives way to another, each hears its own sound."""
        places = (old.position, head.position)
        gains = self._gains(frames)
        before, after = (
            each.program.rack.process(_times(self._read(each, frames), gains), place, self._moving)
            for each, place in zip((old, head), places, strict=True)
        )
        return self._swap.across(before, after)

    def _finish(self, out: Samples, done: Samples) -> None:
        """Into the device's channels, if it is sound."""
        if not np.isfinite(done).all():
            self._forget()
            raise ArithmeticError("the effects' sound ran away to infinity")
        if self._recovering:
            done = done.copy()
            count = min(MUTE_FRAMES, done.shape[1])
            done[:, :count] *= self._mute[::-1][:count]
            self._recovering = False
        if done.shape[0] in (1, out.shape[0]):
            out[:] = done
        else:
            out[:2] = done
            out[2:] = 0.0
        if self._old is not None and self._swap.is_over:
            self.spent.append(self._old)
            self._old = None
        self._watch_end(done)

    def _watch_end(self, done: Samples) -> None:
        """See whether what was played once is over, and its echoes too."""
        head = self._head
        if head is None or self.loop or not self.playing or not head.is_over:
            self.is_over = False
            self._ringing = self._quiet = 0
            return
        self._ringing += done.shape[1]
        is_quiet = float(np.abs(done).max(initial=0.0)) < SILENCE
        self._quiet = self._quiet + done.shape[1] if is_quiet else 0
        rung_s, quiet_s = self._ringing / self.sample_rate, self._quiet / self.sample_rate
        if rung_s >= LONGEST_RING_S or (quiet_s >= QUIET_S and rung_s >= self.hold_s):
            self.is_over = True

    def _take_orders(self) -> None:
        if self._old is None and self._programs:
            self._change(self._programs.popleft())
        if self._old is None and self._places and self._head is not None:
            place = min(max(self._places.popleft(), 0), self._head.program.sound.frames)
            self._leave_for(_Head(self._head.program, place))
        if self.playing != self._level_up:
            self._level_up = self.playing
            self._level.turn_back()

    def _change(self, program: Program) -> None:
        head = self._head
        if head is None:
            self._head = _Head(program, 0)
            return
        # The same place in the speech, whose pace may be another.
        length = max(head.program.sound.frames, 1)
        place = round(head.position * program.sound.frames / length)
        self.swaps += 1
        self._leave_for(_Head(program, place))

    def _leave_for(self, head: _Head) -> None:
        self._old, self._head = self._head, head
        self._swap.begin()

    def _read(self, head: _Head, frames: int) -> Samples:
        if not self._moving:
            return np.zeros((head.program.sound.channels, frames), np.float32)
        return head.read(frames, self.loop)

    def _levelled(self, dry: Samples, frames: int) -> Samples:
        return _times(dry, self._gains(frames))

    def _gains(self, frames: int) -> Samples | None:
        """What play and stop do to the level; None while that is nothing."""
        if self._level.is_over:
            return None
        return self._level.up(frames) if self._level_up else self._level.down(frames)

    def _forget(self) -> None:
        for head in (self._head, self._old):
            if head is not None:
                head.program.rack.reset()

    def _fault(self, out: Samples, error: BaseException) -> None:
        """Silence, from where the sound stood."""
        count = min(MUTE_FRAMES, out.shape[1])
        out[:] = 0.0
        if self._last.shape[0] == out.shape[0]:
            out[:, :count] = self._last * self._mute[:count]
        self.faults += 1
        self.last_fault = error.with_traceback(None)
        self._recovering = True


def _times(samples: Samples, gains: Samples | None) -> Samples:
    return samples if gains is None else samples * gains
