"""The results used last, held in memory up to a size."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from stepedit_fx.audio import Audio
from stepedit_fx.speech import Speech, Voice
from stepedit_fx.store.blob import size_bytes


@dataclass
class _Share:
    """A voice in use: by how many held results, and its size."""

    users: int
    bytes: int


class Memory:
    """Least recently used results go first; a voice shared by many counts once.

    Not safe for several threads: whoever uses it holds a lock.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._values: OrderedDict[str, Audio | Speech] = OrderedDict()
        self._voices: dict[str, _Share] = {}

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> Audio | Speech | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: Audio | Speech) -> None:
        """Hold ``value``, unless it alone is over the limit: then the others stay."""
        self.remove(key)
        voice_bytes = size_bytes(value.voice) if isinstance(value, Speech) else 0
        if size_bytes(value) + voice_bytes > self.max_bytes:
            return
        self._values[key] = value
        self.bytes += size_bytes(value)
        if isinstance(value, Speech):
            self._hold(value.voice)
        while self.bytes > self.max_bytes:
            self.remove(next(iter(self._values)))

    def remove(self, key: str) -> None:
        value = self._values.pop(key, None)
        if value is None:
            return
        self.bytes -= size_bytes(value)
        if isinstance(value, Speech):
            self._release(value.voice)

    def clear(self) -> None:
        self._values.clear()
        self._voices.clear()
        self.bytes = 0

    def _hold(self, voice: Voice) -> None:
        share = self._voices.setdefault(voice.digest, _Share(0, size_bytes(voice)))
        self.bytes += 0 if share.users else share.bytes
        share.users += 1

    def _release(self, voice: Voice) -> None:
        share = self._voices[voice.digest]
        share.users -= 1
        if share.users == 0:
            self.bytes -= share.bytes
            del self._voices[voice.digest]
