"""What a tag does to a voice, as data: a number and its source for every change.

Recipes are YAML files in `recipes/`; a folder of the user's own adds to them or replaces them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stepedit_fx.errors import ReadError, did_you_mean

# change -> the kind of number it is and the range it must lie in.
#   add: 0 is neutral, scaled by the amount;  ratio: 1 is neutral, raised to the amount.
CHANGES: Mapping[str, tuple[Literal["add", "ratio"], float, float, str]] = {
    "f0_shift_st": ("add", -18, 18, "f0 up or down, semitones"),
    "f0_range": ("ratio", 0.1, 3, "f0 excursions around their median"),
    "f0_slope_st": ("add", -8, 8, "rise over each phrase, semitones"),
    "f0_end_st": ("add", -8, 8, "rise over the last 0.35 s of each phrase, semitones"),
    "rate": ("ratio", 0.3, 3, "speed of speaking"),
    "pause": ("ratio", 0.1, 4, "length of pauses inside the clip"),
    "pause_keep_s": ("add", 0.01, 2, "longer pauses are cut down to this"),
    "vowel": ("ratio", 0.5, 2, "length of syllable nuclei"),
    "phrase_end": ("ratio", 0.5, 2, "length of the last 0.25 s of each phrase"),
    "gain_db": ("add", -24, 9, "level"),
    "level_range": ("ratio", 0.2, 2.5, "level differences between syllables"),
    "attack_db": ("add", -6, 6, "emphasis on the onsets of syllables"),
    "high_db": ("add", -15, 12, "energy above 1 kHz"),
    "low_db": ("add", -18, 9, "energy below 300 Hz"),
    "formant": ("ratio", 0.7, 1.5, "formant frequencies"),
    "breath": ("add", 0, 1, "aspiration noise beside the voice"),
    "whisper": ("add", 0, 1, "share of voicing replaced by noise"),
    "denoise": ("add", 0, 1, "background noise taken away"),
    "jitter": ("add", 0, 0.05, "period-to-period irregularity"),
    "shimmer_db": ("add", 0, 2, "cycle-to-cycle level irregularity"),
    "tremor_st": ("add", 0, 1, "waver of f0 at about 6 Hz"),
}
MAX_BYTES = 64 * 1024  # a recipe is a page; anything larger is something else
LOW_VOICE_BELOW_HZ = 165.0  # between the usual medians of men and women (Titze 1989)


class PerVoice(BaseModel):
    """A change that differs for low and high voices (median f0 below or above 165 Hz)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    low: float
    high: float


class Change(BaseModel):
    """One change: by how much at strength 1, and where the direction is known from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    by: float | PerVoice
    source: Annotated[str, Field(min_length=3)]

    def value(self, median_f0_hz: float) -> float:
        if isinstance(self.by, PerVoice):
            return self.by.low if median_f0_hz < LOW_VOICE_BELOW_HZ else self.by.high
        return self.by


class Recipe(BaseModel):
    """All that one tag changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["emotion", "style", "speed", "denoise", "vad"]
    tag: str = ""
    changes: Mapping[str, Change]

    def scaled(self, amount: float, median_f0_hz: float) -> dict[str, float]:
        """Every change at this amount: 0 is neutral, 1 as written, more goes further."""
        out: dict[str, float] = {}
        for name, change in self.changes.items():
            by = change.value(median_f0_hz)
            if name == "pause_keep_s":
                out[name] = by  # a length to keep, not an amount: `apply` blends towards it
            elif CHANGES[name][0] == "ratio":
                out[name] = math.exp(amount * math.log(by))
            else:
                out[name] = amount * by
        return out


Recipes = Mapping[tuple[str, str], Recipe]


def _check_numbers(recipe: Recipe) -> str:
    """What is wrong with a recipe's numbers, in a line; empty if nothing."""
    for name, change in recipe.changes.items():
        if name not in CHANGES:
            return f"unknown change '{name}'. {did_you_mean(name, CHANGES)}"
        _, low, high, _ = CHANGES[name]
        numbers = (
            (change.by.low, change.by.high) if isinstance(change.by, PerVoice) else (change.by,)
        )
        if not all(low <= n <= high for n in numbers):
            return f"{name} must lie in {low:g}..{high:g}, got {numbers}"
    return ""


def _read(path: Path) -> Recipe:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ReadError.of(path, f"larger than a recipe may be ({MAX_BYTES} bytes)")
        recipe = Recipe.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ReadError.of(path, f"not a recipe: {where}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ReadError.of(path, f"not a readable recipe: {error}", "Write it as YAML.") from error
    wrong = _check_numbers(recipe)
    if wrong:
        raise ReadError.of(path, wrong)
    return recipe


@lru_cache(maxsize=8)
def load_recipes(folder: Path | None = None) -> tuple[Recipes, str]:
    """The shipped recipes with those of `folder` on top, and a hash of all their text.

    Raises ReadError naming the file for anything that is not a recipe.
    """
    found: dict[tuple[str, str], Recipe] = {}
    hasher = hashlib.sha256()
    for place in [Path(__file__).parent / "recipes", *([folder] if folder else [])]:
        paths = sorted(place.glob("*.yaml"))
        if not paths:
            raise ReadError.of(place, "no recipes here", "Put recipe .yaml files into it.")
        for path in paths:
            recipe = _read(path)
            found[recipe.kind, recipe.tag] = recipe
            hasher.update(recipe.model_dump_json().encode())
    return found, hasher.hexdigest()
