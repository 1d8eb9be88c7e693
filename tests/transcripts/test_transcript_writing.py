"""Sidecars that are written are read back; one of another recording is noticed."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.errors import RequestError, TagError
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import parse_sounds, split_words
from stepedit_fx.transcripts import load_transcript
from stepedit_fx.transcripts.fit import misfit, sounding
from stepedit_fx.transcripts.writing import sidecar_path, sidecar_text


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any text with words, and times that rise."""
    text = draw(
        st.text(st.sampled_from("ab c,.!?\"'<>&{}-[]\n你好 pause42"), min_size=1, max_size=80)
    )
    text = " ".join(text.replace("[", " ").replace("]", " ").split())
    words = split_words(text)
    edges = sorted(
        draw(st.lists(st.floats(0, 90), min_size=len(words) + 1, max_size=len(words) + 1))
    )
    return Transcript(
        text, "", tuple(Word(w, a, b) for w, (a, b) in zip(words, pairwise(edges), strict=True))
    )


@given(
    transcripts().filter(lambda t: t.words),
    st.sampled_from(["txt", "srt", "vtt", "lab", "TextGrid"]),
)
def test_what_is_written_is_read_back(transcript: Transcript, form: str) -> None:
    """A sidecar that cannot be read, or has lost a word, spoils the take it stands beside."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"take.{form}"
        path.write_text(sidecar_text(transcript, form, 91.0), encoding="utf-8", newline="")
        found = load_transcript(path)
    assert split_words(found.text) == split_words(transcript.text)
    if form in ("lab", "TextGrid"):
        starts = [
            (a.start_s, b.start_s) for a, b in zip(found.words, transcript.words, strict=True)
        ]
        assert all(abs(a - b) <= 0.001 * (n + 1) for n, (a, b) in enumerate(starts))
    if form in ("srt", "vtt"):
        assert found.words[0].start_s == pytest.approx(transcript.words[0].start_s, abs=0.001)


def test_subtitles_are_cut_at_sentences_and_pauses() -> None:
    """One line of a whole chapter is no subtitle."""
    words = ["One", "two.", "Three", "four", "five"]
    at = [0.0, 0.5, 1.0, 1.5, 4.0]
    timed = Transcript(
        " ".join(words),
        "",
        tuple(Word(w.strip("."), a, a + 0.4) for w, a in zip(words, at, strict=True)),
    )
    assert [row for row in sidecar_text(timed, "srt", 5).splitlines() if row[:1].isalpha()] == [
        "One two.",
        "Three four",
        "five",
    ]


def test_a_form_that_is_none_is_named_with_the_nearest() -> None:
    with pytest.raises(RequestError, match="Did you mean 'TextGrid'"):
        sidecar_path(Path("a.wav"), "textgird")
    with pytest.raises(RequestError, match="no times"):
        sidecar_text(Transcript("words alone"), "lab", 1.0)
    assert sidecar_path(Path("a/b.wav"), "textgrid", Path("c")) == Path("c/b.TextGrid")


@pytest.mark.parametrize(
    ("text", "words", "duration_s", "sounding_s", "why"),
    [
        ("Good morning", (Word("Good", 0, 1), Word("morning", 50, 60)), 10.0, 9.0, "end at 60.0 s"),
        ("word " * 200, (), 5.0, 5.0, "too many"),
        ("Hm", (), 60.0, 50.0, "too few"),
        ("Good morning to you all", (), 2.0, 1.5, ""),
        ("", (), 2.0, 1.5, ""),
        ("Hm", (), 600.0, None, ""),
    ],
)
def test_a_transcript_of_another_recording_is_noticed(
    text, words, duration_s, sounding_s, why
) -> None:
    """A sidecar left over from another take puts every sound in the wrong place."""
    found = misfit(Transcript(text, "", words), duration_s, sounding_s)
    assert why in found
    assert bool(found) == bool(why)


def test_silence_does_not_count_as_sound() -> None:
    voice = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    assert sounding(np.concatenate([voice, np.zeros(48000, np.float32)]), 16000) == pytest.approx(
        1.0, abs=0.05
    )
    assert (
        sounding(np.zeros(0, np.float32), 16000) == sounding(np.zeros(900, np.float32), 16000) == 0
    )


def test_a_tag_inside_a_word_is_refused() -> None:
    """No sound can be made inside a word; a silent guess would put it somewhere."""
    with pytest.raises(TagError, match=r"inside a word: 'won\[Sigh\]derful'.*before or after"):
        parse_sounds("What a won[Sigh]derful day")
    assert parse_sounds("我[Sigh]给你")[1][0].before_word == 1
    assert parse_sounds("Well,[Sigh] fine.")[1][0].before_word == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Well, [Laughter fine.", r"not closed: '\[Laughter fine\.'.*Write '\[Laughter\]'"),
        ("Well, [Sigh] fine [Breath", r"not closed: '\[Breath'.*'Breathing'"),
        ("Well, Sigh] fine.", r"not opened: '\]'"),
        ("Well, [ Sigh ] fine.", r"unknown sound '\[ Sigh \]'.*Write '\[Sigh\]'"),
        ("Well, [] fine.", r"unknown sound '\[\]'.*\[Sigh\]"),
    ],
)
def test_a_bracket_that_is_no_sound_is_not_taken_for_a_word(text, said) -> None:
    """A sound that was misspelt would be missing from the result, and nobody told."""
    with pytest.raises(TagError, match=said):
        parse_sounds(text)
