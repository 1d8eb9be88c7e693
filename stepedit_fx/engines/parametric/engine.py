"""The embedded engine: signal processing, no weights, any CPU.

An edit only adds to control curves; decode renders them once, from the source waveform. What no
edit touches comes out as it went in, sample for sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Literal

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import EngineSettings, check_offered
from stepedit_fx.engines.parametric.recipes import Recipe, Recipes, load_recipes
from stepedit_fx.errors import TagError
from stepedit_fx.speech import Edit, Speech

# Raised whenever the same source and edits would give other samples.
CODE_VERSION = 6
SOUNDS = (  # made by sounds.py
    "Breathing",
    "Confirmation-en",
    "Dissatisfaction-hnn",
    "Laughter",
    "Question-ei",
    "Sigh",
    "Surprise-ah",
    "Surprise-oh",
    "Surprise-wa",
    "Uhm",
)


class ParametricSettings(EngineSettings):
    """Settings of the parametric engine in a graph's ``engine:``."""

    kind: Literal["parametric"] = "parametric"
    recipes: Path | None = None  # a folder whose recipes add to or replace the shipped ones


class ParametricEngine:
    """Edits speech by pitch, time, level and spectrum."""

    kind: ClassVar[str] = "parametric"
    Settings: ClassVar[type[EngineSettings]] = ParametricSettings
    is_heavy: ClassVar[bool] = False
    segment_s: ClassVar[float] = 30.0
    batch: ClassVar[int] = 1

    def __init__(self, settings: ParametricSettings | None = None) -> None:
        folder = settings.recipes if settings else None
        self._recipes: Recipes
        self._recipes, self._recipes_hash = load_recipes(folder)

    @cached_property
    def fingerprint(self) -> str:
        """Code version, recipes, and the libraries that make the sound."""
        names = ("numpy", "pedalboard", "praat-parselmouth", "pyloudnorm", "scipy", "soxr")
        libraries = [f"{name} {version(name)}" for name in names]
        with suppress(PackageNotFoundError):  # only clone speaks with it
            libraries.append(f"espeakng-loader {version('espeakng-loader')}")
        return "; ".join([f"code {CODE_VERSION}", f"recipes {self._recipes_hash}", *libraries])

    @cached_property
    def offers(self) -> Mapping[str, Sequence[str]]:
        """Every recipe's tag, the sounds, and a sketch of clone."""
        offered: dict[str, list[str]] = {"paralinguistic": ["", *SOUNDS], "clone": [""]}
        for kind, tag in self._recipes:
            offered.setdefault(kind, []).append(tag)
        return offered

    def encode(self, takes: Sequence[Audio]) -> list[Speech]:
        """Analyse each recording: f0, level, pauses, syllables."""
        from stepedit_fx.engines.parametric import takes as work

        return [work.encode(take) for take in takes]

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Add each edit to its take's curves; a strength of 0 gives the take itself.

        Raises TagError for an edit not offered, EngineError for a text that is not the take's.
        """
        from stepedit_fx.engines.parametric import takes as work

        for edit in edits:
            check_offered(self, edit)
            if edit.kind == "clone":
                raise TagError("'clone' is no edit of a take", remedy="Call the engine's clone.")
        return [
            work.edit(take, edit, self._recipes_of(edit))
            for take, edit in zip(takes, edits, strict=True)
        ]

    def _recipes_of(self, edit: Edit) -> dict[str, Recipe]:
        """The recipe of each tag of an edit; sounds have none."""
        tags = {value for _, value in edit.values} or {edit.value}
        return {t: self._recipes[edit.kind, t] for t in tags if (edit.kind, t) in self._recipes}

    def clone(self, references: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Say each edit's text with espeak-ng, moved towards its reference: a sketch of a voice.

        Raises RequestError for a text that espeak-ng cannot say, and where it is not installed.
        """
        from stepedit_fx.engines.parametric.clone import clone

        for edit in edits:
            check_offered(self, edit)
        return [clone(take, edit) for take, edit in zip(references, edits, strict=True)]

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        """Render each take from its source; an unedited one is the source."""
        from stepedit_fx.engines.parametric import takes as work

        return [work.decode(take) for take in takes]
