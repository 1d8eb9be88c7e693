"""Strength and tags over time: what is written, where it counts, and what a part of it is."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stepedit_fx import Chain, Emotion
from stepedit_fx.errors import GraphError, RequestError
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import controls_of, with_values
from stepedit_fx.graph.draw import mermaid
from stepedit_fx.nodes.keyframes import STEP_S, Keyframes
from stepedit_fx.speech import Transcript, Word

SAID = "What a wonderful day, and what a wonderful, wonderful world."
WORDS = SAID.split()
TIMED = Transcript(SAID, words=tuple(Word(w, n / 2, n / 2 + 0.4) for n, w in enumerate(WORDS)))

seconds = st.floats(0, 100, allow_nan=False).map(lambda s: round(s, 3))
lines = st.lists(
    st.tuples(seconds, st.floats(0, 1)), min_size=1, max_size=8, unique_by=lambda p: p[0]
)
tagged = st.lists(
    st.tuples(seconds, st.sampled_from(["happy", "sad", "angry"])),
    min_size=1,
    max_size=6,
    unique_by=lambda p: p[0],
)


def strength(points: Any, transcript: Transcript = TIMED) -> tuple[tuple[float, float], ...]:
    return Emotion("happy", strength=points).resolved(transcript).edit().strengths


def at(value: Any, second: float) -> float:
    """What a strength is at a second, as the engines read it."""
    if not isinstance(value, Keyframes):
        return float(value)
    times, numbers = zip(*value.points, strict=True)
    return float(np.interp(second, times, numbers))


def tag_at(value: Any, second: float) -> str:
    if not isinstance(value, Keyframes):
        return str(value)
    return [tag for t, tag in value.points if t <= second or t == value.points[0][0]][-1]


@given(points=lines, cut=st.lists(seconds, max_size=3))
def test_the_parts_of_a_strength_are_the_strength(points: Any, cut: list[float]) -> None:
    """A long recording that is cut anywhere gets at each moment what the whole would get."""
    whole = Keyframes(tuple(sorted(points)))
    edges = [0.0, *sorted(cut), 101.0]
    for start_s, end_s in pairwise(edges):
        part = whole.within(start_s, end_s)
        for share in (0.001, 0.25, 0.7, 0.999):
            second = start_s + share * (end_s - start_s)
            near = (end_s - start_s) * 1e-3 + 1e-5
            there = [at(whole, second + d) for d in np.linspace(-near, near, 9)]
            assert min(there) - 1e-6 <= at(part, second - start_s) <= max(there) + 1e-6


@given(points=tagged, start_s=seconds, length_s=st.floats(0.5, 50), share=st.floats(0.01, 0.99))
def test_the_parts_of_tags_are_the_tags(
    points: Any, start_s: float, length_s: float, share: float
) -> None:
    """As for a strength: nobody is sad in a segment where the whole take is happy."""
    whole = Keyframes(tuple(sorted(points)))
    second = start_s + share * length_s
    if min(abs(second - t) for t, _ in points) > 1e-4:
        assert tag_at(whole.within(start_s, start_s + length_s), second - start_s) == tag_at(
            whole, second
        )


@given(points=lines)
def test_keyframes_survive_being_written(points: Any) -> None:
    """A graph's provenance, read back, asks for the same."""
    node = Emotion("sad", strength=sorted(points))
    again = Emotion.model_validate_json(json.dumps(node.model_dump(mode="json")), strict=True)
    assert again == node
    assert node.resolved(Transcript()).edit().strengths == tuple(sorted(points))


def test_equal_stretches_are_equal_wherever_they_stand() -> None:
    """Changing one keyframe renders one segment again, and not those behind it."""
    edit = Emotion("happy", strength=[(0, 0), (4, 1), (20, 1), (24, 0)])
    moved = Emotion("happy", strength=[(0, 0.2), (4, 1), (20, 1), (24, 0)])
    assert edit.within(5, 10) == edit.within(12, 17) == Emotion("happy", strength=1.0)
    assert edit.within(18, 30) == moved.within(18, 30)
    assert edit.within(0, 5) != moved.within(0, 5)
    assert Emotion("happy").within(3, 4) == Emotion("happy")


@pytest.mark.parametrize(
    ("place", "second"),
    [
        ("wonderful", 1.0),
        ("wonderful#2", 3.5),
        ("Wonderful,#3", 4.0),
        ("what a wonderful#2", 2.5),
        ("day, and", 1.5),
    ],
)
def test_from_a_word_on(place: str, second: float) -> None:
    """Nothing before the word, all of it soon after it has begun."""
    assert strength([(place, 0.8)]) == ((second, 0.0), (second + STEP_S, 0.8))


def test_seconds_and_words_mix() -> None:
    """A slow rise, and then from a word on nothing."""
    found = strength([(0, 0), (1.0, 1), ("and", 0)])
    assert found == ((0.0, 0.0), (1.0, 1.0), (2.0, 1.0), (2.0 + STEP_S, 0.0))


def test_a_tag_from_a_word_on_is_nothing_before_it() -> None:
    """ "From 'world' on, sad" leaves what comes before alone."""
    edit = Emotion([("world", "sad")], strength=0.5).resolved(TIMED).edit()
    assert edit.values == ((4.5, "sad"),)
    assert edit.strengths == ((4.5, 0.0), (4.55, 0.5))
    held = Emotion([(0, "happy"), ("world", "sad")]).resolved(TIMED).edit()
    assert held.values == ((0.0, "happy"), (4.5, "sad"))
    assert held.strengths == ()


def test_shapes() -> None:
    """hold and smooth mean what they mean for effects."""
    held = strength({"keyframes": [[0, 0.2], [2, 1]], "shape": "hold"})
    assert held == ((0.0, 0.2), (2.0, 0.2), (2.0 + STEP_S, 1.0))
    smooth = dict(strength({"keyframes": [[0, 0], [2, 1]], "shape": "smooth"}))
    assert smooth[1.0] == pytest.approx(0.5)
    assert smooth[0.5] == pytest.approx(0.5 - 0.5 * np.cos(np.pi / 4))


@pytest.mark.parametrize(
    ("points", "said", "message"),
    [
        ([("wunderful", 1)], TIMED, "not said. Did you mean 'wonderful'"),
        ([("wonderful#4", 1)], TIMED, "is said 3 times, not 4"),
        ([("world", 1), ("day", 0)], TIMED, "must be in order"),
        ([("day", 1)], Transcript(SAID), "has no times. Run `stepedit-fx align`"),
        ([("day", 1)], Transcript(), "what is said is not known"),
    ],
)
def test_a_word_that_cannot_be_found_is_told(points: Any, said: Transcript, message: str) -> None:
    """Nobody wonders why the edit did nothing."""
    with pytest.raises(RequestError, match=message):
        strength(points, said)


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("{value: happy, strength: [[0, 0], [0, 1]]}", ":1:54:", "must rise"),
        ("{value: happy, strength: [[0, 2]]}", ":1:49:", "from 0 to 1, got 2"),
        ("{value: happy, strength: [[0]]}", ":1:45:", "is \\[seconds or words, value\\]"),
        ("{value: happy, strength: []}", ":1:44:", "keyframes are 1 to"),
        ("{value: happy, strength: [[-1, 0]]}", ":1:46:", "seconds from 0 on, or words"),
        ("{value: happy, strength: ['0', 1]}", ":1:45:", "is \\[seconds or words"),
        ("{value: happy, strength: {keyframes: [[0, 0]], shap: x}}", ":1:72:", "no 'shap'"),
        ("[[0, happy], [1, saad]]", ":1:36:", "unknown emotion 'saad'. Did you mean 'sad'"),
        ("[[0, 1]]", ":1:24:", "must be a tag"),
    ],
)
def test_a_mistake_is_told_at_its_place(written: str, place: str, message: str) -> None:
    """File, line and column of the very point that is wrong."""
    with pytest.raises(GraphError, match=message) as found:
        Graph.parse(f"chain: [{{emotion: {written}}}]")
    assert place in str(found.value)


def test_every_way_to_say_it_says_the_same() -> None:
    """YAML, the long form, --set and Python."""
    wanted = Emotion("happy", strength=[(0, 0), (4.2, 1)])
    texts = ["[[0, 0], [4.2, 1]]", "{keyframes: [[0, 0], [4.2, 1]]}"]
    for text in texts:
        graph = Graph.parse(f"chain: [{{emotion: {{value: happy, strength: {text}}}}}]")
        assert graph.nodes["emotion"].node == wanted
        graph = Graph.parse("chain: [{emotion: happy}]", sets=[f"emotion.strength={text}"])
        assert graph.nodes["emotion"].node == wanted
    graph = Graph.parse("chain: [{emotion: no}]".replace("no", "'happy'"))
    assert graph.nodes["emotion"].node == Emotion("happy")
    with pytest.raises(ValidationError):
        Emotion("happy", strength=[(0, 3)])


def test_a_knob_turned_takes_over() -> None:
    """A keyframed strength stands at its start until somebody turns it."""
    graph = Graph.parse("chain: [{emotion: {value: happy, strength: [[0, 0.25], [4, 1]]}}]")
    address = "/stepedit/node/emotion/param/strength"
    assert controls_of(graph).initial[address] == 0.25
    assert with_values(graph, {address: 0.5}).nodes["emotion"].node == Emotion(
        "happy", strength=0.5
    )
    assert "happy 0.25›1" in mermaid(graph)


def test_a_chain_takes_keyframes(sample_clip: Any) -> None:
    """In a notebook, from a word on; the sound before is the recording's own."""
    from stepedit_fx.files import read_audio

    clip = read_audio(sample_clip)
    text = "Good morning, and welcome back. I was not sure you would come, but the kettle is on."
    made = Chain([Emotion("sad", strength=[("I was not", 1)])])(
        clip.samples, clip.sample_rate, transcript=text
    )
    second = 2 * clip.sample_rate
    assert np.array_equal(made[:, :second], clip.samples[:, :second])
    assert made.shape != clip.samples.shape
