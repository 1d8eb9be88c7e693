"""Word times by forced alignment, and what is heard at all."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.errors import RequestError
from stepedit_fx.speech import Transcript
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts import alignment, espeak, recognition
from stepedit_fx.transcripts.alignment import align
from stepedit_fx.transcripts.pronunciation import from_ipa, from_letters
from stepedit_fx.transcripts.recognition import heard, likeness, word_errors, words_lost
from stepedit_fx.transcripts.spoken import spoken_forms, spoken_words

pytest.importorskip("pocketsphinx")

TEXT = "His political stance was conservative. It was a long time ago, in a country far from here."
OTHER = "Please close the window before you leave the office tonight."


@pytest.fixture(scope="module")
def said() -> espeak.Spoken:
    pytest.importorskip("espeakng_loader")
    return espeak.speak(TEXT, "en-us")


def off_s(found: Transcript, truth: Transcript) -> np.ndarray:
    pairs = zip(found.words, truth.words, strict=True)
    return np.abs([a.start_s - b.start_s for a, b in pairs])


def test_words_are_found_where_they_are_said(said) -> None:
    """An edit from a word on must not begin in the word before."""
    found = align(Transcript(TEXT), said.samples, said.rate)
    assert [w.text for w in found.words] == split_words(TEXT)
    assert np.median(off_s(found, said.transcript)) < 0.02
    assert np.percentile(off_s(found, said.transcript), 90) < 0.06
    assert all(a.start_s < a.end_s <= b.start_s + 1e-9 for a, b in pairwise(found.words))


def test_numbers_titles_and_unknown_words_are_found_too(said, caplog) -> None:
    """A name that no dictionary has must not keep a whole take from being aligned."""
    text = "Hello there, Dr. Smith: it's 42 well-known people. I don't know Mr. Zyxwvutsky in 1984!"
    spoken = espeak.speak(text, "en-us")
    found = align(Transcript(text), spoken.samples, spoken.rate, trust=True)
    assert np.median(off_s(found, spoken.transcript)) < 0.03
    assert "zyxwvutsky" in caplog.text


def test_another_text_is_refused_with_what_was_understood(said) -> None:
    """An aligner alone would stretch any text over any sound, without a word."""
    with pytest.raises(RequestError, match=r"does not say 'Please close.*understood was 'his pol"):
        align(Transcript(OTHER), said.samples, said.rate)


@pytest.mark.parametrize("kind", ["silence", "noise", "music"])
def test_a_text_for_no_speech_is_refused(kind) -> None:
    """Times for words that nobody says are worse than none."""
    time = np.arange(3 * 16000) / 16000
    samples = {
        "silence": np.zeros(len(time)),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(len(time)),
        "music": 0.2 * np.sign(np.sin(2 * np.pi * 220 * time)) * (np.sin(12 * time) > 0),
    }[kind]
    with pytest.raises(RequestError, match="does not say"):
        align(Transcript(OTHER), samples.astype(np.float32), 16000)


def test_other_languages_are_timed_in_proportion(caplog) -> None:
    """Chinese must not be refused, nor spelled in English."""
    with caplog.at_level(logging.WARNING):
        found = align(Transcript("上次你说"), np.ones(16000, np.float32), 16000)
    assert len(found.words) == 4
    assert "in proportion" in caplog.text


def test_a_long_recording_is_aligned_stretch_by_stretch(monkeypatch, said) -> None:
    """A chapter's words must not drift from stretch to stretch."""
    for module in (alignment, recognition):
        monkeypatch.setattr(module, "MAX_STRETCH_S", 4.0)
    found = align(Transcript(TEXT), said.samples, said.rate)
    assert np.median(off_s(found, said.transcript)) < 0.02
    assert np.percentile(off_s(found, said.transcript), 90) < 0.10


def test_the_same_sound_is_heard_the_same(said) -> None:
    """Word errors before and after an edit compare only if hearing does not waver."""
    words = heard(said.samples, said.rate)
    assert words == heard(said.samples, said.rate)
    assert word_errors(TEXT, words).rate < 0.25
    assert heard(np.zeros(16000, np.float32), 16000) == heard(np.zeros(0, np.float32), 8000) == ""


def test_what_was_put_in_costs_no_words(said) -> None:
    """A report would name words that a laugh took, and there they are."""
    laugh, rate = espeak.speak("Ha ha ha ha.", "en-us").samples, said.rate
    at_s = next(word.end_s for word in said.transcript.words if word.text == "long")
    cut, there_s = round(at_s * rate), at_s + len(laugh) / rate
    longer = np.concatenate([said.samples[:cut], laugh, said.samples[cut:]])[None]
    time_map = ((0.0, 0.0), (at_s, at_s), (at_s, there_s), (9.0, 9.0 + there_s - at_s))
    count, lost = words_lost(TEXT, Audio(longer, rate, time_map=time_map))
    assert (count, lost) == words_lost(TEXT, Audio(said.samples[None], rate))
    assert words_lost(TEXT, Audio(longer, rate))[1] - lost


def test_a_recording_is_heard() -> None:
    """The shipped clips: real voices in rooms."""
    folder = Path("/work/shared/speech")
    if not folder.is_dir():
        pytest.skip("no recordings here")
    from stepedit_fx.files import read_audio

    clip = read_audio(folder / "en_male_political.wav")
    text = (
        "His political stance was conservative, and he was particularly close to Margaret Thatcher."
    )
    assert word_errors(text, heard(clip.mono(), clip.sample_rate)).rate < 0.15


def test_word_errors_say_which() -> None:
    """A word that vanished is named in the report."""
    errors = word_errors(
        "Dr. Smith has 42 cats, no dogs.", "doctor smith had forty cats no dogs at"
    )
    assert (errors.substituted, errors.missing, errors.added) == (("has",), ("two",), ("at",))
    assert errors.count == 3
    assert errors.words == 8


words = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=8).map(" ".join)


@given(words, words)
def test_word_errors_add_up(reference, understood) -> None:
    """Errors that were counted twice would make edits look worse than they are."""
    errors = word_errors(reference, understood)
    a, b = len(reference.split()), len(understood.split())
    assert abs(a - b) <= errors.count <= max(a, b)
    assert a - len(errors.missing) + len(errors.added) == b
    assert (errors.count == 0) == (reference == understood)
    assert 0 <= likeness(reference, understood) <= 1


@given(st.text(max_size=20))
def test_any_word_is_spoken_somehow(text) -> None:
    """No text in a transcript may end an alignment with an exception."""
    assert all(form.strip() for word in split_words(text) for form in spoken_forms(word))
    assert from_letters(text)
    from_ipa(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1984", "nineteen eighty four"),
        ("In 1905, 21st", "in nineteen oh five twenty first"),
        ("1980s", "nineteen eighties"),
        ("100000", "one hundred thousand"),
        ("007", "zero zero seven"),
        ("Dr. No", "doctor no"),
        ("well-known", "well known"),
        ("It’s", "it's"),
    ],
)
def test_numbers_and_titles_are_said_in_words(text, said) -> None:
    """The dictionary knows no digits."""
    assert " ".join(spoken_words(text)) == said
