"""Does every recipe change a voice the way its sources say? One row per tag, one mark per clip.

    python benchmarks/directions.py [--speech ../shared/speech]

For each emotion and style, every .wav in the folder is edited at strength 1 and measured before
and after. A mark is + where the measured change has the recipe's sign and - where it has not;
the figure is the median change over the clips.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.engines.parametric.recipes import Recipe, load_recipes
from stepedit_fx.files import read_audio
from stepedit_fx.measures import Measures, measure
from stepedit_fx.speech import Edit


@dataclass(frozen=True)
class Figure:
    """A measured change, and which of a recipe's changes foretell its sign."""

    name: str
    unit: str
    changes: tuple[tuple[str, int], ...]  # (change, +1 or -1: which way it moves the figure)

    def of(self, before: Measures, after: Measures) -> float:
        if self.name == "f0 mean":
            return float(12 * np.log2(after.f0_median_hz / before.f0_median_hz))
        if self.name == "f0 range":
            return after.f0_range_st - before.f0_range_st
        if self.name == "rate":  # the words are the same: less time is a faster rate
            return 100 * (before.speech_s / after.speech_s - 1)
        if self.name == "energy > 1 kHz":
            return after.bright_db - before.bright_db
        if self.name == "HNR":
            return after.hnr_db - before.hnr_db
        return 100 * (after.voiced_share - before.voiced_share)

    def expected(self, recipe: Recipe, median_f0_hz: float) -> int:
        """+1 or -1 as the recipe's main change says, 0 where it says nothing."""
        scaled = recipe.scaled(1.0, median_f0_hz)
        if self.name.startswith("f0") and max(scaled.get(n, 0) for n in NOISY) > MOSTLY_NOISE:
            return 0  # what is left of the voicing is a few frames, and says nothing of the rest
        if self.name == "f0 range" and scaled.get("f0_range", 1) < 1 and _tilts(scaled):
            return 0  # narrower, with ends that move: which wins depends on how flat the voice was
        for change, way in self.changes:
            if change in scaled:
                up = scaled[change] - (1 if change in ("f0_range", "rate", "vowel") else 0)
                return way * int(np.sign(up))
        return 0


# A voice with more air than this beside it, or instead of it, has hardly an f0 to measure.
NOISY, MOSTLY_NOISE = ("breath", "whisper"), 0.3


def _tilts(scaled: Mapping[str, float]) -> bool:
    return any(abs(scaled.get(name, 0)) >= 1 for name in ("f0_slope_st", "f0_end_st"))


FIGURES = (
    Figure("f0 mean", "st", (("f0_shift_st", 1),)),
    Figure("f0 range", "st", (("f0_range", 1),)),
    Figure("rate", "%", (("rate", 1), ("vowel", -1))),
    Figure("energy > 1 kHz", "dB", (("high_db", 1),)),
    Figure("HNR", "dB", (("jitter", -1), ("breath", -1), ("whisper", -1))),
    Figure("voiced share", "points", (("whisper", -1),)),
)


@dataclass(frozen=True)
class Cell:
    """One figure of one tag over all clips."""

    changes: tuple[float, ...]
    expected: tuple[int, ...]

    @property
    def wrong(self) -> int:
        return sum(
            1 for c, e in zip(self.changes, self.expected, strict=True) if e and not c * e > 0
        )

    def __str__(self) -> str:
        median = float(np.nanmedian(self.changes)) if np.isfinite(self.changes).any() else np.nan
        if not any(self.expected):
            return f"({median:+.1f})"
        marks = "".join(
            "." if not e else "+" if c * e > 0 else "-"
            for c, e in zip(self.changes, self.expected, strict=True)
        )
        return f"{median:+.1f} {marks}"


def rows(paths: Sequence[Path]) -> dict[str, dict[str, Cell]]:
    """tag -> figure -> cell, over these recordings."""
    engine, recipes = ParametricEngine(), load_recipes()[0]
    clips = [read_audio(path) for path in paths]
    takes = engine.encode(clips)
    before = [measure(clip.mono(), clip.sample_rate) for clip in clips]
    out: dict[str, dict[str, Cell]] = {}
    for (kind, tag), recipe in recipes.items():
        if kind not in ("emotion", "style"):
            continue
        edited = engine.decode(engine.edit(takes, [Edit(kind, tag)] * len(takes)))
        after = [measure(_mono(audio), audio.sample_rate) for audio in edited]
        out[f"{kind} {tag}"] = {
            figure.name: Cell(
                tuple(figure.of(b, a) for b, a in zip(before, after, strict=True)),
                tuple(figure.expected(recipe, b.f0_median_hz) for b in before),
            )
            for figure in FIGURES
        }
    return out


def _mono(audio: Audio) -> np.ndarray:
    return audio.mono()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--speech", type=Path, default=here.parent / "shared" / "speech")
    args = parser.parse_args()
    table = rows(sorted(args.speech.glob("*.wav")))
    print("| tag | " + " | ".join(f"{f.name} ({f.unit})" for f in FIGURES) + " |")
    print("| --- |" + " --- |" * len(FIGURES))
    for tag, cells in table.items():
        print(f"| {tag} | " + " | ".join(str(cells[f.name]) for f in FIGURES) + " |")
    wrong = sum(cell.wrong for cells in table.values() for cell in cells.values())
    of = sum(sum(map(abs, cell.expected)) for cells in table.values() for cell in cells.values())
    print(f"\n{of - wrong} of {of} measured changes go the way the recipe says.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
