"""An engine small enough to count on: every edit is a gain, and each call is noted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines import base
from stepedit_fx.errors import EngineError
from stepedit_fx.files import write_audio
from stepedit_fx.speech import Edit, Place, Speech, Voice


class ToySettings(base.EngineSettings):
    scale: float = 1.0
    table: Path | None = None


class ToyEngine:
    """Speech is the samples; an edit multiplies them by 1 + strength * length of the tag / 10."""

    kind: ClassVar[str] = "toy"
    Settings: ClassVar[type[base.EngineSettings]] = ToySettings
    is_heavy: ClassVar[bool] = False
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


@pytest.fixture(scope="session", autouse=True)
def toy_engine() -> Iterator[type[ToyEngine]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(base.ENGINES, "toy", (__name__, "ToyEngine"))
        yield ToyEngine


@pytest.fixture
def calls(toy_engine: type[ToyEngine]) -> Iterator[list[str]]:
    """What the toy was asked to do since the test began."""
    toy_engine.calls.clear()
    toy_engine.before.clear()
    yield toy_engine.calls
    toy_engine.before.clear()


@pytest.fixture(scope="session")
def tone() -> Audio:
    """A twentieth of a second of quiet tone, 8 kHz mono."""
    wave = 0.05 * np.sin(2 * np.pi * 440 * np.arange(400) / 8000)
    return Audio(wave[None].astype(np.float32), 8000)


@pytest.fixture
def take(tone: Audio, tmp_path: Path) -> Path:
    """The tone in a file, in a folder of its own."""
    path = tmp_path / "in" / "take.wav"
    write_audio(path, tone)
    return path
