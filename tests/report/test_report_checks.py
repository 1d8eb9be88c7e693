"""What the report warns of, and what it keeps quiet about."""

from __future__ import annotations

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.report.checks import Listener, faults_of, told_of
from stepedit_fx.report.figures import change, figures_of
from stepedit_fx.speech import Transcript
from tests.conftest import REPO
from tests.peers import library


@pytest.fixture(scope="module")
def voice() -> Audio:
    """The first three seconds of the shipped clip."""
    from stepedit_fx.files import read_audio

    audio = read_audio(REPO / "examples" / "audio" / "good-morning.wav")
    return Audio(audio.samples[:, : 3 * audio.sample_rate], audio.sample_rate)


def test_what_is_as_it_should_be_is_not_warned_of(voice: Audio) -> None:
    """A warning on every take is read on none."""
    assert told_of(voice) == []
    assert faults_of(voice, voice, voice.with_samples(0.5 * voice.samples)) == []


def test_clipping_that_a_stage_brought_in(voice: Audio) -> None:
    """The stage that clips is named, not the ones after it, nor a recording that clipped before."""
    hot = voice.with_samples(np.clip(8 * voice.samples, -1, 1))
    assert any("clipped" in text for text in faults_of(voice, voice, hot))
    assert faults_of(hot, hot, hot) == []
    over = voice.with_samples(2 * voice.samples / voice.peak)
    assert any("6.0 dB over full scale" in text for text in faults_of(voice, voice, over))


@pytest.mark.parametrize("late_s", [-0.12, 0.12])
def test_a_stage_that_is_not_where_it_says_it_is(voice: Audio, late_s: float) -> None:
    """A voice that slips against its picture is noticed, by how much, and to which side."""
    moved = np.roll(voice.samples, round(late_s * voice.sample_rate), axis=1)
    (told,) = faults_of(voice, voice, voice.with_samples(moved))
    assert "120 ms" in told
    assert ("late" if late_s > 0 else "early") in told


def test_a_move_that_the_map_tells_of_is_no_drift(voice: Audio) -> None:
    """A pause that was put in on purpose moves what follows; that is no fault."""
    rate, length_s = voice.sample_rate, voice.duration_s
    silence = np.zeros((1, round(0.3 * rate)), np.float32)
    samples = np.concatenate([silence, voice.samples], axis=1)
    knots = ((0.0, 0.0), (0.0, 0.3), (length_s, length_s + 0.3))
    assert faults_of(voice, voice, Audio(samples, rate, time_map=knots)) == []
    assert faults_of(voice, voice, Audio(samples, rate)) != []


def test_words_that_vanished_are_named(voice: Audio) -> None:
    """An edit that swallowed a word must not pass because it sounds good."""
    library("pocketsphinx")
    said = Transcript("Good morning, and welcome back.", "en")
    assert Listener(60.0).vanished(said, voice, voice) == []
    cut = voice.samples.copy()
    cut[:, round(1.1 * voice.sample_rate) :] = 0
    assert "welcome" in Listener(60.0).vanished(said, voice, voice.with_samples(cut))


def test_it_listens_only_to_what_it_understands(voice: Audio) -> None:
    """No verdict on Chinese from an English ear, and an end to the work on a thousand takes."""
    assert not Listener(60.0).takes(Transcript("你好", "zh"), voice)
    assert not Listener(60.0).takes(Transcript(), voice)
    assert not Listener(1.0).takes(Transcript("good morning", "en"), voice)
    assert Listener(60.0).takes(Transcript("good morning", "en"), voice)


def test_change_grows_with_what_was_changed(voice: Audio) -> None:
    """The list sorts by it: what is as before stands at 0, and more of an edit above less."""
    before = figures_of(voice)
    softer = figures_of(voice.with_samples(0.7 * voice.samples))
    softest = figures_of(voice.with_samples(0.3 * voice.samples))
    assert change(before, before) == 0
    assert 0 < change(before, softer) < change(before, softest)
    silent = figures_of(voice.with_samples(0 * voice.samples))
    assert np.isfinite(change(before, silent))
