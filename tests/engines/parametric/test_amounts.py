"""Edits that change over time on the embedded engine: amounts frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.analysis import analysis_of
from stepedit_fx.engines.parametric.apply import amounts_of, apply_recipe, shares_of
from stepedit_fx.engines.parametric.recipes import load_recipes
from stepedit_fx.speech import Edit, Speech

RECIPES = load_recipes()[0]
SOME = [
    ("emotion", "happy"),
    ("emotion", "sad"),
    ("style", "whisper"),
    ("speed", "faster"),
    ("vad", ""),
]


@pytest.mark.parametrize(("kind", "tag"), sorted(RECIPES), ids=lambda x: str(x))
def test_a_steady_amount_is_one_number(kind: str, tag: str, take: Speech) -> None:
    """Keyframes that stand still give what the plain strength gives, bit for bit."""
    analysis = analysis_of(take.voice, take.place.sample_rate)
    amounts = np.full(analysis.frames, 0.6)
    one, other = (apply_recipe(RECIPES[kind, tag], a, analysis, {}) for a in (0.6, amounts))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("kind", "tag"), SOME)
@pytest.mark.parametrize("start_s", [1.0, 2.2, 3.05])
def test_before_it_begins_it_is_the_recording(
    kind: str, tag: str, start_s: float, clip: Audio, render: Any
) -> None:
    """ "From here on": every sample up to there is the recording's own."""
    edit = Edit(kind, tag, strengths=((start_s, 0.0), (start_s + 1, 1.0)))
    made, end = render(edit), round(start_s * clip.sample_rate)
    assert np.array_equal(made.samples[:, :end], clip.samples[:, :end])
    assert made.digest != clip.digest


@pytest.mark.parametrize(("kind", "tag"), SOME)
def test_after_it_ends_it_is_the_recording(kind: str, tag: str, clip: Audio, render: Any) -> None:
    """As before it begins, at whatever time the rest is heard now."""
    made = render(Edit(kind, tag, strengths=((1.5, 1.0), (2.0, 0.0))))
    count = clip.frames - round(2.05 * clip.sample_rate)
    assert np.array_equal(made.samples[:, -count:], clip.samples[:, -count:])


def test_it_grows_as_drawn(take: Speech) -> None:
    """Half-way up the line there is half of it."""
    analysis = analysis_of(take.voice, take.place.sample_rate)
    edit = Edit("emotion", "happy", strengths=((0.0, 0.0), (4.0, 1.0)))
    curves = apply_recipe(
        RECIPES["style", "child"], amounts_of(edit, analysis.frames), analysis, {}
    )
    whole = apply_recipe(RECIPES["style", "child"], 1.0, analysis, {})
    half = curves["formant_ln"][200] / whole["formant_ln"][200]
    assert half == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.diff(curves["formant_ln"])).max() < 0.01


def test_tags_take_turns(take: Speech) -> None:
    """One tag fades into the next around its keyframe; together they are always the whole."""
    edit = Edit("emotion", "happy", values=((0.0, "happy"), (2.0, "sad"), (4.0, "happy")))
    shares = shares_of(edit, 600)
    assert set(shares) == {"happy", "sad"}
    assert np.allclose(shares["happy"] + shares["sad"], 1.0)
    assert shares["happy"][100] == shares["happy"][500] == shares["sad"][300] == 1.0
    assert 0.4 < shares["sad"][200] < 0.6
    assert np.abs(np.diff(shares["sad"])).max() < 0.2


def test_sounds_come_where_there_is_strength(take: Speech, render: Any, clip: Audio) -> None:
    """A fader that is down where the sigh stands leaves it out."""
    text = "Good morning, [Sigh] and welcome back. [Breathing] I was not sure you would come."
    none = Edit("paralinguistic", text=text, strengths=((0.0, 0.0), (6.0, 0.0), (6.1, 1.0)))
    assert render(none).frames == clip.frames
    some = Edit("paralinguistic", text=text, strengths=((1.9, 0.0), (2.0, 1.0)))
    made = render(some)
    assert np.array_equal(made.samples[:, :24000], clip.samples[:, :24000])
    assert made.digest != clip.digest
