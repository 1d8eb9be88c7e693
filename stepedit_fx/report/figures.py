"""What ears notice about each stage, in figures, and how far they are from another's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.loudness import loudness_lufs, true_peak
from stepedit_fx.measures import measure


@dataclass(frozen=True)
class Figure:
    """One measured figure. step: a difference that ears just notice, 0 for one that is not heard.

    is_ratio: whether changes are told in per cent, and `step` is a share.
    """

    name: str
    unit: str
    step: float
    digits: int
    help: str
    is_ratio: bool = False


# Steps: pitch in running speech, 't Hart 1981 (1.5 to 2 semitones; 1 is kept as the stricter);
# tempo, Quene 2007 (5 %); level, 1 dB (Zwicker & Fastl 2007, chapter 7). The steps of range, HNR
# and brightness are our choice, of the same order.
FIGURES: Mapping[str, Figure] = {
    "length_s": Figure("Length", "s", 0.05, 2, "All of it, pauses included", True),
    "f0_median_hz": Figure("f0", "Hz", 0.0595, 1, "Median fundamental frequency", True),
    "f0_range_st": Figure("f0 range", "st", 1.0, 1, "5th to 95th percentile of f0"),
    "syllables_per_s": Figure("Rate", "syll/s", 0.05, 2, "Syllables per second of speech", True),
    "pause_s": Figure("Pauses", "s", 0.0, 2, "Silence of 150 ms and longer, in all"),
    "loudness_lufs": Figure("Loudness", "LUFS", 1.0, 1, "Integrated, BS.1770"),
    "level_db": Figure("Energy", "dBFS", 0.0, 1, "RMS of the speech, pauses left out"),
    "true_peak_db": Figure("True peak", "dBTP", 0.0, 1, "Largest level, between samples too"),
    "bright_db": Figure("Brightness", "dB", 1.5, 1, "1 to 5 kHz over 50 Hz to 1 kHz"),
    "hnr_db": Figure("HNR", "dB", 1.5, 1, "Harmonics-to-noise ratio"),
}


def figures_of(audio: Audio) -> dict[str, float]:
    """The figures of one sound, by name; nan where there is nothing to measure."""
    found = measure(audio.mono(), audio.sample_rate)
    peak = true_peak(audio.samples, audio.sample_rate)
    values = {
        "length_s": audio.duration_s,
        "loudness_lufs": loudness_lufs(audio.samples, audio.sample_rate),
        "true_peak_db": 20 * np.log10(peak) if peak > 0 else -np.inf,
    }
    return {name: float(values.get(name, getattr(found, name, np.nan))) for name in FIGURES}


def change(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """How far two sets of figures are apart: the root mean square of their differences, each in
    steps that ears just notice. Figures that only one of the two has do not count.
    """
    steps = []
    for name, figure in FIGURES.items():
        a, b = before[name], after[name]
        if not figure.step or not (np.isfinite(a) and np.isfinite(b)):
            continue
        if figure.is_ratio:
            if a > 0 and b > 0:
                steps.append(np.log(b / a) / np.log1p(figure.step))
        else:
            steps.append((b - a) / figure.step)
    return float(np.sqrt(np.mean(np.square(steps)))) if steps else 0.0
