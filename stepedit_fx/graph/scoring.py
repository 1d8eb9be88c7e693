"""How good a take is: what an editor would listen for, in figures from 0 (bad) to 1 (as wanted).

Weights and limits are design choices; each part is a figure that a person can check.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.ndimage import uniform_filter1d

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.apply import amount_of
from stepedit_fx.engines.parametric.recipes import load_recipes
from stepedit_fx.errors import RequestError
from stepedit_fx.inspection import findings
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import Measures, measure
from stepedit_fx.speech import Edit
from stepedit_fx.tags import is_about_loudness, split_words

logger = logging.getLogger(__name__)

# Raised when the same take would be scored otherwise.
VERSION = 1
WEIGHTS: Mapping[str, float] = {
    "words": 4.0,
    "change": 2.0,
    "length": 1.0,
    "loudness": 1.0,
    "clicks": 3.0,
    "clipping": 2.0,
}
LOUDNESS_LU = 6.0  # off by this much is as bad as it gets
CLICK_TIMES = 1.25  # the sharpest step against the source's: up to this nobody hears one
LEAST_ST, LEAST_RATE_LN = 0.5, 0.1  # changes that a tag is about; less is by the way
# A recognizer that misses this much of the source itself says nothing of what became of it.
DEAF_SHARE = 0.5
LONGEST_HEARD_S = 300.0  # recognition takes a third of the length
# What takes the voice away, so that nobody can tell words or pitch by it.
UNVOICES = ("whisper", "murmur", "roar")
ADDS_TIME = ("vad", "paralinguistic", "clone")  # how long these come out, nobody can know


@dataclass(frozen=True)
class Score:
    """total: the weighted mean of the parts, 0 to 1. parts: by name; one that cannot be known is
    not there. missing: words that were understood before and are not any more; None where nobody
    listened.
    """

    total: float
    parts: dict[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] | None = None


class Judge:
    """Scores results that were made of one source by some edits."""

    def __init__(self, source: Audio, edits: Sequence[Edit]) -> None:
        self.source = source
        self.edits = edits
        self.kinds = {edit.kind for edit in edits}
        self.is_unvoiced = any(edit.value in UNVOICES for edit in edits)
        self.wanted = _wanted(edits, self._measures.f0_median_hz)

    def score(self, result: Audio) -> Score:
        """How good a result is."""
        parts: dict[str, float] = dict(self._sound(result))
        if (change := self._change(result)) is not None:
            parts["change"] = change
        missing = self._missing(result)
        if missing is not None:
            parts["words"] = 1 - min(len(missing) / max(self._said[0], 1), 1.0)
        weight = sum(WEIGHTS[name] for name in parts)
        total = sum(WEIGHTS[name] * value for name, value in parts.items()) / weight
        rounded = {name: round(value, 4) for name, value in parts.items()}
        return Score(round(total, 4), rounded, missing)

    def _sound(self, result: Audio) -> Iterator[tuple[str, float]]:
        source = self.source
        if not self.kinds & set(ADDS_TIME) and min(source.duration_s, result.duration_s) > 0:
            wanted_s = source.duration_s / math.exp(self.wanted.get("rate", 0.0))
            off = abs(math.log(result.duration_s / wanted_s)) / math.log(2)
            yield "length", 1 - min(off, 1.0)
        if not any(is_about_loudness(edit.kind, edit.value) for edit in self.edits):
            before = loudness_lufs(source.samples, source.sample_rate)
            after = loudness_lufs(result.samples, result.sample_rate)
            if math.isfinite(before) and math.isfinite(after):
                yield "loudness", 1 - min(abs(after - before) / LOUDNESS_LU, 1.0)
        times = sharpest_step(result) / max(self._sharpest, 1e-9)
        yield "clicks", 1 - min(max(times / CLICK_TIMES - 1, 0.0), 1.0)
        clips = "clipped" in {found.code for found in findings(result)}
        yield "clipping", float(not clips or "clipped" in self._found)

    def _change(self, result: Audio) -> float | None:
        """How much of the wanted change of pitch and pace there is; None where none is wanted."""
        before, after = self._measures, measure(result.mono(), result.sample_rate)
        shares = []
        for name, old, new, least in (
            ("f0", before.f0_median_hz, after.f0_median_hz, LEAST_ST * math.log(2) / 12),
            ("rate", before.syllables_per_s, after.syllables_per_s, LEAST_RATE_LN),
        ):
            wanted = self.wanted.get(name, 0.0)
            if name == "f0" and self.is_unvoiced:
                continue
            if abs(wanted) < least or not (old > 0 and new > 0):
                continue
            shares.append(_as_wanted(math.log(new / old) / wanted))
        return sum(shares) / len(shares) if shares else None

    def _missing(self, result: Audio) -> tuple[str, ...] | None:
        """Words that were understood in the source and are not in the result."""
        words, lost = self._said
        found = _lost(self._text, result) if words else None
        return None if found is None else tuple((found[1] - lost).elements())

    @cached_property
    def _text(self) -> str:
        clones = [edit.text for edit in self.edits if edit.kind == "clone"]
        return clones[-1] if clones else self.source.transcript.text

    @cached_property
    def _said(self) -> tuple[int, Counter[str]]:
        """How many words there are (0: nobody can say), and those not understood even before."""
        language = self.source.transcript.language
        if not self._text or self.is_unvoiced or language not in ("", "en"):
            return 0, Counter()
        if "clone" in self.kinds:
            return len(split_words(self._text)), Counter()
        found = _lost(self._text, self.source)
        if found is None or found[1].total() > DEAF_SHARE * found[0]:
            return 0, Counter()
        return found

    @cached_property
    def _measures(self) -> Measures:
        return measure(self.source.mono(), self.source.sample_rate)

    @cached_property
    def _sharpest(self) -> float:
        return sharpest_step(self.source)

    @cached_property
    def _found(self) -> set[str]:
        return {found.code for found in findings(self.source)}


def sharpest_step(audio: Audio) -> float:
    """The largest step between samples against the usual ones near it and in all the clip.

    A brighter or louder voice has larger steps everywhere near; a click stands alone.
    """
    if audio.frames < 2:
        return 0.0
    step = np.abs(np.diff(audio.mono().astype(np.float64)))
    near = uniform_filter1d(np.square(step), max(round(0.02 * audio.sample_rate), 1))
    usual = np.sqrt(np.maximum(near, 0)) + 0.5 * np.sqrt(np.mean(np.square(step)))
    return float((step / np.maximum(usual, 1e-12)).max())


def _wanted(edits: Sequence[Edit], f0_hz: float) -> dict[str, float]:
    """What the tags are to do: the ratios of f0 and of the rate, as natural logarithms.

    Directions and amounts are those of the shipped recipes, which cite where they are from; a
    model that goes as far or up to twice as far is as good.
    """
    recipes, _ = load_recipes()
    wanted: dict[str, float] = {}
    for edit in edits:
        recipe = recipes.get((edit.kind, edit.value))
        if recipe is None:
            continue
        amount = amount_of(_mean_strength(edit), edit.iterations)
        changes = recipe.scaled(amount, f0_hz if f0_hz > 0 else 120.0)
        wanted["f0"] = wanted.get("f0", 0.0) + changes.get("f0_shift_st", 0.0) * math.log(2) / 12
        wanted["rate"] = wanted.get("rate", 0.0) + math.log(changes.get("rate", 1.0))
    return wanted


def _mean_strength(edit: Edit) -> float:
    if not edit.strengths:
        return edit.strength
    return float(np.mean([strength for _, strength in edit.strengths]))


def _as_wanted(share: float) -> float:
    """1 for as much as is wanted and up to twice that, 0 for none, and for four times as much."""
    return max(0.0, min(share, 1.0, (4 - share) / 2))


def _lost(text: str, audio: Audio) -> tuple[int, Counter[str]] | None:
    """How many words a text has, and those not understood in a sound; None: nobody can listen."""
    if audio.duration_s > LONGEST_HEARD_S:
        return None
    from stepedit_fx.transcripts.recognition import words_lost

    try:
        return words_lost(text, audio)
    except RequestError as error:  # pocketsphinx is an extra
        logger.debug("takes are scored without their words: %s", error)
        return None
