"""What no edit may do: clip, click, move loudness it is not about, break pitch, vary by chance."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from rows import Row, print_table
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from sound_clips import Clip, clips
from sound_features import edited, tags

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.recipes import load_recipes
from stepedit_fx.loudness import loudness_lufs, true_peak
from stepedit_fx.measures import FRAME_S, Track, track_f0
from stepedit_fx.timeline import at, inverse

CEILING_DB = -1.0  # of decode: peaks stay under it, or under the source's own
CLICK_TIMES = 1.25  # against the source's own sharpest step
LOUDNESS_LU = 1.0
# What the tracker makes of a subharmonic is a jump of an octave, up or down, between frames.
OCTAVE_ST = (10.0, 14.0)
# A curve can break only where the source has one: all voiced, this far to both sides. Where a voice
# creaks or sets in, the tracker finds an octave or not as the samples fall.
STEADY_S = 0.03
NO_VOICE = ("whisper", "murmur", "ethereal")  # their f0 is a few frames of noise


@dataclass(frozen=True)
class Found:
    """One tag on one speaker: each figure after the edit against that before it."""

    tag: str
    speaker: str
    over_ceiling_db: float
    click_times: float
    louder_lu: float
    broken_octaves: int  # where the source's f0 is steady
    creaky_octaves: int  # where it is not, less those that the source has itself
    is_repeated: bool


def sharpest_step(audio: Audio) -> float:
    """The largest step between samples against the usual ones near it and in all the clip."""
    step = np.abs(np.diff(audio.samples[0].astype(np.float64)))
    near = uniform_filter1d(np.square(step), round(0.02 * audio.sample_rate))
    usual = np.sqrt(np.maximum(near, 0)) + 0.5 * np.sqrt(np.mean(np.square(step)))
    return float((step / np.maximum(usual, 1e-12)).max())


def octave_jumps(f0: Track) -> NDArray[np.intp]:
    """The 10 ms frames after which f0 leaps by about an octave, both sides voiced."""
    both = (f0[1:] > 0) & (f0[:-1] > 0)
    leap = np.abs(12 * np.log2(np.where(both, f0[1:], 1) / np.where(both, f0[:-1], 1)))
    return np.flatnonzero((leap > OCTAVE_ST[0]) & (leap < OCTAVE_ST[1]))


def new_octave_jumps(source: Audio, wet: Audio) -> tuple[int, int]:
    """Octave jumps of an edit where the source's f0 is steady, and what others it has gained."""
    before, after = (track_f0(each.mono(), each.sample_rate) for each in (source, wet))
    own, back = octave_jumps(before), inverse(wet.time_map)
    width = 2 * round(STEADY_S / FRAME_S) + 1
    steady = minimum_filter1d((before > 0).astype(int), width, mode="constant")
    for jump in own:
        steady[max(0, jump - width) : jump + width] = 0
    there = [round(at(back, (jump + 0.5) * FRAME_S) / FRAME_S) for jump in octave_jumps(after)]
    broken = sum(int(steady[min(max(frame, 0), len(steady) - 1)]) for frame in there)
    return broken, len(there) - broken - len(own)


def _found(job: tuple[Clip, str, str, bool]) -> Found:
    clip, kind, tag, twice = job
    source, wet = clip.audio, edited(clip.audio, kind, tag)
    broken, creaky = (0, 0) if tag in NO_VOICE else new_octave_jumps(source, wet)
    ceiling = max(10 ** (CEILING_DB / 20), true_peak(source.samples, source.sample_rate))
    return Found(
        f"{kind} {tag}",
        clip.name,
        20 * float(np.log10(max(true_peak(wet.samples, wet.sample_rate), 1e-9) / ceiling)),
        sharpest_step(wet) / sharpest_step(source),
        loudness_lufs(wet.samples, wet.sample_rate)
        - loudness_lufs(source.samples, source.sample_rate),
        broken,
        creaky,
        not twice or edited(clip.audio, kind, tag).digest == wet.digest,
    )


def quality(small: bool) -> list[Row]:
    """Every tag on every speaker; the worst of each figure."""
    speakers = clips(small)
    jobs = [(c, kind, tag, c is speakers[0]) for kind, tag in tags() for c in speakers]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_found, jobs, chunksize=4))
    _print_worst(found)
    return _rows(found)


def _print_worst(found: Sequence[Found]) -> None:
    rows = []
    for tag in dict.fromkeys(f.tag for f in found):
        of = [f for f in found if f.tag == tag]
        rows.append(
            (
                tag,
                f"{max(f.over_ceiling_db for f in of):+.2f}",
                f"{max(f.click_times for f in of):.2f}",
                f"{min(f.louder_lu for f in of):+.2f} to {max(f.louder_lu for f in of):+.2f}",
                f"{max(f.broken_octaves for f in of)}, {max(f.creaky_octaves for f in of)}",
            )
        )
    head = (
        "tag",
        "peak re ceiling (dB)",
        "sharpest step (times)",
        "loudness (LU)",
        "octaves broken, creaky",
    )
    print_table(head, rows, "The worst of all speakers:")


def _rows(found: Sequence[Found]) -> list[Row]:
    recipes = load_recipes()[0]
    loud = {f"{k} {t}" for (k, t), recipe in recipes.items() if "gain_db" in recipe.changes}
    clipped = [f for f in found if f.over_ceiling_db > 0.05]
    clicked = [f for f in found if f.click_times > CLICK_TIMES]
    even = [f for f in found if f.tag not in loud]
    moved = [f for f in even if abs(f.louder_lu) > LOUDNESS_LU]
    broken = [f for f in found if f.broken_octaves > 0]
    creaky = [f for f in found if f.creaky_octaves > 0]
    other = [f for f in found if not f.is_repeated]
    rows = [
        (f"no peak over the ceiling ({len(found)} renders)", "none", clipped),
        (f"no click: sharpest step re the source ({len(found)})", f"{CLICK_TIMES} times", clicked),
        (f"loudness of tags not about it ({len(even)})", f"within {LOUDNESS_LU:g} LU", moved),
        (f"no octave jump where the source's f0 is steady ({len(found)})", "none", broken),
        ("two syntheses of one seed, every tag", "the same bytes", other),
    ]
    creaks = f"{len(creaky)} renders, at most {max(f.creaky_octaves for f in found)}: "
    creaks += _told(creaky)
    return [
        *(Row(what, bar, _told(bad), not bad, "quality", "sound.py") for what, bar, bad in rows),
        Row(
            "octave jumps where it is not, more than the source's",
            "",
            creaks,
            None,
            "quality",
            "sound.py",
        ),
    ]


def _told(bad: Sequence[Found]) -> str:
    if not bad:
        return "holds"
    return f"{len(bad)} do not: " + ", ".join(f"{f.tag} on {f.speaker}" for f in bad[:6])
