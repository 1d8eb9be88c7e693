"""Word times for a transcript that has none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepedit_fx.speech import Transcript
from stepedit_fx.tags import split_words
from stepedit_fx.transcripts import espeak
from stepedit_fx.transcripts.timing import syllables, timed, timed_by_tracks

# Synthesized, so that the true times are known: espeak-ng tells where it begins each word.
SAID = {
    "en-us": "His political stance was conservative, and he was close to Margaret. It was a long "
    "time ago, in a country far from here; nobody remembers.",
    "cmn": "上次你说鞋子有点磨脚，我给你买了一双软软的鞋垫。放松一下身体，这样，会让你更有精力。",
    "de": "Guten Morgen, meine Damen und Herren. Wir beginnen heute mit einer kurzen Geschichte.",
    "ko": "안녕하세요. 오늘 날씨가 아주 좋습니다, 그래서 우리는 공원에 갑니다.",
}


@pytest.mark.parametrize("voice", SAID)
def test_words_are_about_where_they_are_said(voice: str) -> None:
    """A sigh "before 'far'" that comes a second early is in the middle of another word."""
    pytest.importorskip("espeakng_loader")
    said = espeak.speak(SAID[voice], voice)
    found = timed(Transcript(SAID[voice]), said.samples, said.rate)
    truth = said.transcript.words
    assert [w.text for w in found.words] == [w.text for w in truth]
    off = np.abs([a.start_s - b.start_s for a, b in zip(found.words, truth, strict=True)])
    assert np.median(off) < 0.08
    assert np.percentile(off, 90) < 0.25


spans = st.lists(st.integers(0, 400), max_size=12, unique=True).map(sorted)


@given(
    text=st.text(st.sampled_from("aeé bcd, .一二가'3"), max_size=60),
    edges=spans,
    nuclei=spans,
    frames=st.integers(1, 500),
)
def test_words_are_in_order_and_inside(text, edges, nuclei, frames) -> None:
    """A word that ends before it starts, or after the recording, breaks whatever reads it."""
    pauses = tuple((a, min(b, frames)) for a, b in zip(edges[::2], edges[1::2], strict=False))
    pauses = tuple((a, b) for a, b in pauses if b > a)
    found = timed_by_tracks(Transcript(text), pauses, [n for n in nuclei if n < frames], frames)
    assert [w.text for w in found.words] == split_words(text)
    for word in found.words:
        assert 0 <= word.start_s <= word.end_s <= max(frames, 2) * 0.01
    for one, other in pairwise(found.words):
        assert one.end_s <= other.start_s + 1e-9
    assert timed_by_tracks(found, pauses, nuclei, frames) is found


def test_silence_and_nothing_still_give_times() -> None:
    """An empty file with a transcript beside it must not end a batch."""
    for samples in (np.zeros(0, np.float32), np.zeros(16000, np.float32)):
        assert len(timed(Transcript("one two three"), samples, 16000).words) == 3


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("wonderful", 3),
        ("time", 1),
        ("stretched", 1),
        ("鞋子", 2),
        ("가", 1),
        ("schön", 1),
        ("42", 3),
    ],
)
def test_syllables_are_counted_about_right(word: str, count: int) -> None:
    """Words are shared out by them."""
    assert syllables(word) == count
