"""What the language model knows after a prompt, kept by the prompt's ids: keys and values.

The fixed system prompt is the beginning of every edit's; a whole prompt comes again where somebody
wants another take of the same edit, and only the seed differs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from stepedit_fx.engines.step_audio.lm_cache import Layer

MOST_BYTES = 512 << 20  # ten prompts of 30 s of speech at the published size in 16 bits


class PromptStates:
    """Keys and values of prompts on the model's device, the longest unused given up first.

    whole, beginnings, misses: prompts of which all was known, the shared beginning, or nothing.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._states: OrderedDict[tuple[int, ...], list[Layer]] = OrderedDict()
        self.bytes = 0
        self.whole = self.beginnings = self.misses = 0

    def longest(self, prompt: Sequence[int], beginning: int) -> tuple[int, list[Layer]]:
        """How many of a prompt's ids are known, all or its beginning, and what is known of them."""
        for count in (len(prompt), beginning):
            found = self._states.get(tuple(prompt[:count])) if count else None
            if found is not None:
                self._states.move_to_end(tuple(prompt[:count]))
                self.whole += count == len(prompt)
                self.beginnings += count < len(prompt)
                return count, found
        self.misses += 1
        return 0, []

    def put(self, prompt: Sequence[int], layers: list[Layer]) -> None:
        """Keep what is known after these ids; what is larger than all the room is not kept."""
        key, size = tuple(prompt), _bytes(layers)
        if size > self._most_bytes or key in self._states:
            return
        self._states[key] = layers
        self.bytes += size
        while self.bytes > self._most_bytes:
            self.bytes -= _bytes(self._states.popitem(last=False)[1])

    def clear(self) -> None:
        """Give all memory back."""
        self._states.clear()
        self.bytes = 0

    def status(self) -> dict[str, int]:
        """Counts and bytes, for people."""
        return {
            "held": len(self._states),
            "bytes": self.bytes,
            "whole": self.whole,
            "beginnings": self.beginnings,
            "misses": self.misses,
        }


def _bytes(layers: list[Layer]) -> int:
    return sum(t.numel() * t.element_size() for pair in layers for t in pair)
