"""From a recipe's changes to control curves: what each change means over the clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import median_filter, minimum_filter1d

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, limited, smooth
from stepedit_fx.engines.parametric.recipes import CHANGES, Recipe
from stepedit_fx.measures import FRAME_S, Spans, Track
from stepedit_fx.speech import Edit

END_S = 0.35  # a final rise or fall sits on about the last foot
LENGTHENED_END_S = 0.25  # phrase-final lengthening reaches about one syllable back
NUCLEUS_S = 0.06  # half of a typical vowel
RAMP_S = 0.05  # no curve moves faster than articulators do
ATTACK_DB_PER_FRAME = 2.0  # a level rise this steep counts as a full onset
MAX_RANGE_SHIFT_ST = 7.0  # range scaling moves no frame further: an octave error stays small
TAG_FADE_S = 0.08  # one tag fades into the next over this; about half a syllable
CLEAR_FRAMES = 3  # between what an edit leaves alone and what it changes, room for the seam


def amount_of(strength: float, iterations: int) -> float:
    """How far a recipe is taken: each further pass adds 0.6 of the one before.

    Passes of the published model deepen an edit less and less; the factor is a design choice.
    """
    return strength * sum(0.6**n for n in range(iterations))


def amounts_of(edit: Edit, frames: int) -> Track:
    """How far an edit's recipe is taken at each frame, (frames,)."""
    full = amount_of(1.0, edit.iterations)
    if not edit.strengths:
        return np.full(frames, full * edit.strength)
    times, strengths = zip(*edit.strengths, strict=True)
    line = np.interp(np.arange(frames) * FRAME_S, times, strengths)
    # What is nothing stays nothing to its very end: the seam to what is edited lies beyond it.
    return minimum_filter1d(full * line, 2 * CLEAR_FRAMES + 1, mode="nearest")


def shares_of(edit: Edit, frames: int) -> Mapping[str, Track]:
    """How much of an edit each of its tags is at each frame: 1 in all, one fading into the next."""
    if not edit.values:
        return {edit.value: np.ones(frames)}
    seconds = np.arange(frames) * FRAME_S
    half = TAG_FADE_S / 2
    taken = [
        np.clip((seconds - at + half) / TAG_FADE_S, 0, 1) if n else np.ones(frames)
        for n, (at, _) in enumerate(edit.values)
    ]
    left = np.ones(frames)
    found: dict[str, Track] = {}
    for (_, value), mine in zip(reversed(edit.values), reversed(taken), strict=True):
        found[value] = found.get(value, np.zeros(frames)) + left * mine
        left = left * (1 - mine)
    return found


def apply_recipe(
    recipe: Recipe, amount: float | Track, analysis: Analysis, curves: Mapping[str, Curve]
) -> dict[str, Curve]:
    """The curves with a recipe's changes added; what is at amount 0 stays as it is.

    amount: throughout, or at each frame, (frames,): 1 is what the recipe says.
    """
    out = dict(curves)
    amounts = np.broadcast_to(np.asarray(amount, np.float64), analysis.frames)
    if analysis.frames < 2 or not amounts.any():  # nothing to do it to, or nothing to do
        return out
    painter = _Painter(analysis, amounts, out)
    for name, by in recipe.scaled(1.0, analysis.median_f0_hz).items():
        painter.paint(name, by)
    return out


class _Painter:
    """Adds changes to curves, everywhere by as much as the amount there says.

    A shape is made first and the amount comes to it last, so that what is not to be changed is
    not touched by what stands beside it. One method per change that is more than a constant.
    """

    # Changes that simply hold over the whole clip, and the curve that they hold on.
    CONSTANT: Mapping[str, str] = {
        "f0_shift_st": "pitch_st",
        "gain_db": "gain_db",
        "high_db": "high_db",
        "low_db": "low_db",
        "breath": "breath",
        "whisper": "whisper",
        "denoise": "denoise",
        "jitter": "jitter",
        "shimmer_db": "shimmer_db",
        "tremor_st": "tremor_st",
    }

    def __init__(self, analysis: Analysis, amounts: Track, curves: dict[str, Curve]) -> None:
        self.analysis = analysis
        self.amounts = amounts
        self.curves = curves
        # By the change's own number where it adds, by its logarithm where it is a ratio.
        self.shaped: Mapping[str, Callable[[Track], tuple[str, Track]]] = {
            "f0_range": self.f0_range,
            "f0_slope_st": self.f0_slope,
            "f0_end_st": self.f0_end,
            "rate": lambda ln: ("stretch_ln", -ln * self.inside(self.analysis.phrases)),
            "pause": lambda ln: ("stretch_ln", ln * self.inside(self.analysis.inner_pauses)),
            "vowel": self.vowel,
            "phrase_end": self.phrase_end,
            "level_range": self.level_range,
            "attack_db": self.attack,
            "formant": lambda ln: ("formant_ln", ln),
        }

    def paint(self, change: str, by: float) -> None:
        if change == "pause_keep_s":  # a length to keep, which is no more at a larger amount
            self.add(*self.pause_keep(by))
            return
        is_ratio = CHANGES[change][0] == "ratio"
        there = self.amounts * (np.log(by) if is_ratio else by)
        if change in self.CONSTANT:
            self.add(self.CONSTANT[change], there)
        else:
            self.add(*self.shaped[change](there))

    def add(self, curve: str, values: Track) -> None:
        before = self.curves.get(curve, np.zeros(self.analysis.frames, np.float32))
        self.curves[curve] = (before + values).astype(np.float32)

    def inside(self, spans: Spans) -> Track:
        """1 inside the spans, 0 outside."""
        out = np.zeros(self.analysis.frames)
        for first, end in spans:
            out[first:end] = 1.0
        return out

    def f0_range(self, ln: Track) -> tuple[str, Track]:
        """Excursions of the contour as edited so far, scaled around its median."""
        contour = intonation(self.analysis) + limited(
            self.curves, "pitch_st", self.analysis.frames
        ).astype(np.float64)
        voiced = self.analysis.f0 > 0
        middle = np.median(contour[voiced]) if voiced.any() else 0.0
        moved = np.expm1(ln) * (contour - middle)
        return "pitch_st", np.clip(moved, -MAX_RANGE_SHIFT_ST, MAX_RANGE_SHIFT_ST)

    def f0_slope(self, by: Track) -> tuple[str, Track]:
        out = np.zeros(self.analysis.frames)
        for first, end in self.analysis.phrases:
            out[first:end] = np.linspace(-0.5, 0.5, end - first)
        return "pitch_st", by * smooth(out, round(RAMP_S / FRAME_S))

    def f0_end(self, by: Track) -> tuple[str, Track]:
        out = np.zeros(self.analysis.frames)
        for first, end in self.analysis.phrases:
            length = min(end - first, round(END_S / FRAME_S))
            rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, length + 1) / length)
            out[end - length : end] = rise
        return "pitch_st", by * smooth(out, round(RAMP_S / FRAME_S))

    def pause_keep(self, keep_s: float) -> tuple[str, Track]:
        """Every pause, head and tail too, blended by the amount towards at most keep_s."""
        out = np.zeros(self.analysis.frames)
        so_far = np.exp(limited(self.curves, "stretch_ln", self.analysis.frames))
        for first, end in self.analysis.pauses:
            # Of a pause that is to be edited in part, that part alone gives.
            here = first + np.flatnonzero(self.amounts[first:end])
            if len(here) == 0:
                continue
            share = min(float(self.amounts[here].mean()), 1.0)
            length_s = float(so_far[here].sum()) * FRAME_S
            kept_s = max(keep_s - float(so_far[first:end].sum()) * FRAME_S + length_s, FRAME_S)
            target_s = (1 - share) * length_s + share * min(length_s, kept_s)
            out[here] = np.log(target_s / length_s)
        return "stretch_ln", out

    def vowel(self, ln: Track) -> tuple[str, Track]:
        half = round(NUCLEUS_S / FRAME_S)
        spans = tuple((max(0, n - half), n + half + 1) for n in self.analysis.nuclei)
        return "stretch_ln", ln * smooth(self.inside(spans), half)

    def phrase_end(self, ln: Track) -> tuple[str, Track]:
        length = round(LENGTHENED_END_S / FRAME_S)
        ends = tuple((max(a, b - length), b) for a, b in self.analysis.phrases)
        return "stretch_ln", ln * self.inside(ends)

    def level_range(self, ln: Track) -> tuple[str, Track]:
        """Level differences around the mean of the speech, slow enough to keep consonants."""
        slow = smooth(self.analysis.level_db, 15)
        speech = self.inside(self.analysis.phrases) > 0
        middle = slow[speech].mean() if speech.any() else 0.0
        away = np.where(speech, np.clip(slow - middle, -12, 12), 0.0)
        return "gain_db", np.expm1(ln) * smooth(away, 8)

    def attack(self, by: Track) -> tuple[str, Track]:
        rise = np.gradient(smooth(self.analysis.level_db, 3))
        onset = np.clip(rise / ATTACK_DB_PER_FRAME, 0, 1)
        speech = smooth(self.inside(self.analysis.phrases), 5)
        return "gain_db", by * smooth(onset, 6) * speech


def intonation(analysis: Analysis) -> Track:
    """The f0 contour in semitones re its median, bridged over unvoiced frames, smoothed."""
    voiced = np.flatnonzero(analysis.f0 > 0)
    if len(voiced) == 0:
        return np.zeros(analysis.frames)
    contour = 12 * np.log2(analysis.f0[voiced] / analysis.median_f0_hz)
    contour = median_filter(contour, size=5, mode="nearest")
    return smooth(np.interp(np.arange(analysis.frames), voiced, contour), 7)
