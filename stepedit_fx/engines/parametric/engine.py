"""The embedded engine: signal processing, no weights, any CPU.

An edit only adds to control curves; decode renders them once, from the source waveform. What no
edit touches comes out as it went in, sample for sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import EngineSettings, check_offered
from stepedit_fx.engines.parametric.analysis import Analysis, analyse, analysis_of
from stepedit_fx.engines.parametric.apply import amount_of, apply_recipe
from stepedit_fx.engines.parametric.curves import LIMITS, Curve
from stepedit_fx.engines.parametric.layout import Insert, Piece, lay_out, map_time
from stepedit_fx.engines.parametric.recipes import Recipes, load_recipes
from stepedit_fx.engines.parametric.render import Renderer
from stepedit_fx.engines.parametric.sounds import MAKERS, ROOM_S, make_sound, place_sound
from stepedit_fx.errors import EngineError
from stepedit_fx.speech import Edit, Place, Speech, Transcript, Word
from stepedit_fx.tags import Sound, parse_sounds, split_words

# Raised whenever the same source and edits would give other samples.
CODE_VERSION = 1
SAME_WORDS = 0.5  # below this likeness a text is not this recording's


class ParametricSettings(EngineSettings):
    """Settings of the parametric engine in a graph's ``engine:``."""

    kind: Literal["parametric"] = "parametric"
    recipes: Path | None = None  # a folder whose recipes add to or replace the shipped ones


class ParametricEngine:
    """Edits speech by pitch, time, level and spectrum."""

    kind: ClassVar[str] = "parametric"
    Settings: ClassVar[type[EngineSettings]] = ParametricSettings

    def __init__(self, settings: ParametricSettings | None = None) -> None:
        folder = settings.recipes if settings else None
        self._recipes: Recipes
        self._recipes, self._recipes_hash = load_recipes(folder)

    @cached_property
    def fingerprint(self) -> str:
        """Code version, recipes, and the libraries that make the sound."""
        libraries = (f"{name} {version(name)}" for name in ("pedalboard", "praat-parselmouth"))
        return "; ".join([f"code {CODE_VERSION}", f"recipes {self._recipes_hash}", *libraries])

    @cached_property
    def offers(self) -> Mapping[str, Sequence[str]]:
        offered: dict[str, list[str]] = {"paralinguistic": ["", *MAKERS]}
        for kind, tag in self._recipes:
            offered.setdefault(kind, []).append(tag)
        return offered

    def encode(self, takes: Sequence[Audio]) -> list[Speech]:
        """Analyse each recording. Codes start empty: nothing is asked for yet."""
        return [
            Speech(
                codes={},
                voice=analyse(take),
                place=Place(take.sample_rate, take.channels, take.frames, take.start_s),
                transcript=take.transcript,
            )
            for take in takes
        ]

    def edit(self, takes: Sequence[Speech], edits: Sequence[Edit]) -> list[Speech]:
        """Add each edit to its take's curves; a strength of 0 gives the take itself.

        Raises TagError for an edit not offered, EngineError for a text that is not the take's.
        """
        return [self._edit(take, edit) for take, edit in zip(takes, edits, strict=True)]

    def _edit(self, take: Speech, edit: Edit) -> Speech:
        check_offered(self, edit)
        if edit.strength == 0:
            return take
        analysis = analysis_of(take.voice, take.place.sample_rate)
        codes = dict(take.codes)
        if edit.kind == "paralinguistic":
            added = _place_sounds(take, edit, analysis)
            codes["sounds"] = np.concatenate([codes.get("sounds", np.zeros((0, 4))), added])
        else:
            curves: Mapping[str, Curve] = {n: codes[n] for n in LIMITS if n in codes}
            amount = amount_of(edit.strength, edit.iterations)
            codes |= apply_recipe(self._recipes[edit.kind, edit.value], amount, analysis, curves)
        # One seed for the whole take: that of all its edits so far, in order.
        before = int(codes["seed"][0]) if "seed" in codes else 0
        codes["seed"] = np.array([(before * 1000003 + edit.seed + 1) % 2**31], np.int64)
        return replace(take, codes=codes)

    def clone(self, references: Sequence[Speech], texts: Sequence[str]) -> list[Speech]:
        """Not offered: new words need a model."""
        raise EngineError(
            "the parametric engine cannot say new words",
            remedy="Use an engine that offers 'clone'.",
        )

    def decode(self, takes: Sequence[Speech]) -> list[Audio]:
        """Render each take from its source; an unedited one is the source."""
        return [self._decode(take) for take in takes]

    def _decode(self, take: Speech) -> Audio:
        rate = take.place.sample_rate
        analysis = analysis_of(take.voice, rate)
        curves = {n: take.codes[n] for n in LIMITS if n in take.codes}
        inserts = _inserts(take, analysis, curves)
        if not inserts and not any(np.any(curve) for curve in curves.values()):
            return Audio(analysis.samples, rate, take.place.start_s, take.transcript)
        pieces = lay_out(analysis, curves, inserts)
        seed = int(take.codes["seed"][0])
        samples = Renderer.of(analysis, curves, seed).render(pieces)
        words = _moved(take.transcript, pieces, analysis)
        return Audio(samples, rate, take.place.start_s, words)


def _place_sounds(take: Speech, edit: Edit, analysis: Analysis) -> np.ndarray:
    """Rows of (sound, frame, strength, seed) for the tags in an edit's text."""
    text, sounds = parse_sounds(edit.text)
    if not sounds:
        raise EngineError(
            f"the text {edit.text!r} has no sound in it",
            remedy=f"Put one of {', '.join(f'[{t}]' for t in sorted(MAKERS))} where it belongs.",
        )
    rows = []
    for n, sound in enumerate(sounds):
        there = _in_transcript(sound, text, take.transcript)
        starts = [word.start_s for word in take.transcript.words]
        frame = place_sound(there, take.transcript.text or text, analysis, starts)
        rows.append((sorted(MAKERS).index(sound.tag), frame, edit.strength, edit.seed + n))
    return np.array(rows, np.float64)


def _in_transcript(sound: Sound, text: str, transcript: Transcript) -> Sound:
    """The sound counted in the transcript's words, which may differ a little from the edit's."""
    if not transcript or not text:
        return sound
    said, wanted = split_words(transcript.text.lower()), split_words(text.lower())
    matcher = SequenceMatcher(None, wanted, said, autojunk=False)
    if matcher.ratio() < SAME_WORDS:
        raise EngineError(
            f"the text {text!r} is not what the recording says ({transcript.text!r})",
            remedy="Take the words from its transcript and add only the tags.",
        )
    at = sound.before_word
    if at >= len(wanted):
        return replace(sound, before_word=len(said))
    before = [b for b in matcher.get_matching_blocks() if b.a <= at]
    block = before[-1] if before else matcher.get_matching_blocks()[0]
    return replace(sound, before_word=max(0, min(len(said), block.b + at - block.a)))


def _inserts(take: Speech, analysis: Analysis, curves: Mapping[str, Curve]) -> list[Insert]:
    """The sounds of a take, made. Pitch follows the voice as edited."""
    out = []
    names = sorted(MAKERS)
    pitch_st = float(np.median(curves["pitch_st"])) if "pitch_st" in curves else 0.0
    for which, frame, strength, seed in take.codes.get("sounds", ()):
        samples = make_sound(names[int(which)], analysis, float(strength), pitch_st, int(seed))
        out.append(Insert(int(frame), samples, round(ROOM_S * analysis.rate)))
    return out


def _moved(transcript: Transcript, pieces: Sequence[Piece], analysis: Analysis) -> Transcript:
    """The transcript with its word times where the words are now."""
    words = tuple(
        Word(w.text, map_time(pieces, analysis, w.start_s), map_time(pieces, analysis, w.end_s))
        for w in transcript.words
    )
    return replace(transcript, words=words)
