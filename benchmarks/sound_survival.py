"""Do the words survive? What pocketsphinx understands of English clips before and after each tag.

Its ear is rough: only clips of which it understands most count, and the figure is over all words
of all clips. A change that nobody hears may cost it several words of a clip, so growth is told
twice: against the sources alone, and against the mean of the sources and of the renders that
`sound_classifier` calls neutral. How far it wavers by itself is told too: what each way to change
nothing costs, and for each tag what the growth would be with other words (bootstrap).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rows import EXAMPLES, Row, print_table
from sound_classifier import NEUTRAL, NEUTRAL_NAME
from sound_clips import Clip, recorded
from sound_features import edited, tags

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio
from stepedit_fx.transcripts import recognition
from stepedit_fx.transcripts.recognition import compared, heard
from stepedit_fx.transcripts.sphinx import open_decoder
from stepedit_fx.transcripts.spoken import spoken_words

# More recordings of people to judge by: a folder of .wav, each with its words beside it as .txt.
CLIPS_VARIABLE = "STEPEDIT_CLIPS"
UNDERSTOOD = 0.35  # a clip that is misheard more than this before any edit says nothing
MAY_FAIL = ("whisper", "roar", "murmur")
BAR_POINTS = 5.0
DRAWS, SEED, PERCENTILES = 2000, 0, (2.5, 97.5)  # of the bootstrap: a 95 % interval

# One a process: opening it takes half a second, and no clip was heard otherwise by a used one.
_decoder = lru_cache(open_decoder)

Floats = NDArray[np.float64]
Job = tuple[Clip, str, str]  # clip, kind, tag; kind "" is the source, "neutral" a way to be so


def word_flaws(reference: str, understood: str) -> Floats:
    """Errors at each word of the reference, (words,): itself, and what was added after it."""
    wanted, got = spoken_words(reference), spoken_words(understood)
    flaws, at = np.zeros(len(wanted)), 0
    for a, b in compared(wanted, got):
        at = max(a, at) if a >= 0 else at
        flaws[at] += a < 0 or b < 0 or wanted[a] != got[b]
    return flaws


def _flaws(job: Job) -> Floats:
    clip, kind, tag = job
    if kind == NEUTRAL_NAME:
        audio: Audio = NEUTRAL[tag](clip.audio, np.random.default_rng(0))
    else:
        audio = edited(clip.audio, kind, tag) if kind else clip.audio
    with patch.object(recognition, "open_decoder", _decoder):
        return word_flaws(clip.english, heard(audio.mono(), audio.sample_rate))


def flaws(clips: Sequence[Clip], asked: Sequence[tuple[str, str]]) -> list[Floats]:
    """Errors at every word of all clips, (words,), after each (kind, tag) that is asked."""
    jobs = [(clip, kind, tag) for kind, tag in asked for clip in clips]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_flaws, jobs))
    each = len(clips)
    return [np.concatenate(found[n : n + each]) for n in range(0, len(found), each)]


def spoken_clips(small: bool) -> list[Clip]:
    """English clips of people: what a synthesizer says, this recognizer knows too little of."""
    sample = EXAMPLES / "good-morning.wav"
    clips = [clip for clip in recorded() if clip.english and clip.name != sample.stem]
    folder = os.environ.get(CLIPS_VARIABLE)
    for path in sorted(Path(folder).glob("*.wav")) if folder else []:
        text = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        clips.append(Clip(path.stem, read_audio(path), text, is_synthetic=False))
    return clips[:2] if small else clips


def understood_clips(small: bool) -> list[Clip]:
    """Those of `spoken_clips` that are understood well enough to judge by."""
    clips = spoken_clips(small)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        before = list(pool.map(_flaws, [(clip, "", "") for clip in clips]))
    return [c for c, found in zip(clips, before, strict=True) if found.mean() <= UNDERSTOOD]


def interval(growth: Floats) -> tuple[float, float]:
    """Between which values the mean growth lies with words drawn again, in points."""
    rng = np.random.default_rng(SEED)
    drawn = growth[rng.integers(0, len(growth), (DRAWS, len(growth)))].mean(axis=1)
    low, high = 100 * np.percentile(drawn, PERCENTILES)
    return float(low), float(high)


def survival(small: bool) -> list[Row]:
    """Word error of every tag less that before any edit, in points of their words."""
    clips = understood_clips(small)
    source, *alike = flaws(clips, [("", ""), *((NEUTRAL_NAME, way) for way in NEUTRAL)])
    ways = ", ".join(
        f"{way} {100 * (found - source).mean():+.1f}"
        for way, found in zip(NEUTRAL, alike, strict=True)
    )
    base = np.mean([source, *alike], axis=0)
    asked = tags()[::6] if small else tags()
    after = flaws(clips, asked)
    names = [f"{kind} {tag}" for kind, tag in asked]
    found = dict(zip(names, after, strict=True))
    print_table(
        ("tag", "word error (%)", "against harmless renders", "95 %", "against the sources"),
        [_shown(tag, flawed, base, source) for tag, flawed in found.items()],
        f"Word error over {len(clips)} clips of people, {len(source)} words: "
        f"{100 * source.mean():.1f} % of the sources, {100 * base.mean():.1f} % with renders in "
        f"which nothing was edited ({ways}); growth in points:",
    )
    return [
        _row(found, base, "harmless renders", len(clips)),
        _row(found, source, "the sources alone", len(clips)),
    ]


def _shown(tag: str, after: Floats, base: Floats, source: Floats) -> tuple[str, ...]:
    low, high = interval(after - base)
    return (
        tag,
        f"{100 * after.mean():.1f}",
        f"{100 * (after - base).mean():+.1f}",
        f"{low:+.1f} to {high:+.1f}",
        f"{100 * (after - source).mean():+.1f}",
    )


def _row(found: Mapping[str, Floats], before: Floats, against: str, clips: int) -> Row:
    held = {
        tag: 100 * float((after - before).mean())
        for tag, after in found.items()
        if tag.split()[1] not in MAY_FAIL
    }
    worst = max(held, key=lambda tag: held[tag])
    over = [tag for tag, by in held.items() if by > BAR_POINTS]
    return Row(
        f"word error against {against}, every tag but {', '.join(MAY_FAIL)} "
        f"({len(before)} words, {clips} clips)",
        f"grows by at most {BAR_POINTS:.0f} points",
        f"at most {held[worst]:+.1f} ({worst}); {len(held) - len(over)} of {len(held)} hold"
        + "".join(f"; not {tag} ({held[tag]:+.1f})" for tag in over),
        not over,
        "survival",
        "sound.py",
    )
