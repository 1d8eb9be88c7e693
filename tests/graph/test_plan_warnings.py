"""What a graph asks for and cannot have is said before anything runs."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.loudness import true_peak
from stepedit_fx.speech import Place
from stepedit_fx.timeline import placed
from stepedit_fx.transcripts import load_transcript


def told(caplog: pytest.LogCaptureFixture, chain: str, clip: Path) -> str:
    with caplog.at_level(logging.WARNING, "stepedit_fx"):
        Graph.parse(f"version: 1\nname: t\nchain: [{chain}]").plan(clip)
    return caplog.text


def test_a_lock_says_what_it_undoes(caplog: pytest.LogCaptureFixture, short_clip: Path) -> None:
    """`speed: faster` with a locked length gives the recording back, which looks like a fault."""
    assert "undoes 'speed'" in told(caplog, "{speed: faster}, {decode: {length: lock}}", short_clip)


def test_a_free_length_says_nothing(caplog: pytest.LogCaptureFixture, short_clip: Path) -> None:
    assert not told(caplog, "{speed: faster}, decode", short_clip)


def test_an_edit_clips_nothing_where_the_source_is_over_full_scale_between_samples() -> None:
    """An integer file would cut what is over 1.0, and every edit would be said to have clipped."""
    rate = 48000
    tone = np.sin(np.pi / 2 * np.arange(rate) + np.pi / 4)[None].astype(np.float32)
    hot = Audio(tone / np.abs(tone).max(), rate)  # samples at 1.0, peaks at 1.41
    place = Place(rate, 1, rate, loudness_lufs=None, true_peak=true_peak(hot.samples, rate))
    untouched = placed(hot, place, "free", is_matched=True, true_peak_db=-1.0)
    assert untouched is hot
    edited = hot.with_samples(np.float32(1.2) * hot.samples)
    held = placed(edited, place, "free", is_matched=True, true_peak_db=-1.0)
    assert true_peak(held.samples, rate) <= 1.001


def test_subtitles_that_overlap_are_said(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Two speakers in one file, or a slip: words would be timed wrongly without a word."""
    path = tmp_path / "a.srt"
    path.write_text(
        "1\n00:00:00,000 --> 00:00:03,000\nHello there\n\n"
        "2\n00:00:02,000 --> 00:00:05,000\ngood morning\n"
    )
    with caplog.at_level(logging.WARNING, "stepedit_fx"):
        load_transcript(path)
    assert "begins 1.00 s before the one above it ends" in caplog.text


def test_a_text_that_is_not_said_is_noticed_where_words_say_when(
    caplog: pytest.LogCaptureFixture, sample_clip: Path
) -> None:
    """Keyframes at the words of another recording would land anywhere."""
    pytest.importorskip("pocketsphinx")
    clip = read_audio(sample_clip)
    wrong = "the quick brown fox jumps over kettles again and again until dusk"
    graph = Graph.parse(
        "version: 1\nname: t\nchain:\n"
        f'  - input: {{transcript: "{wrong}"}}\n'
        "  - emotion: {value: happy, strength: [[kettles, 1]]}\n"
    )
    with caplog.at_level(logging.WARNING, "stepedit_fx"):
        graph.plan(clip)
    assert "understood was" in caplog.text
