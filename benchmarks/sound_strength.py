"""Does strength move smoothly? Every tag in quarters of it: no figure jumps or turns back."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
from rows import Row, print_table
from sound_clips import Clip, clips
from sound_features import Features, edited, features, tags

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
# One step of four may take this share of the whole way (0.25 if it were a straight line), besides
# what the figure varies by when nothing changes (`sound_classifier`, its neutral renders).
LARGEST_SHARE = 0.6
VARIES: Mapping[str, float] = {
    "f0": 0.3, "f0_range": 0.8, "f0_end": 0.8, "speech": 0.03, "loudness": 0.4, "alpha": 0.6,
    "hnr": 1.2, "F1": 0.06, "F2": 0.05,
}  # fmt: skip
VOICELESS = ("whisper", "murmur", "ethereal")  # f0, formants and HNR of a few frames of noise
NEEDS_VOICE = ("f0", "f0_range", "f0_end", "hnr", "F1", "F2")
SPEAKERS = ("good-morning", "en_male_political", "en-us+f2")


def _measured(job: tuple[Clip, str, str, float]) -> Features:
    clip, kind, tag, strength = job
    return features(edited(clip.audio, kind, tag, strength))


def unevenness(path: list[float], varies: float) -> float:
    """How far the worst step of a path is over what it may be; at most 0 where the path is even."""
    way = path[-1] - path[0]
    steps = [b - a for a, b in pairwise(path)]
    jump = max(abs(step) for step in steps) - LARGEST_SHARE * abs(way) - varies
    back = max(-step * np.sign(way) for step in steps) - varies
    return float(max(jump, back))


def strength(small: bool) -> list[Row]:
    """Every tag on three speakers; a figure counts where both ends of its path can be measured."""
    speakers = [c for c in clips(False) if c.name in SPEAKERS][: 1 if small else None]
    asked = tags()[::6] if small else tags()
    jobs = [(c, k, t, s) for c in speakers for k, t in asked for s in STRENGTHS]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        done = iter(list(pool.map(_measured, jobs, chunksize=5)))
    uneven, paths = [], 0
    for clip in speakers:
        for kind, tag in asked:
            at = [next(done) for _ in STRENGTHS]
            for name, varies in VARIES.items():
                path = [f[name] for f in at]
                if (tag in VOICELESS and name in NEEDS_VOICE) or not np.isfinite(path).all():
                    continue
                paths += 1
                over = unevenness(path, varies)
                if over > 0:
                    uneven.append((f"{kind} {tag}", clip.name, name, path, over))
    if uneven:
        print_table(
            ("tag", "speaker", "figure", *map(str, STRENGTHS)),
            [(t, c, n, *(f"{p:.2f}" for p in path)) for t, c, n, path, _ in uneven],
            "Paths that jump or turn back:",
        )
    return [
        Row(
            f"strength 0 to 1 in quarters: {paths} paths of {len(VARIES)} figures",
            "none jumps or turns back",
            "none" if not uneven else f"{len(uneven)} do",
            not uneven,
            "strength",
            "sound.py",
        )
    ]
