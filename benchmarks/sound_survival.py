"""Do the words survive? What pocketsphinx understands of English clips before and after each tag.

Its ear is rough: only clips of which it understands most count, and the figure is over all words
of all clips. A change that nobody hears may cost it several words of a clip, so "before" is the
mean over the source and the renders that `sound_classifier` calls neutral; both are printed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from rows import EXAMPLES, Row, print_table
from sound_classifier import NEUTRAL, NEUTRAL_NAME
from sound_clips import Clip, recorded
from sound_features import edited, tags

from stepedit_fx.audio import Audio
from stepedit_fx.files import read_audio
from stepedit_fx.transcripts.recognition import heard, word_errors

# More recordings of people to judge by: a folder of .wav, each with its words beside it as .txt.
CLIPS_VARIABLE = "STEPEDIT_CLIPS"
# Each render is heard as often, every time a third of a recognizer's frame later: of a change that
# nobody hears it makes other words, and the mean of three wavers less.
SHIFTS_S = (0.0, 0.0033, 0.0067)
UNDERSTOOD = 0.35  # a clip that is misheard more than this before any edit says nothing
MAY_FAIL = ("whisper", "roar", "murmur")
BAR_POINTS = 5.0

Job = tuple[Clip, str, str]


def _errors(job: Job) -> float:
    clip, kind, tag = job
    if kind == NEUTRAL_NAME:
        audio: Audio = NEUTRAL[tag](clip.audio, np.random.default_rng(0))
    else:
        audio = edited(clip.audio, kind, tag) if kind else clip.audio
    mono, rate = audio.mono(), audio.sample_rate
    found = [heard(np.pad(mono, (round(s * rate), 0)), rate) for s in SHIFTS_S]
    return float(np.mean([word_errors(clip.english, words).count for words in found]))


def errors(jobs: Sequence[Job]) -> list[float]:
    """Word errors of each job, on as many processes as there are cores."""
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(_errors, jobs))


def spoken_clips(small: bool) -> list[Clip]:
    """English clips of people: what a synthesizer says, this recognizer knows too little of."""
    sample = EXAMPLES / "good-morning.wav"
    clips = [clip for clip in recorded() if clip.english and clip.name != sample.stem]
    folder = os.environ.get(CLIPS_VARIABLE)
    for path in sorted(Path(folder).glob("*.wav")) if folder else []:
        text = path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        clips.append(Clip(path.stem, read_audio(path), text, is_synthetic=False))
    return clips[:2] if small else clips


def survival(small: bool) -> list[Row]:
    """Word error of every tag less that of the sources, in points of their words."""
    asked = tags()[::6] if small else tags()
    candidates = spoken_clips(small)
    before = errors([(clip, "", "") for clip in candidates])
    words = [word_errors(clip.english, "").words for clip in candidates]
    kept = [n for n, count in enumerate(before) if count <= UNDERSTOOD * words[n]]
    total = sum(words[n] for n in kept)
    source = 100 * sum(before[n] for n in kept) / total
    alike = errors([(candidates[n], NEUTRAL_NAME, way) for n in kept for way in NEUTRAL])
    base = (source + 100 * sum(alike) / total) / (1 + len(NEUTRAL))
    jobs = [(candidates[n], kind, tag) for kind, tag in asked for n in kept]
    after = errors(jobs)
    grown = {}
    for at, (kind, tag) in enumerate(asked):
        found = after[at * len(kept) : (at + 1) * len(kept)]
        grown[f"{kind} {tag}"] = 100 * sum(found) / total - base
    print_table(
        ("tag", "word error (%)", "grown by (points)", "against the source alone"),
        [
            (tag, f"{base + by:.1f}", f"{by:+.1f}", f"{base + by - source:+.1f}")
            for tag, by in grown.items()
        ],
        f"Word error over {len(kept)} clips of people, {total} words: {source:.1f} % of the "
        f"sources, {base:.1f} % with renders in which nothing was edited:",
    )
    held = {tag: by for tag, by in grown.items() if tag.split()[1] not in MAY_FAIL}
    worst = max(held, key=lambda tag: held[tag])
    over = [tag for tag, by in held.items() if by > BAR_POINTS]
    return [
        Row(
            f"word error, every tag but {', '.join(MAY_FAIL)} ({total} words)",
            f"grows by at most {BAR_POINTS:.0f} points",
            f"at most {held[worst]:+.1f} ({worst}); {len(held) - len(over)} of {len(held)} hold"
            + "".join(f"; not {tag} ({held[tag]:+.1f})" for tag in over),
            not over,
            "survival",
            "sound.py",
        )
    ]
