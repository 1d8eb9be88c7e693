"""Recipes are data that anyone may write: whatever is wrong with one is told by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stepedit_fx.engines.base import open_engine
from stepedit_fx.engines.parametric.analysis import analysis_of
from stepedit_fx.engines.parametric.apply import apply_recipe
from stepedit_fx.engines.parametric.curves import LIMITS
from stepedit_fx.engines.parametric.recipes import CHANGES, Change, Recipe, load_recipes
from stepedit_fx.errors import ReadError
from stepedit_fx.speech import Edit
from stepedit_fx.tags import KINDS

RECIPES, _ = load_recipes()
WANTED = {
    "emotion": {"happy", "sad", "angry", "fear", "surprised", "remove"},
    "style": {
        "whisper", "child", "older", "exaggerated", "generous", "act_coy", "recite", "remove",
    },
    "speed": {"faster", "slower", "more faster", "more slower"},
    "denoise": {""},
    "vad": {""},
}  # fmt: skip


def test_every_promised_tag_has_a_recipe_and_every_recipe_a_known_tag() -> None:
    for kind, tags in WANTED.items():
        assert tags <= {tag for k, tag in RECIPES if k == kind}
    assert all(not tag or tag in KINDS[kind].tags for kind, tag in RECIPES)


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_moves_a_curve_that_is_rendered(change, take) -> None:
    analysis = analysis_of(take.voice, take.place.sample_rate)
    kind, low, high, _ = CHANGES[change]
    by = 1.2 if kind == "ratio" else low if change == "pause_keep_s" else high
    recipe = Recipe(kind="style", tag="x", changes={change: Change(by=by, source="a test")})
    curves = apply_recipe(recipe, 0.5, analysis, {})
    assert set(curves) <= set(LIMITS)
    assert any(np.any(curve) for curve in curves.values())
    assert low <= by <= high


def test_a_recipe_of_ones_own_adds_a_tag_and_replaces_one(tmp_path: Path, take) -> None:
    (tmp_path / "bored.yaml").write_text(
        "kind: emotion\ntag: bored\nchanges:\n  f0_range: {by: 0.5, source: my ear}\n"
    )
    (tmp_path / "happy.yaml").write_text(
        "kind: emotion\ntag: happy\nchanges:\n  rate: {by: 2.0, source: my ear}\n"
    )
    own = open_engine("parametric", recipes=tmp_path)
    assert "bored" in own.offers["emotion"]
    assert own.fingerprint != open_engine("parametric").fingerprint
    happy = own.decode(own.edit([take], [Edit("emotion", "happy")]))[0]
    # Phrases at twice the speed; the pauses between and around them as they were.
    assert 0.5 < happy.frames / take.place.frames < 0.75


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: emotion\ntag: x\nchanges: {f0_rnge: {by: 1, source: abc}}", "f0_range"),
        ("kind: emotion\ntag: x\nchanges: {rate: {by: 9, source: abc}}", "0.3..3"),
        ("kind: emotion\ntag: x\nchanges: {rate: {by: 1}}", "source"),
        ("kind: mood\ntag: x\nchanges: {}", "kind"),
        ("- a list", "recipe"),
        ("kind: emotion\ntag: 2024-13-45", "readable"),
        ("kind: [", "readable"),
        ("!!python/object/apply:os.system [true]", "readable"),
        ("kind: emotion\ntag: " + "x" * 70000, "larger"),
    ],
)
def test_a_recipe_that_is_wrong_is_named_with_what_is_wrong(text, told, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ReadError, match=rf"odd\.yaml.*{told}"):
        open_engine("parametric", recipes=tmp_path)


def test_a_folder_without_recipes_is_told() -> None:
    with pytest.raises(ReadError, match="no recipes"):
        open_engine("parametric", recipes=Path(__file__).parent)


def test_the_documentation_has_the_recipes_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run `python docs/write_recipes.py` after a change of a recipe."""
    docs = Path(__file__).parents[3] / "docs"
    monkeypatch.syspath_prepend(docs)
    from write_recipes import START, markdown

    assert (docs / "parametric.md").read_text(encoding="utf-8").partition(START)[2].strip() == (
        markdown().strip()
    )
