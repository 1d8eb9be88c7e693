"""Effects that sound is pushed through as it comes, whose end nobody knows yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.effects.automation import is_automated
from stepedit_fx.effects.chain import Effect, Item, Parallel, Series
from stepedit_fx.effects.plugins import built, processed_on
from stepedit_fx.effects.render import check_rate
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import EffectError

# JUCE forgets its state when a block is longer than any before: the first is as long as any.
PIECE_FRAMES = 512


class Flowing:
    """A chain for one sound of unknown length; see `obstacle` for which chains can be.

    tail_s: seconds for what rings on after its end. Raises EffectError, ReadError for an impulse
    response.
    """

    def __init__(
        self, chain: Series, sample_rate: int, channels: int, folder: Path, *, tail_s: float = 0.0
    ) -> None:
        problems = check_rate(chain, sample_rate)
        if problems:
            raise EffectError("\n".join(str(problem) for problem in problems))
        self._tail = np.zeros((channels, round(tail_s * sample_rate)), np.float32)
        effects = [item for item in _items(chain) if isinstance(item, Effect)]
        self._plugins = [built(effect, sample_rate, folder) for effect in effects]
        self._names = ", ".join(effect.name for effect in effects)
        self._sample_rate = sample_rate
        self._held = np.zeros((channels, 0), np.float32)

    def push(self, samples: Samples, *, last: bool = False) -> Samples:
        """What these samples complete, (channels, frames); last: all there is, and the tail.

        Raises EffectError.
        """
        held = np.concatenate([self._held, samples, *([self._tail] if last else [])], axis=1)
        if not self._plugins:
            return held
        ready = held.shape[1] if last else held.shape[1] // PIECE_FRAMES * PIECE_FRAMES
        self._held = held[:, ready:]
        if not ready:
            return held[:, :0]
        return processed_on(
            self._plugins, held[:, :ready], self._sample_rate, self._names, PIECE_FRAMES
        )


def obstacle(chain: Series, channels: int) -> str:
    """What in a chain must hear more than comes at a time; nothing where all of it can flow."""
    for item in _items(chain):
        if isinstance(item, Parallel):
            return "Mix"
        if not isinstance(item, Effect):
            return "a plugin"
        spec = EFFECTS[item.name]
        if spec.whole or (spec.each_above and channels > spec.each_above):
            return item.name
        if is_automated([item]):
            return f"a curve of {item.name}"
    return ""


def _items(chain: Item) -> Iterator[Item]:
    """What a chain does, in order, chains within it opened."""
    if chain.bypass:
        return
    if isinstance(chain, Series):
        for item in chain.items:
            yield from _items(item)
    else:
        yield chain
