"""A ladder: its levels, what lies between them, and that turning it renders no speech again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stepedit_fx import Emotion
from stepedit_fx.audio import Audio
from stepedit_fx.errors import GraphError
from stepedit_fx.files import read_audio
from stepedit_fx.graph import Graph
from stepedit_fx.graph.controls import controls_of, with_values
from stepedit_fx.graph.run import RunResult
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import measure
from stepedit_fx.nodes.ladder import Ladder
from stepedit_fx.store import Store

LADDER = """
version: 1
name: ladder
nodes:
  take: {{type: input}}
  mood:
    {{type: ladder, from: take, edit: {{emotion: sad}}, levels: 2, position: {position}, seed: 5}}
  out: {{type: output, from: mood}}
"""
EDIT = "version: 1\nname: edit\nchain: [{{emotion: {{value: sad, iterations: {n}, seed: 5}}}}]"
POSITION = "/stepedit/node/mood/param/position"


@pytest.fixture(scope="module")
def store() -> Store:
    return Store.in_memory()


@pytest.fixture(scope="module")
def clip(sample_clip: Path) -> Audio:
    audio = read_audio(sample_clip)
    return replace(audio, samples=audio.samples[:, : 3 * audio.sample_rate])


def run(text: str, clip: Audio, store: Store) -> RunResult:
    return Graph.parse(text).run(clip, out_dir=None, store=store)


def heard(position: float, clip: Audio, store: Store) -> Audio:
    sound = run(LADDER.format(position=position), clip, store).values["out"]
    assert isinstance(sound, Audio)
    return sound


def test_a_level_is_the_edit_that_many_times(clip: Audio, store: Store) -> None:
    """At the foot the recording itself, at level 2 what two iterations give, to the sample."""
    assert heard(0, clip, store).digest == clip.digest
    for level in (1, 2):
        edited = run(EDIT.format(n=level), clip, store).values["output"]
        assert np.array_equal(heard(level, clip, store).samples, edited.read(0, edited.frames))


def test_turning_the_fader_renders_no_speech(clip: Audio, store: Store) -> None:
    """Only the ladder's own step runs, however far the fader goes."""
    heard(0.5, clip, store)
    for position in (1.6, 0.3, 1.9):
        result = run(LADDER.format(position=position), clip, store)
        assert set(result.ran) <= {"take", "mood", "out"}
        assert "mood" in result.ran
        assert "mood.2.decode" in result.reused or position < 1


def test_another_edit_renders_its_levels(clip: Audio, store: Store) -> None:
    """A stale level is never heard: the tag is in the key of every level, and in no other."""
    text = LADDER.format(position=1.5)
    heard(1.5, clip, store)
    other = run(text.replace("sad", "fear"), clip, store)
    assert {"mood.1", "mood.2"} <= set(other.ran)


def test_what_lies_between_two_levels_lies_between_them(clip: Audio, store: Store) -> None:
    """A slow turn of the fader is heard as a slow change, of everything at once."""
    sounds = [heard(p, clip, store) for p in (0, 0.25, 0.5, 0.75, 1)]
    lengths = [sound.duration_s for sound in sounds]
    assert lengths == pytest.approx(np.linspace(lengths[0], lengths[-1], 5), abs=0.002)
    figures = [measure(sound.mono(), sound.sample_rate) for sound in sounds]
    f0 = [12 * np.log2(figure.f0_median_hz / figures[0].f0_median_hz) for figure in figures]
    assert f0 == pytest.approx(np.linspace(0, f0[-1], 5), abs=0.35)
    loudness = [loudness_lufs(sound.samples, sound.sample_rate) for sound in sounds]
    assert loudness == pytest.approx(np.linspace(loudness[0], loudness[-1], 5), abs=0.7)
    bright = [figure.bright_db for figure in figures]
    assert np.diff(bright).max() < 1.0  # sad is darker: it never gets brighter on the way
    assert max(sound.peak for sound in sounds) <= max(sounds[0].peak, sounds[-1].peak) + 1e-6


def test_near_a_level_it_sounds_like_it(clip: Audio, store: Store) -> None:
    """There is no jump where the fader meets a level."""
    at, near = heard(1, clip, store), heard(1.002, clip, store)
    assert abs(at.frames - near.frames) < 0.001 * at.sample_rate * at.duration_s + 8
    spectra = [
        np.abs(np.fft.rfft(sound.mono()[: 40 * 1024].reshape(-1, 1024) * np.hanning(1024)))
        for sound in (at, near)
    ]
    off = np.linalg.norm(spectra[0] - spectra[1]) / np.linalg.norm(spectra[0])
    assert off < 0.25


def test_words_and_times_go_along(clip: Audio, store: Store) -> None:
    """Between two levels the map of time is between theirs, so that wet and dry line up."""
    low, middle, high = (heard(p, clip, store) for p in (1, 1.5, 2))
    for second in (0.5, 1.5, 2.4):
        places = [np.interp(second, *np.array(sound.time_map).T) for sound in (low, middle, high)]
        assert places[1] == pytest.approx((places[0] + places[2]) / 2, abs=0.002)


def test_the_fader_ends_at_the_top_level() -> None:
    """A surface shows 0 to 2 for two levels, and cannot go beyond."""
    graph = Graph.parse(LADDER.format(position=1))
    control = controls_of(graph)[POSITION]
    assert (control.low, control.high, control.kind) == (0.0, 2.0, "number")
    assert control.checked(7) == 2.0
    turned = with_values(graph, {POSITION: 1.25}).nodes["mood"].node
    assert turned == Ladder(edit=Emotion("sad"), levels=2, position=1.25, seed=5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("edit: {emotion: saad}", "unknown emotion 'saad'. Did you mean 'sad'"),
        ("edit: {emotoin: sad}", "a ladder has no 'emotoin'. Did you mean 'emotion'"),
        ("edit: {emotion: {value: sad, iterations: 2}}", "the ladder sets 'iterations' itself"),
        ("edit: {emotion: {value: sad, strength: 2}}", "edit.emotion.strength must be at most 1"),
        ("edit: {emotion: {value: sad, strenth: 1}}", "no 'edit.emotion.strenth'"),
        ("edit: sad", "edit must be one edit, as"),
        ("levels: 2", "needs 'edit'"),
        ("edit: {emotion: sad}, levels: 9", "levels must be at most 5"),
        ("edit: {emotion: sad}, levels: 2, position: 3", "position 3 is above the top level, 2"),
    ],
)
def test_a_mistake_is_told(fields: str, message: str) -> None:
    """In plain words, before anything runs."""
    with pytest.raises(GraphError, match=message):
        Graph.parse(f"chain: [{{ladder: {{{fields}}}}}]")


def test_an_edit_over_time_has_levels_too(clip: Audio, store: Store) -> None:
    """Keyframes in a ladder's edit: what they leave alone is the recording at every level."""
    text = LADDER.replace(
        "{{emotion: sad}}", "{{emotion: {{value: sad, strength: [[1.5, 0], [2, 1]]}}}}"
    )
    for position in (1, 2):
        sound = run(text.format(position=position), clip, store).values["out"]
        assert np.array_equal(sound.read(0, clip.sample_rate), clip.samples[:, : clip.sample_rate])
