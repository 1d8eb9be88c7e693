"""From a recipe's changes to control curves: what each change means over the clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import median_filter

from stepedit_fx.engines.parametric.analysis import Analysis
from stepedit_fx.engines.parametric.curves import Curve, limited, smooth
from stepedit_fx.engines.parametric.recipes import Recipe
from stepedit_fx.measures import FRAME_S, Track

END_S = 0.35  # a final rise or fall sits on about the last foot
LENGTHENED_END_S = 0.25  # phrase-final lengthening reaches about one syllable back
NUCLEUS_S = 0.06  # half of a typical vowel
RAMP_S = 0.05  # no curve moves faster than articulators do
ATTACK_DB_PER_FRAME = 2.0  # a level rise this steep counts as a full onset
MAX_RANGE_SHIFT_ST = 7.0  # range scaling moves no frame further: an octave error stays small


def amount_of(strength: float, iterations: int) -> float:
    """How far a recipe is taken: each further pass adds 0.6 of the one before.

    Passes of the published model deepen an edit less and less; the factor is a design choice.
    """
    return strength * sum(0.6**n for n in range(iterations))


def apply_recipe(
    recipe: Recipe, amount: float, analysis: Analysis, curves: Mapping[str, Curve]
) -> dict[str, Curve]:
    """The curves with a recipe's changes added at this amount; 0 leaves them as they are."""
    out = dict(curves)
    if amount == 0 or analysis.frames < 2:  # nothing to do, or nothing to do it to
        return out
    painter = _Painter(analysis, amount, out)
    for name, by in recipe.scaled(amount, analysis.median_f0_hz).items():
        painter.paint(name, by)
    return out


class _Painter:
    """Adds changes to curves; one method per change that is more than a constant."""

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

    def __init__(self, analysis: Analysis, amount: float, curves: dict[str, Curve]) -> None:
        self.analysis = analysis
        self.amount = amount
        self.curves = curves
        self.shaped: Mapping[str, Callable[[float], tuple[str, Track]]] = {
            "f0_range": self.f0_range,
            "f0_slope_st": self.f0_slope,
            "f0_end_st": self.f0_end,
            "rate": self.rate,
            "pause": self.pause,
            "pause_keep_s": self.pause_keep,
            "vowel": self.vowel,
            "phrase_end": self.phrase_end,
            "level_range": self.level_range,
            "attack_db": self.attack,
            "formant": lambda by: ("formant_ln", self.constant(np.log(by))),
        }

    def paint(self, change: str, by: float) -> None:
        if change in self.CONSTANT:
            self.add(self.CONSTANT[change], self.constant(by))
        else:
            self.add(*self.shaped[change](by))

    def add(self, curve: str, values: Track) -> None:
        before = self.curves.get(curve, np.zeros(self.analysis.frames, np.float32))
        self.curves[curve] = (before + values).astype(np.float32)

    def constant(self, by: float) -> Track:
        return np.full(self.analysis.frames, by)

    def over(self, spans: tuple[tuple[int, int], ...], by: float) -> Track:
        """`by` inside the spans, 0 outside."""
        out = np.zeros(self.analysis.frames)
        for first, end in spans:
            out[first:end] = by
        return out

    def f0_range(self, ratio: float) -> tuple[str, Track]:
        """Excursions of the contour as edited so far, scaled around its median."""
        contour = intonation(self.analysis) + limited(
            self.curves, "pitch_st", self.analysis.frames
        ).astype(np.float64)
        voiced = self.analysis.f0 > 0
        middle = np.median(contour[voiced]) if voiced.any() else 0.0
        moved = (ratio - 1) * (contour - middle)
        return "pitch_st", np.clip(moved, -MAX_RANGE_SHIFT_ST, MAX_RANGE_SHIFT_ST)

    def f0_slope(self, by: float) -> tuple[str, Track]:
        out = np.zeros(self.analysis.frames)
        for first, end in self.analysis.phrases:
            out[first:end] = np.linspace(-by / 2, by / 2, end - first)
        return "pitch_st", smooth(out, round(RAMP_S / FRAME_S))

    def f0_end(self, by: float) -> tuple[str, Track]:
        out = np.zeros(self.analysis.frames)
        for first, end in self.analysis.phrases:
            length = min(end - first, round(END_S / FRAME_S))
            rise = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, length + 1) / length)
            out[end - length : end] = by * rise
        return "pitch_st", smooth(out, round(RAMP_S / FRAME_S))

    def rate(self, ratio: float) -> tuple[str, Track]:
        return "stretch_ln", self.over(self.analysis.phrases, -np.log(ratio))

    def pause(self, ratio: float) -> tuple[str, Track]:
        return "stretch_ln", self.over(self.analysis.inner_pauses, np.log(ratio))

    def pause_keep(self, keep_s: float) -> tuple[str, Track]:
        """Every pause, head and tail too, blended by the amount towards at most keep_s."""
        out = np.zeros(self.analysis.frames)
        share = min(self.amount, 1.0)
        so_far = np.exp(limited(self.curves, "stretch_ln", self.analysis.frames))
        for first, end in self.analysis.pauses:
            length_s = float(so_far[first:end].sum()) * FRAME_S
            target_s = (1 - share) * length_s + share * min(length_s, keep_s)
            out[first:end] = np.log(target_s / length_s)
        return "stretch_ln", out

    def vowel(self, ratio: float) -> tuple[str, Track]:
        bumps = np.zeros(self.analysis.frames)
        half = round(NUCLEUS_S / FRAME_S)
        for nucleus in self.analysis.nuclei:
            first, end = max(0, nucleus - half), min(self.analysis.frames, nucleus + half + 1)
            bumps[first:end] = 1.0
        return "stretch_ln", np.log(ratio) * smooth(bumps, half)

    def phrase_end(self, ratio: float) -> tuple[str, Track]:
        length = round(LENGTHENED_END_S / FRAME_S)
        ends = tuple((max(a, b - length), b) for a, b in self.analysis.phrases)
        return "stretch_ln", self.over(ends, np.log(ratio))

    def level_range(self, ratio: float) -> tuple[str, Track]:
        """Level differences around the mean of the speech, slow enough to keep consonants."""
        slow = smooth(self.analysis.level_db, 15)
        speech = self.over(self.analysis.phrases, 1.0) > 0
        middle = slow[speech].mean() if speech.any() else 0.0
        moved = np.where(speech, (ratio - 1) * np.clip(slow - middle, -12, 12), 0.0)
        return "gain_db", smooth(moved, 8)

    def attack(self, by: float) -> tuple[str, Track]:
        rise = np.gradient(smooth(self.analysis.level_db, 3))
        onset = np.clip(rise / ATTACK_DB_PER_FRAME, 0, 1)
        speech = smooth(self.over(self.analysis.phrases, 1.0), 5)
        return "gain_db", by * smooth(onset, 6) * speech


def intonation(analysis: Analysis) -> Track:
    """The f0 contour in semitones re its median, bridged over unvoiced frames, smoothed."""
    voiced = np.flatnonzero(analysis.f0 > 0)
    if len(voiced) == 0:
        return np.zeros(analysis.frames)
    contour = 12 * np.log2(analysis.f0[voiced] / analysis.median_f0_hz)
    contour = median_filter(contour, size=5, mode="nearest")
    return smooth(np.interp(np.arange(analysis.frames), voiced, contour), 7)
