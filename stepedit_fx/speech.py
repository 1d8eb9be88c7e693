"""Speech as it flows between edits: codes, the voice they are spoken with, and their words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Word:
    """One word with the seconds at which it starts and ends in its audio."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Transcript:
    """What is said: the text, its language (ISO 639-1, empty if unknown), word times if known."""

    text: str = ""
    language: str = ""
    words: tuple[Word, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Edit:
    """One change to speech.

    kind, value: a kind of `stepedit_fx.tags` and one of its tags ("" where it has none).
    strength: 0 (nothing) to 1 (as the tag says). iterations: how many times over.
    text: the wanted words, for edits that take them. seed: of every random choice made.
    strengths, values: the two over time, as (second of the source, what holds there), in order;
    empty: the one above holds throughout. A strength moves straight from point to point and is
    held before the first and after the last; a value holds from its point on, the first from the
    start.
    """

    kind: str
    value: str = ""
    strength: float = 1.0
    iterations: int = 1
    text: str = ""
    seed: int = 0
    strengths: tuple[tuple[float, float], ...] = ()
    values: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where the source stood, so that the result can be put back.

    loudness_lufs: the source's (BS.1770), which the result is brought to; None: unknown, or an
    edit about loudness has been made. true_peak: the source's, full scale 1.0; 0: unknown.
    is_locked: whether every moment is wanted back where the source had it.
    """

    sample_rate: int
    channels: int
    frames: int
    start_s: float = 0.0
    loudness_lufs: float | None = None
    true_peak: float = 0.0
    is_locked: bool = False


def read_only(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """A mapping nobody can change, of arrays nobody can write to."""
    frozen: dict[str, Array] = {}
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if array is arrays[name] and array.flags.writeable:
            array = array.copy()
        array.setflags(write=False)
        frozen[name] = array
    return MappingProxyType(frozen)


@dataclass(frozen=True, eq=False)
class Voice:
    """What an engine speaks codes with, taken from the source once and pinned.

    engine: kind of the engine that took it. arrays: the engine's own, read-only.
    """

    engine: str
    arrays: Mapping[str, Array]

    def __post_init__(self) -> None:
        object.__setattr__(self, "arrays", read_only(self.arrays))

    @property
    def is_here(self) -> bool:
        """Whether the arrays are in this process; those a worker holds come when looked at."""
        return True

    def keep_in(self, folder: Path, max_bytes: int) -> bool:
        """Have whoever holds a voice that is not here write it into a store; False if nobody."""
        return False

    @cached_property
    def digest(self) -> str:
        """sha256 of the engine's kind and every array: a voice is stored once under it."""
        hasher = hashlib.sha256(self.engine.encode())
        for name, array in self.arrays.items():
            hasher.update(f"\0{name} {array.dtype.str} {array.shape}\0".encode())
            hasher.update(array.data)
        return hasher.hexdigest()


@dataclass(frozen=True, eq=False)
class Speech:
    """What flows between edit nodes.

    codes: the engine's own arrays, read-only; an edit changes these alone.
    voice: pinned, so that timbre does not drift from edit to edit.
    """

    codes: Mapping[str, Array]
    voice: Voice
    place: Place
    transcript: Transcript = field(default_factory=Transcript)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", read_only(self.codes))
