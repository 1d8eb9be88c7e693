"""A pitch that varies: our way (R3 stretches, reading moves the pitch) against R3's own.

    python benchmarks/pitch.py [--speech ../shared/speech]

Each clip is bent by 2.5 semitones up and down, 1.2 times a second, and then shifted by a constant
3 semitones. Printed for both ways: how far
the f0 that is heard lies from the one asked for (median and 90 %, semitones), the largest step
between samples against the source's, and PESQ-WB of there and back (with `pip install pesq`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pedalboard
import soxr

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.files import read_audio
from stepedit_fx.measures import FRAME_S, track_f0

ENGINE = ParametricEngine()
Curve = Callable[[np.ndarray], np.ndarray]  # seconds -> semitones
Bend = Callable[[Audio, Curve, int], Audio]


def varying(seconds: np.ndarray) -> np.ndarray:
    return 2.5 * np.sin(2 * np.pi * 1.2 * seconds)


def constant(seconds: np.ndarray) -> np.ndarray:
    return np.full(len(seconds), 3.0)


def bend_ours(clip: Audio, asked: Curve, sign: int) -> Audio:
    take = ENGINE.encode([clip])[0]
    curve = sign * asked(np.arange(len(take.voice.arrays["f0"])) * FRAME_S)
    codes = {"pitch_st": curve.astype(np.float32), "seed": np.array([1])}
    return ENGINE.decode([replace(take, codes=codes)])[0]


def bend_r3(clip: Audio, asked: Curve, sign: int) -> Audio:
    curve = sign * asked(np.arange(clip.frames) / clip.sample_rate)
    if np.ptp(curve) == 0:
        curve = float(curve[0])
    bent = pedalboard.time_stretch(
        clip.samples, float(clip.sample_rate), pitch_shift_in_semitones=curve
    )
    return clip.with_samples(bent[:, : clip.frames])


WAYS: dict[str, Bend] = {"ours": bend_ours, "R3's own": bend_r3}


def figures(clip: Audio, bend: Bend, asked: Curve) -> tuple[float, float, float, float]:
    """Median and 90 % f0 error in semitones, step ratio, PESQ (nan without the package)."""
    bent = bend(clip, asked, 1)
    before, after = (track_f0(a.mono(), a.sample_rate) for a in (clip, bent))
    count = min(len(before), len(after))
    voiced = (before[:count] > 0) & (after[:count] > 0)
    moved = 12 * np.log2(after[:count][voiced] / before[:count][voiced])
    error = np.abs(moved - asked(np.arange(count) * FRAME_S)[voiced])
    step = np.abs(np.diff(bent.samples)).max() / np.abs(np.diff(clip.samples)).max()
    return (
        float(np.median(error)),
        float(np.percentile(error, 90)),
        float(step),
        quality(clip, bend, asked),
    )


def quality(clip: Audio, bend: Bend, asked: Curve) -> float:
    try:
        from pesq import pesq
    except ImportError:
        return float("nan")
    back = bend(bend(clip, asked, 1), asked, -1)
    at16k = [soxr.resample(a.mono(), a.sample_rate, 16000) for a in (clip, back)]
    return float(pesq(16000, *at16k, "wb"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[2] / "shared" / "speech"
    parser.add_argument("--speech", type=Path, default=default)
    print("| clip | bend | way | f0 error median (st) | 90 % (st) | step ratio | PESQ-WB |")
    print("| --- |" + " --- |" * 6)
    for path in sorted(parser.parse_args().speech.glob("*.wav")):
        clip = read_audio(path)
        for asked, (name, bend) in product((varying, constant), WAYS.items()):
            row = " | ".join(f"{value:.2f}" for value in figures(clip, bend, asked))
            print(f"| {path.stem} | {asked.__name__} | {name} | {row} |")


if __name__ == "__main__":
    main()
