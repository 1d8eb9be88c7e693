"""Play, stop, locate and loop, as the session passes them on."""

from __future__ import annotations

import threading

from stepedit_fx.live.deck import Deck


class Transport:
    """Plays, stops and locates for whoever asks the session for it; from any thread."""

    def __init__(self, deck: Deck, changed: threading.Event) -> None:
        self._deck = deck
        self._changed = changed

    def play(self) -> None:
        """Play from where it stands; from the start where it stands at the end."""
        program = self._deck.program
        if program is not None and self._deck.position >= program.sound.frames:
            self._deck.locate(0)
        self._deck.is_over = False
        self._deck.playing = True
        self._changed.set()

    def stop(self) -> None:
        """Stop where it stands; what rings, rings out."""
        self._deck.playing = False
        self._changed.set()

    def locate(self, position_s: float) -> None:
        """Go on from a place, seconds from the start of the sound, which bounds it."""
        if position_s == position_s:  # not NaN
            frames = min(max(position_s, 0.0), 1e6) * self._deck.sample_rate
            self._deck.locate(round(frames))
            self._changed.set()

    def set_loop(self, loop: bool) -> None:
        """Whether it begins again at the end."""
        self._deck.loop = loop
        self._changed.set()
