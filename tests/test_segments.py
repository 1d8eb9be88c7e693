"""Long takes in segments, each with its own words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx import segments as s
from stepedit_fx.audio import Audio, held
from stepedit_fx.measures import track_level
from stepedit_fx.speech import Transcript, Word
from stepedit_fx.tags import SOUNDS, parse_sounds, split_words

RATE = 8000
TEXT = "Well, you made it. I am glad, my friend, that you came here today! Sit down."


def bursts(*lengths_s: float, pause_s: float = 0.4) -> np.ndarray:
    """Noise of these lengths with pauses between."""
    rng = np.random.default_rng(0)
    parts = []
    for length_s in lengths_s:
        parts += [rng.normal(0, 0.1, round(length_s * RATE)), np.zeros(round(pause_s * RATE))]
    return np.concatenate(parts).astype(np.float32)


def cut(mono: np.ndarray, longest_s: float = s.LONGEST_S) -> list[s.Span]:
    """Where a take of one channel is cut."""
    audio = Audio(np.atleast_2d(mono), RATE)
    return s.cut_at_pauses(s.level_of(audio), audio.frames, RATE, longest_s)


@settings(max_examples=15)
@given(st.lists(st.floats(0.5, 40), min_size=1, max_size=6))
def test_segments_cover_a_take_and_none_is_too_long(lengths_s: list[float]) -> None:
    """Not a sample of a chapter may be lost or said twice, and the model must take every part."""
    mono = bursts(*lengths_s)
    spans = cut(mono)
    assert spans[0][0] == 0
    assert spans[-1][1] == len(mono)
    assert all(a[1] == b[0] for a, b in pairwise(spans))
    assert all(0 < end - start <= s.LONGEST_S * RATE + 1 for start, end in spans)


def test_a_long_take_is_cut_in_its_pauses() -> None:
    """A cut inside a word would be heard."""
    mono = bursts(9, 9, 9, 9, 9)
    cuts = [end for _, end in cut(mono)[:-1]]
    assert cuts
    for at in cuts:
        assert not mono[at - RATE // 10 : at + RATE // 10].any()


def test_a_short_take_is_one_segment() -> None:
    mono = bursts(9, 9)
    assert cut(mono) == [(0, len(mono))]


def test_words_with_times_go_where_they_are_spoken() -> None:
    words = tuple(Word(w, i, i + 0.9) for i, w in enumerate(split_words(TEXT)))
    shares = s.share_words(Transcript(TEXT, words=words), [(0, 6.0), (6.0, 16.0)])
    assert shares == [(0, 6), (6, len(words))]


def test_words_without_times_are_shared_by_length_at_clause_ends() -> None:
    """A prompt that starts in the middle of a clause reads worse than one that is a word off."""
    shares = s.share_words(Transcript(TEXT), [(0, 3), (3, 8), (8, 9)])
    assert s.cut_text(TEXT, shares) == [
        "Well, you made it.",
        "I am glad, my friend, that you came here today!",
        "Sit down.",
    ]


def test_sounds_go_to_the_segment_of_their_word() -> None:
    """A laugh asked for in the second sentence must be laughed there."""
    shares = s.share_words(Transcript(TEXT), [(0, 3), (3, 8), (8, 9)])
    tagged = (
        "Well, [Sigh] you made it. I am glad, my friend, that you came here today! Sit down. [Uhm]"
    )
    assert s.cut_text_with_sounds(tagged, TEXT, shares) == [
        "Well, [Sigh] you made it.",
        "",
        "Sit down. [Uhm]",
    ]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 16), st.sampled_from(sorted(SOUNDS))), max_size=5),
    st.lists(st.integers(0, 16), max_size=4),
)
def test_no_sound_is_lost_however_a_text_is_cut(
    sounds: list[tuple[int, str]], cuts: list[int]
) -> None:
    words = split_words(TEXT)
    tagged = list(words)
    for at, tag in sorted(sounds, reverse=True):
        tagged.insert(min(at, len(tagged)), f"[{tag}]")
    edges = [0, *sorted(min(cut, len(words)) for cut in cuts), len(words)]
    parts = s.cut_text_with_sounds(" ".join(tagged), TEXT, list(pairwise(edges)))
    found = [sound.tag for part in parts for sound in parse_sounds(part)[1]]
    assert found == [sound.tag for sound in parse_sounds(" ".join(tagged))[1]]


def test_sounds_at_the_end_keep_their_order() -> None:
    parts = s.cut_text_with_sounds("One two [Sigh] [Uhm]", "One two", [(0, 1), (1, 2)])
    assert parts == ["", "two [Sigh] [Uhm]"]


def test_a_text_to_say_is_cut_between_sentences() -> None:
    pieces = s.cut_sentences("Hello there, dear friend. " * 40)
    assert len(pieces) > 1
    assert "".join(pieces).replace(" ", "") == ("Hellothere,dearfriend." * 40)
    assert all(piece.endswith(".") for piece in pieces)
    assert s.cut_sentences("你好。世界") == ["你好。世界"]


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_nothing_to_say_is_no_piece(text: str) -> None:
    assert s.cut_sentences(text) == []


@pytest.mark.parametrize(
    ("tagged", "spoken", "shares"),
    [
        ("Hey you baz [Sigh] qux", "foo bar baz qux", [(0, 1), (1, 4)]),
        ("a [Sigh] b [Uhm] c", "a x x x x b c", [(0, 4), (4, 5), (5, 7)]),
    ],
)
def test_a_text_with_other_words_than_were_spoken_is_cut_all_the_same(
    tagged: str, spoken: str, shares: list[s.Span]
) -> None:
    """A first word misheard is no reason to fail; nor is a sound ever made twice."""
    parts = s.cut_text_with_sounds(tagged, spoken, shares)
    found = [sound.tag for part in parts for sound in parse_sounds(part)[1]]
    assert found == [sound.tag for sound in parse_sounds(tagged)[1]]


@pytest.mark.parametrize("longest_s", [4.0, s.LONGEST_S])
def test_the_last_segment_is_no_sliver(longest_s: float) -> None:
    """0.3 s of speech alone cannot be tokenized, and would stay as it was amid the edit."""
    frames = round((longest_s + 0.3) * RATE)
    mono = np.random.default_rng(0).normal(0, 0.1, frames).astype(np.float32)
    mono[-round(0.7 * RATE) : -round(0.2 * RATE)] = 0  # a pause just before the end
    spans = cut(mono, longest_s)
    shortest_s = min(s.SHORTEST_S, longest_s / 2)
    assert all((end - start) / RATE >= shortest_s - 0.1 for start, end in spans)


def test_a_full_stop_inside_a_word_ends_no_sentence() -> None:
    text = "It is 3.14 now. See www.example.com today!"
    assert s.cut_sentences(text, 0.1) == ["It is 3.14 now.", "See www.example.com today!"]
    assert s.cut_sentences("你好。世界！", 0.1) == ["你好。", "世界！"]


@settings(max_examples=15)
@given(st.lists(st.floats(0.5, 20), min_size=1, max_size=5), st.sampled_from([8000, 11_025]))
def test_levels_of_a_long_take_are_those_of_a_short_one(lengths_s: list[float], rate: int) -> None:
    """Cuts would fall elsewhere in an hour than in a minute."""
    mono = np.concatenate([bursts(*lengths_s)] * 3)
    audio = Audio(np.atleast_2d(mono), rate)
    off_db = np.abs(s.level_of(audio) - track_level(mono, rate))
    # A window's edge that falls between two samples may be rounded to either.
    assert np.count_nonzero(off_db > 0.01) <= len(off_db) / 100


@settings(max_examples=25)
@given(st.lists(st.floats(0.3, 9), min_size=2, max_size=9), st.integers(0, 60), st.booleans())
def test_every_word_is_in_one_segment_and_in_order(
    lengths_s: list[float], count: int, is_timed: bool
) -> None:
    """A word lost or said twice, or a time that points beside its word."""
    mono = bursts(*lengths_s)
    whole_s = len(mono) / RATE
    names = [f"w{n}" for n in range(count)]
    times = np.linspace(0, whole_s, count + 1)
    words = tuple(Word(n, float(a), float(b)) for n, (a, b) in zip(names, pairwise(times)))  # noqa: B905
    said = Transcript(" ".join(names), "en", words if is_timed else ())
    cut_up = s.cut_sound(Audio(np.atleast_2d(mono), RATE, transcript=said), 5.0)
    assert " ".join(filter(None, (one.transcript.text for one in cut_up))) == said.text
    moved = [(w, one.span[0] / RATE) for one in cut_up for w in one.transcript.words]
    assert [w.text for w, _ in moved] == [w.text for w in said.words]
    for (word, start_s), before in zip(moved, said.words, strict=True):
        assert word.start_s + start_s == pytest.approx(before.start_s)


@settings(max_examples=25)
@given(
    st.lists(st.floats(0.3, 9), min_size=1, max_size=9),
    st.floats(2.0, 12.0),
    st.integers(1, 2),
)
def test_segments_that_nobody_edited_are_the_take(
    lengths_s: list[float], longest_s: float, channels: int
) -> None:
    """Not a sample may change where two segments are joined."""
    mono = bursts(*lengths_s) + np.float32(0.001)
    audio = Audio(np.tile(mono, (channels, 1)), RATE, 3.0, Transcript("A b c d e f g."))
    joined = s.Joined(audio)
    cut_up = s.cut_sound(audio, longest_s)
    for one in cut_up:
        assert one.span[1] - one.span[0] <= longest_s * RATE + 1
        joined.add(one, Audio(audio.read(*one.span), RATE, transcript=one.transcript))
    again = held(joined.done())
    np.testing.assert_array_equal(again.samples, audio.samples)
    assert (again.start_s, again.transcript, again.time_map) == (3.0, audio.transcript, ())


def test_joined_segments_say_where_every_moment_went() -> None:
    """Keyframes and captions after a change of pace would slip from segment to segment."""
    audio = Audio(np.atleast_2d(bursts(3, 3, 3, 3)), RATE)
    joined = s.Joined(audio)
    cut_up = s.cut_sound(audio, 5.0)
    for one in cut_up:
        samples = np.repeat(audio.read(*one.span), 2, axis=1)
        length_s = samples.shape[1] / RATE
        knots = ((0.0, 0.0), (length_s / 4, length_s / 2), (length_s / 2, length_s))
        joined.add(one, Audio(samples, RATE, time_map=knots))
    sound = joined.done()
    there, here = np.array(sound.time_map).T
    assert (np.diff(there) >= 0).all()
    assert (np.diff(here) >= 0).all()
    np.testing.assert_allclose(here, 2 * there, atol=len(cut_up) * s.FADE_S)
    assert sound.time_map[-1] == pytest.approx((audio.duration_s, sound.duration_s))


def test_a_fade_hides_the_step_between_two_segments() -> None:
    """A step of level inside a pause is a click."""
    audio = Audio(np.full((1, 12 * RATE), 0.2, np.float32), RATE)
    joined = s.Joined(audio)
    for n, one in enumerate(s.cut_sound(audio, 5.0)):
        joined.add(one, Audio(audio.read(*one.span) * (1 if n % 2 else 0.5), RATE))
    sound = held(joined.done())
    assert sound.frames == audio.frames
    assert np.abs(np.diff(sound.samples)).max() < 0.1 / (s.FADE_S * RATE) * 1.1


def test_one_sentence_that_changes_moves_no_other_cut() -> None:
    """All of a chapter would be rendered again for one word that was said anew."""
    rng = np.random.default_rng(1)
    parts = [bursts(2.5, pause_s=0.3) for _ in range(40)]
    before = Audio(np.atleast_2d(np.concatenate(parts)), RATE)
    parts[20] = parts[20] * np.float32(0.7) + rng.normal(0, 1e-3, len(parts[20])).astype(np.float32)
    after = Audio(np.atleast_2d(np.concatenate(parts)), RATE)
    changed = [
        not np.array_equal(before.read(*a.span), after.read(*b.span))
        for a, b in zip(s.cut_sound(before), s.cut_sound(after), strict=True)
    ]
    assert sum(changed) == 1


def test_a_stretch_without_speech_is_known_as_silent() -> None:
    mono = np.concatenate([bursts(8), np.zeros(20 * RATE, np.float32), bursts(8)])
    found = s.cut_sound(Audio(np.atleast_2d(mono), RATE), 8.0)
    assert [one.is_silent for one in found].count(True) >= 1
    assert not found[0].is_silent
