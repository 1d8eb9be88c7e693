"""An engine small enough to count on: every edit is a gain, and each call is noted.

In a module of its own, for engines are found by the name of theirs: every conftest.py has the same.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.engines import base
from stepedit_fx.errors import EngineError
from stepedit_fx.speech import Edit, Place, Speech, Voice


class ToySettings(base.EngineSettings):
    scale: float = 1.0
    table: Path | None = None


class ToyEngine:
    """Speech is the samples; an edit multiplies them by 1 + strength * length of the tag / 10."""

    kind: ClassVar[str] = "toy"
    Settings: ClassVar[type[base.EngineSettings]] = ToySettings
    is_heavy: ClassVar[bool] = False
    segment_s: ClassVar[float] = 30.0
    batch: ClassVar[int] = 3
    # What every engine of this kind was asked to do, in order, and what it should wait for.
    calls: ClassVar[list[str]] = []
    lock: ClassVar[threading.Lock] = threading.Lock()
    before: ClassVar[dict[str, object]] = {}

    def __init__(self, settings: ToySettings) -> None:
        self.settings = settings

    @property
    def fingerprint(self) -> str:
        return f"toy 1 {self.settings.scale}"

    @property
    def offers(self) -> Mapping[str, Sequence[str]]:
        return {
            "emotion": ("happy", "sad", "angry", "fear"),
            "style": ("whisper", "child"),
            "speed": ("faster", "slower"),
            "paralinguistic": ("", "Breathing", "Sigh"),
            "denoise": ("",),
            "vad": ("",),
        }

    def _note(self, call: str) -> None:
        with self.lock:
            self.calls.append(call)
        hook = self.before.get(call)
        if callable(hook):
            hook()

    def encode(self, takes: Sequence[Audio]) -> list[Speech]:
        self._note("encode")
        return [
            Speech(
                {"samples": a.samples * np.float32(self.settings.scale)},
                Voice("toy", {"rate": np.array([a.sample_rate])}),
                Place(a.sample_rate, a.channels, a.frames, a.start_s),
                a.transcript,
            )
            for a in takes
        ]

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        done = []
        for take, edit in zip(takes, edits, strict=True):
            self._note(edit.value or edit.kind)
            if edit.value == "fear" and edit.strength == 0.123:
                raise EngineError("too frightened", remedy="Lower strength.")
            gain = np.float32((1 + edit.strength * len(edit.value) / 10) ** edit.iterations)
            samples = take.codes["samples"] * gain
            hear = base.hearer()
            for block in np.array_split(samples, 3, axis=1) if hear is not None else ():
                hear(Audio(block, take.place.sample_rate))
                self._note("heard")
            done.append(Speech({"samples": samples}, take.voice, take.place, take.transcript))
        return done

    def clone(self, references: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        raise EngineError("the toy does not speak")

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        self._note("decode")
        return [
            Audio(t.codes["samples"], t.place.sample_rate, t.place.start_s, t.transcript)
            for t in takes
        ]
