"""Can a stranger name the edit? A classifier that never heard the speaker, from what changed.

Each edited clip is told by its features less those of its source. One speaker at a time is left
out, with everything of theirs; the rest teach a linear discriminant (equal priors, covariance
pooled over classes and shrunk to its diagonal), which then names the speaker's clips. "Neutral" are
renders in which nothing was edited but samples changed: `NEUTRAL`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pedalboard
import soxr
from numpy.typing import NDArray
from rows import Row, print_table
from sound_clips import Clip, clips
from sound_features import Features, changes, edited, features

from stepedit_fx.audio import Audio

EMOTIONS = ("happy", "angry", "sad", "fear", "surprised")
STYLES = ("act_coy", "child", "exaggerated", "generous", "older", "recite", "whisper")
NEUTRAL_NAME = "neutral"
SEEDS = (0, 1)  # of the renders, and of the noise in what is neutral
SHRINKAGE = 0.3
LARGEST_CHANGE = 6.0  # in deviations of the training set: one broken figure must not decide
BARS = {"emotion": 85.0, "style": 80.0, NEUTRAL_NAME: 90.0}

Floats = NDArray[np.float64]
Make = Callable[[Audio, np.random.Generator], Audio]


def _resampled(audio: Audio, rng: np.random.Generator) -> Audio:
    rate = int(rng.choice([16_000, 22_050, 32_000, 44_100]))
    return Audio(soxr.resample(audio.samples.T, audio.sample_rate, rate).T, rate)


def _quieter(audio: Audio, rng: np.random.Generator) -> Audio:
    return audio.with_samples(audio.samples * np.float32(10 ** (rng.uniform(-3, 1.0) / 20)))


def _stretched_back(audio: Audio, rng: np.random.Generator) -> Audio:
    """Through Rubber Band R3 twice: slower, and back to the length that it was."""
    by = float(rng.uniform(1.03, 1.1))
    there = pedalboard.time_stretch(audio.samples, float(audio.sample_rate), stretch_factor=1 / by)
    back = pedalboard.time_stretch(there, float(audio.sample_rate), stretch_factor=by)
    return audio.with_samples(back)


def _raised_back(audio: Audio, rng: np.random.Generator) -> Audio:
    st = float(rng.uniform(0.5, 1.5))
    shift = lambda x, by: pedalboard.time_stretch(  # noqa: E731
        x, float(audio.sample_rate), pitch_shift_in_semitones=by
    )
    return audio.with_samples(shift(shift(audio.samples, st), -st))


def _noisier(audio: Audio, rng: np.random.Generator) -> Audio:
    noise = rng.standard_normal(audio.samples.shape) * 10 ** (-58 / 20)
    return audio.with_samples((audio.samples + noise).astype(np.float32))


NEUTRAL: Mapping[str, Make] = {
    "resampled": _resampled,
    "other gain": _quieter,
    "stretched and back": _stretched_back,
    "raised and lowered": _raised_back,
    "a little noise": _noisier,
}

Job = tuple[Clip, str, str, int]  # clip, kind, tag (or a way to be neutral), seed


def _measured(job: Job) -> Features:
    clip, kind, name, seed = job
    if not kind:
        return features(clip.audio)
    if kind == NEUTRAL_NAME:
        rng = np.random.default_rng([seed, list(NEUTRAL).index(name)])
        return features(NEUTRAL[name](clip.audio, rng))
    return features(edited(clip.audio, kind, name, 1.0, seed))


def _jobs(speakers: Sequence[Clip], seeds: Sequence[int]) -> list[Job]:
    """Every speaker's source first, then all that is made of it."""
    sources: list[Job] = [(c, "", "", 0) for c in speakers]
    made = [("emotion", t) for t in EMOTIONS] + [("style", t) for t in STYLES]
    made += [(NEUTRAL_NAME, way) for way in NEUTRAL]
    return sources + [(c, k, t, s) for c in speakers for k, t in made for s in seeds]


class Discriminant:
    """Names the nearest class, by distances in which the training set spreads evenly."""

    def __init__(self, examples: Floats, labels: Sequence[str]) -> None:
        self.names = sorted(set(labels))
        which = np.array([self.names.index(label) for label in labels])
        self.scale = examples.std(axis=0) + 1e-9
        scaled = self._scaled(examples)
        self.means = np.stack([scaled[which == n].mean(axis=0) for n in range(len(self.names))])
        spread = scaled - self.means[which]
        pooled = spread.T @ spread / len(spread)
        pooled = (1 - SHRINKAGE) * pooled + SHRINKAGE * np.diag(np.diag(pooled) + 0.01)
        self.inverse = np.linalg.inv(pooled)

    def _scaled(self, examples: Floats) -> Floats:
        return np.clip(examples / self.scale, -LARGEST_CHANGE, LARGEST_CHANGE)

    def name(self, example: Floats) -> str:
        away = self._scaled(example) - self.means
        return self.names[int(np.argmin(np.einsum("ij,jk,ik->i", away, self.inverse, away)))]


Example = tuple[str, str, Floats]  # speaker, label, what changed


def left_out(examples: Sequence[Example]) -> Counter[tuple[str, str]]:
    """(label, named) -> how often, each speaker named by a classifier that never heard them."""
    named: Counter[tuple[str, str]] = Counter()
    for speaker in sorted({speaker for speaker, _, _ in examples}):
        others = [(label, x) for who, label, x in examples if who != speaker]
        judge = Discriminant(np.stack([x for _, x in others]), [label for label, _ in others])
        for who, label, x in examples:
            if who == speaker:
                named[label, judge.name(x)] += 1
    return named


def _examples(small: bool) -> list[tuple[str, str, str, Floats]]:
    """(speaker, kind, tag, what changed) of every render."""
    speakers = clips(small)
    jobs = _jobs(speakers, SEEDS[:1] if small else SEEDS)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        done = list(pool.map(_measured, jobs, chunksize=8))
    source = {job[0].name: found for job, found in zip(jobs, done, strict=True) if not job[1]}
    out = []
    for (clip, kind, tag, _), found in zip(jobs, done, strict=True):
        if kind:
            moved = changes(source[clip.name], found)
            out.append((clip.name, kind, tag, np.array(list(moved.values()))))
    return out


def unlike(
    examples: Sequence[tuple[str, str, str, Floats]], kind: str, teachers: Sequence[str]
) -> Counter[tuple[str, str]]:
    """As `judged`, taught by some speakers alone and asked about all the others."""
    told = [
        (who, NEUTRAL_NAME if k == NEUTRAL_NAME else tag, x)
        for who, k, tag, x in examples
        if k in (kind, NEUTRAL_NAME)
    ]
    taught = [(label, x) for who, label, x in told if who in teachers]
    judge = Discriminant(np.stack([x for _, x in taught]), [label for label, _ in taught])
    return Counter((label, judge.name(x)) for who, label, x in told if who not in teachers)


def judged(examples: Sequence[tuple[str, str, str, Floats]], kind: str) -> Counter[tuple[str, str]]:
    """Confusions between the tags of one kind and neutral."""
    return left_out(
        [
            (who, NEUTRAL_NAME if k == NEUTRAL_NAME else tag, x)
            for who, k, tag, x in examples
            if k in (kind, NEUTRAL_NAME)
        ]
    )


def share(named: Counter[tuple[str, str]], labels: Sequence[str]) -> float:
    """Per cent of the renders with these labels that are named rightly."""
    total = sum(n for (label, _), n in named.items() if label in labels)
    return 100 * sum(named[label, label] for label in labels) / max(total, 1)


def _print_confusions(named: Counter[tuple[str, str]], labels: Sequence[str], title: str) -> None:
    rows = [
        (
            label,
            *(str(named[label, other] or ".") for other in labels),
            f"{share(named, [label]):.0f} %",
        )
        for label in labels
    ]
    print_table((title, *labels, "right"), rows, "Rows are what was done, columns what was heard:")


def classifier(small: bool) -> list[Row]:
    """Emotions and styles at strength 1 named from what changed, each speaker left out in turn."""
    examples = _examples(small)
    speakers = len({who for who, *_ in examples})
    synthetic = [clip.name for clip in clips(small) if clip.is_synthetic]
    out = []
    for kind, labels in (("emotion", EMOTIONS), ("style", STYLES)):
        named = judged(examples, kind)
        _print_confusions(named, (*labels, NEUTRAL_NAME), kind)
        for what, asked in (
            (f"benchmark {kind}s", labels),
            (f"nothing, beside {kind}s", [NEUTRAL_NAME]),
        ):
            bar = BARS[kind if asked is labels else NEUTRAL_NAME]
            right = share(named, asked)
            out.append(
                Row(
                    f"{what} named, each of {speakers} speakers left out",
                    f"at least {bar:.0f} %",
                    f"{right:.1f} % of {sum(n for (a, _), n in named.items() if a in asked)}",
                    right >= bar,
                    "classifier",
                    "sound.py",
                )
            )
        real = share(unlike(examples, kind, synthetic), labels)
        told = f"benchmark {kind}s of recordings, taught by synthetic speakers alone"
        out.append(Row(told, "-", f"{real:.1f} %", None, "classifier", "sound.py"))
    return out
