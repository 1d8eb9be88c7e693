"""Voices that a worker keeps at hand, the longest unused given up first."""

from __future__ import annotations

import threading
from collections import OrderedDict

from stepedit_fx.speech import Voice
from stepedit_fx.store.blob import size_bytes


class Held:
    """Voices by their digest, at most `most_bytes` of them; safe for threads."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._voices: OrderedDict[str, Voice] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def put(self, voice: Voice) -> None:
        """Keep a voice; one that is larger than all the room is kept alone."""
        key = voice.digest
        with self._lock:
            if key in self._voices:
                self._voices.move_to_end(key)
                return
            self._voices[key] = voice
            self.bytes += size_bytes(voice)
            while self.bytes > self._most_bytes and len(self._voices) > 1:
                self.bytes -= size_bytes(self._voices.popitem(last=False)[1])

    def get(self, digest: str) -> Voice | None:
        """The voice, or None where it was given up or never here."""
        with self._lock:
            voice = self._voices.get(digest)
            if voice is None:
                self.misses += 1
                return None
            self.hits += 1
            self._voices.move_to_end(digest)
            return voice

    def __len__(self) -> int:
        return len(self._voices)
