"""A decoded take in the source's place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.engines.step_audio.placing import put_back
from stepedit_fx.engines.step_audio.takes import (
    Around,
    Reference,
    Segment,
    Source,
    pack,
    unpack,
)
from stepedit_fx.speech import Place, Transcript, Word

GROUP = [0, 1, 1024, 1025, 1026]
OTHER = [2, 3, 1030, 1031, 1032]
RATE = 48000


def reference(
    start: int, end: int, padding: tuple[int, int] = (0, 0), gain: float = 1.0
) -> Reference:
    return Reference((start, end), padding, np.array(GROUP), np.zeros((6, 80), np.float32), gain)


def source(frames: int, *references: Reference, channels: int = 1) -> Source:
    rng = np.random.default_rng(1)
    samples = rng.uniform(-0.3, 0.3, (channels, frames)).astype(np.float32)
    return Source(samples, references, np.zeros(192, np.float32))


def place(made: Source) -> Place:
    return Place(RATE, len(made.samples), made.samples.shape[1], start_s=3.5)


def tone(frames: int, rate: int = 24000) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * 300 * np.arange(frames) / rate)).astype(np.float32)


def back(made: Source, segments: list[Segment], decoded: list, around: Around, **more):  # type: ignore[no-untyped-def,type-arg]
    transcript = more.get("transcript", Transcript())
    return put_back(made, segments, decoded, around, place(made), transcript, decoded_rate=24000)


def test_an_untouched_take_is_the_source_itself() -> None:
    """Passing speech through a graph that does nothing must not cost a generation."""
    made = source(90_000, reference(10_000, 30_000), reference(50_000, 80_000), channels=2)
    segments = [Segment(np.array(GROUP), 0), Segment(np.array(GROUP), 1)]
    result = back(made, segments, [None, None], Around.SOURCE)
    assert np.array_equal(result.samples, made.samples)
    assert result.start_s == 3.5


@settings(max_examples=25)
@given(st.integers(600, 20_000), st.integers(600, 20_000))
def test_pauses_around_edited_segments_keep_their_samples(first: int, second: int) -> None:
    """What the tokenizer trimmed comes back to the sample, whatever length an edit has."""
    made = source(90_000, reference(10_000, 30_000), reference(50_000, 80_000))
    segments = [Segment(np.array(OTHER), 0), Segment(np.array(OTHER), 1)]
    result = back(made, segments, [tone(first), tone(second)], Around.SOURCE).samples
    assert result.shape[1] == 10_000 + 2 * first + 20_000 + 2 * second + 10_000
    assert np.array_equal(result[:, :10_000], made.samples[:, :10_000])
    between = result[:, 10_000 + 2 * first : 30_000 + 2 * first]
    assert np.array_equal(between, made.samples[:, 30_000:50_000])
    assert np.array_equal(result[:, -10_000:], made.samples[:, -10_000:])


def test_denoise_silences_the_background_and_vad_leaves_it_out() -> None:
    made = source(60_000, reference(10_000, 30_000))
    segments = [Segment(np.array(OTHER), 0)]
    silent = back(made, segments, [tone(10_000)], Around.SILENCE).samples
    assert silent.shape[1] == 60_000
    assert not silent[:, :10_000].any()
    assert not silent[:, 30_000:].any()
    assert back(made, segments, [tone(10_000)], Around.NOTHING).samples.shape[1] == 20_000


def test_joins_do_not_click() -> None:
    """The step at a join is no larger than the sound's own steps."""
    made = Source(
        np.full((1, 60_000), 0.3, np.float32),
        (reference(10_000, 30_000),),
        np.zeros(192, np.float32),
    )
    sound = np.full(10_000, -0.3, np.float32)
    result = back(made, [Segment(np.array(OTHER), 0)], [sound], Around.SOURCE).samples
    assert np.abs(np.diff(result)).max() < 0.01


def test_level_and_side_of_a_voice_stay() -> None:
    """A quiet voice on the left comes back quiet and on the left."""
    made = source(60_000, reference(10_000, 30_000, gain=0.5), channels=2)
    samples = made.samples.copy()
    samples[1] *= 0.1
    made = Source(samples, made.references, made.speaker)
    result = back(made, [Segment(np.array(OTHER), 0)], [tone(10_000)], Around.SILENCE).samples
    left, right = (np.sqrt(np.mean(c[12_000:28_000] ** 2)) for c in result)
    assert right / left == pytest.approx(0.1, rel=0.01)
    # Half the source's level went in, so the decoded 0.2 peak comes out as 0.4 in their mean.
    assert np.abs(result.mean(axis=0)).max() == pytest.approx(0.4, rel=0.05)


def test_padding_is_cut_off_only_while_silent() -> None:
    """A clip that starts with a word may not begin 50 ms later, nor lose its first sound."""
    made = source(40_000, reference(0, 30_000, padding=(2400, 0)))
    quiet = np.concatenate([np.zeros(1200, np.float32), tone(10_000)])
    loud = tone(11_200)
    segments = [Segment(np.array(OTHER), 0)]
    assert abs(back(made, segments, [quiet], Around.SOURCE).frames - 30_000) < 60
    assert back(made, segments, [loud], Around.SOURCE).frames > 32_300


def test_the_map_says_where_each_segment_went() -> None:
    """A lock of the length would stretch the wrong stretches."""
    made = source(96_000, reference(12_000, 24_000), reference(48_000, 72_000))
    segments = [Segment(np.array(OTHER), 0), Segment(np.array(GROUP), 1)]
    moved = back(made, segments, [tone(24_000), None], Around.SOURCE)
    assert moved.time_map == ((0.0, 0.0), (0.25, 0.25), (0.5, 1.25), (2.0, 2.75))
    cut = back(made, segments, [None, None], Around.NOTHING)
    assert cut.time_map == (
        (0.0, 0.0), (0.25, 0.0), (0.5, 0.25), (1.0, 0.25), (1.5, 0.75), (2.0, 0.75),
    )  # fmt: skip
    assert back(made, segments, [None, None], Around.SOURCE).time_map == ()


def test_words_move_with_their_segment() -> None:
    """A sound placed by a word after an edit must find the word."""
    made = source(96_000, reference(0, 24_000), reference(48_000, 96_000))
    words = (Word("one", 0.0, 0.5), Word("two", 1.0, 2.0))
    result = back(
        made,
        [Segment(np.array(OTHER), 0), Segment(np.array(GROUP), 1)],
        [tone(24_000), None],
        Around.SOURCE,
        transcript=Transcript("one two", words=words),
    )
    times = [(w.start_s, w.end_s) for w in result.transcript.words]
    assert times == [pytest.approx((0.0, 1.0)), pytest.approx((1.5, 2.5))]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), min_size=1, max_size=5))
def test_a_take_is_stored_whole(counts: list[tuple[int, int]]) -> None:
    """What the store gives back must decode to the same sound."""
    references = tuple(
        Reference(
            (n * 100, n * 100 + 50),
            (n, 2 * n),
            np.array(GROUP * groups, np.int64),
            np.full((frames, 80), n, np.float32),
            0.5 + n,
        )
        for n, (groups, frames) in enumerate(counts)
    )
    made = Source(np.ones((2, 7), np.float32), references, np.arange(192, dtype=np.float32))
    again = Source.of(made.voice())
    for before, after in zip(made.references, again.references, strict=True):
        assert before.span == after.span
        assert before.padding == after.padding
        assert before.gain == after.gain
        assert np.array_equal(before.tokens, after.tokens)
        assert np.array_equal(before.mel, after.mel)
    segments = [Segment(r.tokens, n) for n, r in enumerate(references)]
    take = pack(segments, Around.SILENCE, made.voice(), place(made), Transcript("hi"))
    found, around = unpack(take)
    assert around is Around.SILENCE
    assert [(s.reference, s.tokens.tolist()) for s in found] == [
        (s.reference, s.tokens.tolist()) for s in segments
    ]
