"""Blocks of samples on their way: cut to equal lengths, and worked on in windows that overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from stepedit_fx.audio import Samples

AROUND_S = 10.0  # what a window hears before and after its own part: longer than most reverbs ring
FADE_S = 0.03  # of the cross-fade from window to window


class Cut:
    """A stream of blocks, handed out in the lengths that are asked for."""

    def __init__(self, samples: Iterable[Samples]) -> None:
        self._stream = iter(samples)
        self._held: Samples | None = None

    def next(self, frames: int) -> Samples:
        """The next frames. Takes no more blocks than it needs, and there must be as many."""
        held = [next(self._stream) if self._held is None else self._held]
        there = held[0].shape[1]
        while there < frames:
            held.append(next(self._stream))
            there += held[-1].shape[1]
        joined = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
        self._held = joined[:, frames:]
        return joined[:, :frames]


def of_equal_length(samples: Iterable[Samples], length: int, frames: int) -> Iterator[Samples]:
    """The first `frames` of a stream, in blocks of one length; the last may be shorter."""
    source = Cut(samples)
    for first in range(0, frames, length):
        yield source.next(min(length, frames - first))


def joined_windows(
    work: Callable[[Samples], Samples], samples: Iterable[Samples], window: int, rate: int
) -> Iterator[Samples]:
    """Samples through something that must hear all at once, a window at a time, joined.

    work: gives as many frames as it gets. window: frames. A sound that is no longer than a window
    goes through whole.
    """
    around, fade = round(AROUND_S * rate), round(FADE_S * rate)
    stream = iter(samples)
    held = next(stream, None)
    before = 0  # frames of `held` that stand before the window's own part
    tail: Samples | None = None  # what the window before made of this one's first frames
    while held is not None:
        parts, ended = [held], False
        there = held.shape[1]
        while there < before + window + around and not ended:
            block = next(stream, None)
            ended = block is None
            if block is not None:
                parts.append(block)
                there += block.shape[1]
        held = np.concatenate(parts, axis=1)
        is_last = ended and there <= before + window + around
        end = there if is_last else before + window
        done = work(held[:, : min(there, end + around)])
        out = done[:, before:end].copy()
        if tail is not None:
            overlap = min(fade, out.shape[1], tail.shape[1])
            rise = np.linspace(0.0, 1.0, overlap, dtype=np.float32)
            old = tail[:, :overlap]
            out[:, :overlap] = old + rise * (out[:, :overlap] - old)
        yield out
        if is_last:
            return
        tail = done[:, end : end + fade]
        held, before = held[:, max(end - around, 0) :], min(end, around)
