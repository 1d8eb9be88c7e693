"""Edits that change over time, on an engine that edits whole clips: pieces, and what stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.step_audio.engine import StepAudioEngine
from stepedit_fx.engines.step_audio.over_time import split
from stepedit_fx.engines.step_audio.takes import Source, unpack
from stepedit_fx.engines.step_audio.vocabulary import GROUP
from stepedit_fx.errors import RequestError
from stepedit_fx.files import read_audio
from stepedit_fx.speech import Edit, Speech

RISING = Edit("emotion", "happy", strengths=((0.0, 0.0), (6.0, 1.0)))
FROM_A_WORD = Edit("emotion", "happy", strengths=((2.4, 0.0), (2.45, 1.0)))
TWO_MOODS = Edit("emotion", "happy", values=((0.0, "happy"), (2.5, "sad")))


@pytest.fixture(scope="module")
def engine(tiny_checkpoint: Path) -> StepAudioEngine:
    made = open_engine("step-audio", models=tiny_checkpoint, device="cpu", dtype="float32")
    assert isinstance(made, StepAudioEngine)
    return made


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    return read_audio(sample_clip)


@pytest.fixture(scope="module")
def take(engine: StepAudioEngine, clip: Audio) -> Speech:
    return engine.encode([clip])[0]


@pytest.mark.parametrize("edit", [RISING, FROM_A_WORD, TWO_MOODS])
def test_the_pieces_are_the_take(edit: Edit, take: Speech) -> None:
    """No syllable is lost or said twice where the take was cut."""
    cut, edits = split(take, edit)
    whole, pieces = Source.of(take.voice), Source.of(cut.voice)
    assert len(edits) == len(unpack(cut)[0]) == len(pieces.references) == 2
    joined = np.concatenate([segment.tokens for segment in unpack(cut)[0]])
    assert np.array_equal(joined, unpack(take)[0][0].tokens)
    spans = [reference.span for reference in pieces.references]
    assert spans[0][0] == whole.references[0].span[0]
    assert spans[-1][1] == whole.references[0].span[1]
    assert spans[0][1] == spans[1][0]
    for reference in pieces.references:
        groups = len(reference.tokens) // GROUP
        assert len(reference.mel) * len(whole.references[0].tokens) == (
            len(whole.references[0].mel) * groups * GROUP
        )


def test_a_cut_is_made_in_the_pause_near_it(take: Speech, clip: Audio) -> None:
    """A change in the middle of a word is made where the speaker breathes."""
    cut, _ = split(take, FROM_A_WORD)
    at = Source.of(cut.voice).references[0].span[1]
    near = clip.samples[0, at - 240 : at + 240]
    assert np.sqrt(np.mean(np.square(near))) < 0.02 * clip.peak


def test_an_edit_that_does_not_change_cuts_nothing(take: Speech) -> None:
    """The model is given as much of the take as it can have."""
    edit = Edit("emotion", "happy")
    assert split(take, edit) == (take, [edit])


def test_each_piece_has_its_own_edit(take: Speech) -> None:
    """Happy to there, sad from there; and nothing at all where strength comes to nothing."""
    assert [edit.value for edit in split(take, TWO_MOODS)[1]] == ["happy", "sad"]
    assert [edit.strength for edit in split(take, FROM_A_WORD)[1]] == [0.0, 1.0]
    rising = Edit("emotion", "sad", iterations=2, strengths=((0.0, 0.0), (4.0, 1.0)))
    assert [e.strength * e.iterations for e in split(take, rising)[1]][-1] == 2.0


def test_what_is_not_edited_is_the_source(
    engine: StepAudioEngine, take: Speech, clip: Audio
) -> None:
    """Before the word from which it is happy, every sample is the recording's own."""
    edited = engine.edit([take], [FROM_A_WORD])[0]
    at = Source.of(edited.voice).references[0].span[1]
    made = engine.decode([edited])[0]
    assert np.array_equal(made.samples[:, : at - 600], clip.samples[:, : at - 600])
    assert not np.array_equal(made.samples[:, : clip.frames], clip.samples[:, : made.frames])


def test_a_second_edit_goes_on_from_the_first(engine: StepAudioEngine, take: Speech) -> None:
    """Edits over time can be chained; pieces that were cut stay cut."""
    once = engine.edit([take], [FROM_A_WORD])[0]
    twice = engine.edit([once], [TWO_MOODS])[0]
    assert len(unpack(twice)[0]) >= 2
    assert engine.decode([twice])[0].frames > 0


def test_nothing_but_silence_of_strength_is_the_take(
    engine: StepAudioEngine, take: Speech, clip: Audio
) -> None:
    """A fader drawn down throughout leaves the recording as it was."""
    silent = Edit("emotion", "happy", strength=0.2, strengths=((0.0, 0.0), (3.0, 0.2)))
    assert np.array_equal(engine.decode(engine.edit([take], [silent]))[0].samples, clip.samples)


def test_what_cannot_follow_the_clock_is_refused(
    tiny_checkpoint: Path, engine: StepAudioEngine, take: Speech
) -> None:
    """Nobody gets a change at a time that means nothing."""
    clone = engine.clone([take], [Edit("clone", text="Something else. And more.")])[0]
    with pytest.raises(RequestError, match="a clone has none"):
        engine.edit([clone], [RISING])
    by_sound = open_engine(
        "step-audio", models=tiny_checkpoint, device="cpu", dtype="float32", chain="audio"
    )
    with pytest.raises(RequestError, match="chain to tokens"):
        by_sound.edit([take], [RISING])
