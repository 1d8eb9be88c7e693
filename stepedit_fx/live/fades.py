"""Fades over several blocks, without making anything anew."""

from __future__ import annotations

import numpy as np

from stepedit_fx.audio import Samples


def rising(frames: int) -> Samples:
    """Half a raised cosine, from just above 0 to just below 1, (frames,)."""
    up = 0.5 - 0.5 * np.cos(np.pi * (np.arange(frames) + 0.5) / frames)
    return up.astype(np.float32)


class Fade:
    """A gain that goes from 0 to 1 in a number of frames, and stays there. longest: of a block."""

    def __init__(self, frames: int, longest: int) -> None:
        self.frames = frames
        self._at = frames
        self._gains = np.concatenate([rising(frames), np.ones(longest, np.float32)])
        self._falling: Samples = np.float32(1.0) - self._gains

    @property
    def is_over(self) -> bool:
        return self._at >= self.frames

    def begin(self) -> None:
        self._at = 0

    def turn_back(self) -> None:
        """Begin at the gain that is reached, for a fade the other way."""
        self._at = self.frames - self._at

    def up(self, frames: int) -> Samples:
        """The next gains, (frames,); the array must not be written to."""
        return self._next(self._gains, frames)

    def down(self, frames: int) -> Samples:
        """The next gains of the fade the other way, from 1 to 0."""
        return self._next(self._falling, frames)

    def across(self, old: Samples, new: Samples) -> Samples:
        """From old to new, with equal gain: both are the same speech, which would bump at equal
        power."""
        return old + (new - old) * self.up(new.shape[1])

    def _next(self, gains: Samples, frames: int) -> Samples:
        found = gains[self._at : self._at + frames]
        self._at = min(self._at + frames, self.frames)
        return found
