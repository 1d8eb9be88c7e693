"""A fader from 0 to 1 moves the sound evenly, and from nothing."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.curves import LIMITS
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.measures import measure
from stepedit_fx.speech import Edit, Speech

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
TAGS = [
    (kind, tag) for kind in ("emotion", "style", "speed") for tag in ParametricEngine().offers[kind]
]
# Figures that a listener follows, and what each varies by when nothing is changed.
VARIES = {
    "f0_median_hz": 4.0,
    "duration_s": 0.01,
    "level_db": 0.5,
    "bright_db": 0.8,
    "hnr_db": 1.5,
    "voiced_share": 0.06,
}
LARGEST_SHARE = 0.6  # of the whole way in one of four steps; a straight line takes 0.25


@pytest.fixture(scope="module")
def short(clip: Audio) -> Audio:
    return Audio(clip.samples[:, : round(2.4 * clip.sample_rate)], clip.sample_rate)


@pytest.fixture(scope="module")
def short_take(engine: ParametricEngine, short: Audio) -> Speech:
    return engine.encode([short])[0]


def figures(audio: Audio) -> dict[str, float]:
    return asdict(measure(audio.mono(), audio.sample_rate)) | {"duration_s": audio.duration_s}


@pytest.mark.parametrize(("kind", "tag"), TAGS)
def test_a_quarter_more_strength_moves_no_curve_by_more_than_half_its_way(
    kind, tag, engine, take
) -> None:
    """A knob turned evenly is heard evenly; and a hair above 0 is a hair's change."""
    at = {s: engine.edit([take], [Edit(kind, tag, strength=s)])[0] for s in (*STRENGTHS, 0.01)}
    for name in LIMITS.keys() & at[1.0].codes.keys():
        curve = {s: t.codes.get(name, np.zeros_like(at[1.0].codes[name])) for s, t in at.items()}
        whole = float(np.abs(curve[1.0]).max())
        for low, high in pairwise(STRENGTHS):
            assert np.abs(curve[high] - curve[low]).max() <= 0.5 * whole, (name, low)
        assert np.abs(curve[0.01]).max() <= 0.03 * whole, name


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        ("emotion", "surprised"),
        ("emotion", "depressed"),
        ("style", "child"),
        ("style", "roar"),
        ("style", "story"),
        ("style", "whisper"),
    ],
)
def test_what_is_heard_neither_jumps_nor_turns_back(kind, tag, engine, short_take) -> None:
    edits = [Edit(kind, tag, strength=s) for s in STRENGTHS]
    takes = [engine.edit([short_take], [edit])[0] for edit in edits]
    heard = [figures(audio) for audio in engine.decode(takes)]
    for name, varies in VARIES.items():
        if tag == "whisper" and name in ("f0_median_hz", "hnr_db"):
            continue  # of a few frames of noise
        path = [one[name] for one in heard]
        way = path[-1] - path[0]
        for low, high in pairwise(path):
            assert abs(high - low) <= LARGEST_SHARE * abs(way) + varies, (name, path)
            assert (high - low) * np.sign(way) >= -varies, (name, path)


@pytest.mark.parametrize("tag", ["happy", "fear", "sad"])
def test_a_hair_of_an_edit_sounds_like_the_source(tag, engine, short, short_take) -> None:
    """It goes through the stretcher all the same, which must not be heard."""
    wet = engine.decode(engine.edit([short_take], [Edit("emotion", tag, strength=0.01)]))[0]
    before, after = figures(short), figures(wet)
    for name, varies in VARIES.items():
        assert abs(after[name] - before[name]) <= varies, name
