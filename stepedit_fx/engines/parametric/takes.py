"""The three things done to a take: taken in, changed, rendered.

Apart from engine.py because all of it needs signal processing libraries, which take a second to
load and are not needed to check a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from stepedit_fx.audio import Audio, Samples, TimeMap
from stepedit_fx.engines.parametric.analysis import Analysis, analyse, analysis_of
from stepedit_fx.engines.parametric.apply import amounts_of, apply_recipe, shares_of
from stepedit_fx.engines.parametric.curves import LIMITS, Curve, limited
from stepedit_fx.engines.parametric.layout import Insert, borrowed, lay_out, time_map
from stepedit_fx.engines.parametric.recipes import Recipe
from stepedit_fx.engines.parametric.render import Renderer
from stepedit_fx.engines.parametric.sounds import MAKERS, ROOM_S, make_sound, place_sound
from stepedit_fx.errors import EngineError
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import FRAME_S
from stepedit_fx.speech import Edit, Place, Speech, Transcript
from stepedit_fx.tags import Sound, is_about_loudness, parse_sounds, split_words
from stepedit_fx.timeline import inverse, moved

MOST_EVENED_DB = 12.0
SAME_WORDS = 0.5  # below this likeness a text is not this recording's


def encode(take: Audio) -> Speech:
    """Analyse a recording. Codes start empty: nothing is asked for yet."""
    return Speech(
        codes={},
        voice=analyse(take),
        place=Place(take.sample_rate, take.channels, take.frames, take.start_s),
        transcript=take.transcript,
    )


def edit(take: Speech, edit: Edit, recipes: Mapping[str, Recipe]) -> Speech:
    """Add an edit to a take's codes: by its tags' recipes, or sounds where it has none.

    Raises EngineError for a text that is not the take's, or has no sound in it.
    """
    if edit.strength == 0:
        return take
    analysis = analysis_of(take.voice, take.place.sample_rate)
    codes = dict(take.codes)
    if not recipes:
        added = _place_sounds(take, edit, analysis)
        codes["sounds"] = np.concatenate([codes.get("sounds", np.zeros((0, 4))), added])
    else:
        curves: Mapping[str, Curve] = {n: codes[n] for n in LIMITS if n in codes}
        amounts = amounts_of(edit, analysis.frames)
        for value, share in shares_of(edit, analysis.frames).items():
            curves = apply_recipe(recipes[value], amounts * share, analysis, curves)
        codes |= curves
        touched = codes.get("touched", np.zeros(analysis.frames, np.bool_))
        codes["touched"] = touched | (amounts > 0)
        if not amounts.all() and not any(is_about_loudness(edit.kind, v) for v in recipes):
            even = codes.get("even", np.zeros(analysis.frames))
            codes["even"] = np.minimum(even + amounts, 1.0)
    # One seed for the whole take: that of all its edits so far, in order.
    before = int(codes["seed"][0]) if "seed" in codes else 0
    codes["seed"] = np.array([(before * 1000003 + edit.seed + 1) % 2**31], np.int64)
    return replace(take, codes=codes)


def decode(take: Speech) -> Audio:
    """Render a take from its source; an unedited one is the source.

    A locked one keeps its time: no edit of it stretches, and sounds borrow the room they need.
    """
    rate = take.place.sample_rate
    analysis = analysis_of(take.voice, rate)
    curves = {n: take.codes[n] for n in LIMITS if n in take.codes}
    inserts = _inserts(take, analysis, curves)
    if take.place.is_locked:
        curves["stretch_ln"] = borrowed(analysis, inserts)
    if not inserts and not any(np.any(curve) for curve in curves.values()):
        return Audio(analysis.samples, rate, take.place.start_s, take.transcript)
    pieces = lay_out(analysis, curves, inserts, _edges(take))
    seed = int(take.codes["seed"][0])
    samples = Renderer.of(analysis, curves, seed).render(pieces)
    moves = time_map(pieces, curves, analysis)
    if "even" in take.codes:
        samples = _evened(samples, analysis, take.codes["even"], moves)
    words = moved(take.transcript, moves)
    return Audio(samples, rate, take.place.start_s, words, time_map=moves)


def _evened(samples: Samples, analysis: Analysis, amounts: np.ndarray, moves: TimeMap) -> Samples:
    """Output samples with what was edited as loud as it was, where only a part was edited.

    amounts: how much of it is an edit that is not about loudness, per frame of the source; the
    gain goes with it, so that what is left alone keeps its level. One gain for the whole, as
    decode makes it of a take that is edited throughout, would move that too.
    """
    rate = analysis.rate
    frames = np.arange(len(amounts))
    hop = rate * FRAME_S
    before = np.interp(np.arange(analysis.samples.shape[1]) / hop, frames, amounts)
    source_s = np.arange(samples.shape[1]) / rate
    if moves:
        here, there = np.array(inverse(moves)).T
        source_s = np.interp(source_s, here, there)
    after = np.interp(source_s / FRAME_S, frames, amounts)
    was = loudness_lufs(analysis.samples[:, before > 0], rate)
    now = loudness_lufs(samples[:, after > 0], rate)
    if not np.isfinite(was - now):
        return samples
    gain_db = (was - now) / float(after[after > 0].mean())
    gain_db = float(np.clip(gain_db, -MOST_EVENED_DB, MOST_EVENED_DB))
    gain: Samples = np.power(10, gain_db * after / 20).astype(np.float32)
    return samples * gain


def _edges(take: Speech) -> list[int]:
    """Frames between what some edit changes and what none does, on the side of the changed."""
    touched = take.codes.get("touched", np.zeros(0, np.bool_)).astype(np.int8)
    turns = np.diff(touched)
    # Where frame k is the first or last that is changed, and curves are straight between frames,
    # a piece that keeps off k by two, seam and all, is the source to the sample.
    return [*(np.flatnonzero(turns > 0) - 1), *(np.flatnonzero(turns < 0) + 2)]


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
        strength = _strength_at(edit, frame * FRAME_S)
        if strength > 0:
            rows.append((sorted(MAKERS).index(sound.tag), frame, strength, edit.seed + n))
    return np.array(rows, np.float64).reshape(-1, 4)


def _strength_at(edit: Edit, second: float) -> float:
    if not edit.strengths:
        return edit.strength
    times, strengths = zip(*edit.strengths, strict=True)
    return float(np.interp(second, times, strengths))


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
    pitch_st = float(np.median(limited(curves, "pitch_st", analysis.frames)))
    for which, frame, strength, seed in take.codes.get("sounds", ()):
        samples = make_sound(names[int(which)], analysis, float(strength), pitch_st, int(seed))
        out.append(Insert(int(frame), samples, round(ROOM_S * analysis.rate)))
    return out
