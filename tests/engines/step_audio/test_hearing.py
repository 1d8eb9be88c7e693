"""An edit heard while the model writes it: early, whole, in place, and the same edit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import cancelled_by, heard_by, open_engine
from stepedit_fx.engines.step_audio import hearing
from stepedit_fx.engines.step_audio.engine import StepAudioEngine
from stepedit_fx.errors import Cancelled
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit, Speech, Transcript

HAPPY = Edit("emotion", "happy", seed=3)


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> Any:
    return open_engine("step-audio", models=tiny_checkpoint, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    """Six seconds, two channels of unequal level, at a rate that is not the model's."""
    mono = read_audio(sample_clip).mono()
    stereo = np.stack([mono, 0.5 * mono])
    return Audio(stereo, 32_000, transcript=Transcript("Good morning. How are you today?"))


@pytest.fixture(scope="module")
def take(engine: StepAudioEngine, clip: Audio) -> Speech:
    return engine.encode([clip])[0]


@pytest.fixture(scope="module")
def long_take(engine: StepAudioEngine, sample_clip: Path) -> Speech:
    """36 s with pauses, which the model gets in two segments."""
    audio = read_audio(sample_clip)
    pause = np.zeros((1, audio.sample_rate // 2), np.float32)
    samples = np.concatenate([audio.samples, pause] * 6, axis=1)
    words = Transcript("One two three, four. " * 6)
    return engine.encode([Audio(samples, audio.sample_rate, transcript=words)])[0]


def joined(blocks: Sequence[Audio]) -> np.ndarray:
    return np.concatenate([block.samples for block in blocks], axis=1)


@pytest.mark.parametrize(
    "edit",
    [
        HAPPY,
        Edit("emotion", "sad", iterations=2),
        Edit("denoise"),
        Edit("vad"),
        Edit("paralinguistic", text="Good [Laughter] morning. How are you today?"),
        Edit("style", "whisper", strengths=((0.0, 0.0), (3.0, 1.0))),
        Edit("emotion", "happy", strength=0),
    ],
    ids=lambda edit: f"{edit.kind} {edit.value}",
)
def test_all_that_is_heard_is_what_decode_gives(
    engine: StepAudioEngine, take: Speech, edit: Edit
) -> None:
    """Frame for frame in its place; the sound differs by what a stream cannot know yet."""
    blocks: list[Audio] = []
    with heard_by(blocks.append):
        edited = engine.edit([take], [edit])
    unheard = engine.edit([take], [edit])
    assert np.array_equal(edited[0].codes["tokens"], unheard[0].codes["tokens"])
    if edit.strength == 0:
        assert not blocks  # nothing was made
        return
    _check(blocks, engine.decode(edited)[0])


def test_segments_are_heard_in_order_with_the_pauses_between(
    engine: StepAudioEngine, long_take: Speech
) -> None:
    """They are written side by side, and the second may well end before the first."""
    blocks: list[Audio] = []
    with heard_by(blocks.append):
        edited = engine.edit([long_take], [HAPPY])
    # A stream knows the voice by its newest six seconds only; these segments are longer.
    _check(blocks, engine.decode(edited)[0], within=0.2)


def test_a_clone_is_heard(engine: StepAudioEngine, take: Speech) -> None:
    blocks: list[Audio] = []
    with heard_by(blocks.append):
        made = engine.clone([take], [Edit("clone", text="Hello there. And then? Good night.")])
    _check(blocks, engine.decode(made)[0])


def _check(blocks: Sequence[Audio], whole: Audio, within: float = 0.05) -> None:
    heard = joined(blocks)
    assert heard.shape == whole.samples.shape
    starts = [round(block.start_s * block.sample_rate) for block in blocks]
    assert starts == [0, *np.cumsum([block.frames for block in blocks])[:-1].tolist()]
    rms = float(np.sqrt(np.mean(whole.samples**2)))
    assert float(np.sqrt(np.mean((heard - whole.samples) ** 2))) < within * rms


def test_the_first_words_are_heard_while_the_model_writes(
    engine: StepAudioEngine, take: Speech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model waits after its first second until something of it was heard: it must come."""
    spoken = threading.Event()
    written = hearing._Telling.written

    def waiting(self: Any, of: int, segment: int, ids: Sequence[int], is_all: bool) -> None:
        written(self, of, segment, ids, is_all)
        if len(ids) >= 45 and not is_all:
            assert spoken.wait(60)

    monkeypatch.setattr(hearing._Telling, "written", waiting)
    monkeypatch.setattr(hearing._Telling, "_tell", _then(hearing._Telling._tell, spoken))
    # A random model ends its turns when it likes; this seed's is long enough.
    heard: list[Audio] = []
    with heard_by(heard.append):
        edited = engine.edit([take], [HAPPY])[0]
    assert len(edited.codes["tokens"]) > 50
    assert spoken.is_set()


def _then(tell: Any, spoken: threading.Event) -> Any:
    def told(self: Any, samples: np.ndarray) -> None:
        tell(self, samples)
        if self._telling is not None and samples.shape[1]:
            spoken.set()

    return told


def test_who_fails_to_listen_stops_the_edit(engine: StepAudioEngine, take: Speech) -> None:
    """A closed pipe must end the work, with its own error, and harm nobody after it."""

    def hear(block: Audio) -> None:
        raise BrokenPipeError("gone")

    with pytest.raises(BrokenPipeError), heard_by(hear):
        engine.edit([take], [HAPPY])
    assert engine.edit([take], [HAPPY])


def test_a_cancelled_edit_is_not_heard_to_its_end(engine: StepAudioEngine, take: Speech) -> None:
    blocks: list[Audio] = []
    with pytest.raises(Cancelled), heard_by(blocks.append), cancelled_by(lambda: bool(blocks)):
        engine.edit([take], [Edit("emotion", "happy", iterations=2)])


def test_a_batch_is_not_heard(engine: StepAudioEngine, take: Speech) -> None:
    """Whose sound would it be?"""
    blocks: list[Audio] = []
    with heard_by(blocks.append):
        engine.edit([take, take], [HAPPY, HAPPY])
    assert not blocks
