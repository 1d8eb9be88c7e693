"""What ears notice, in figures: every tag before and after, on every speaker."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

import numpy as np
import parselmouth
import soxr
from numpy.typing import NDArray
from rows import Row, print_table
from scipy.ndimage import uniform_filter1d
from sound_clips import Clip, clips

from stepedit_fx.audio import Audio
from stepedit_fx.engines.parametric.engine import ParametricEngine
from stepedit_fx.engines.parametric.recipes import load_recipes
from stepedit_fx.loudness import loudness_lufs
from stepedit_fx.measures import FRAME_S, find_pauses, measure, track_f0, track_level
from stepedit_fx.nodes.base import Context, TagNode
from stepedit_fx.nodes.decode import Decode
from stepedit_fx.nodes.emotion import Emotion
from stepedit_fx.nodes.encode import Encode
from stepedit_fx.nodes.style import Style

Features = dict[str, float]
Track = NDArray[np.float64]
NODES: Mapping[str, type[TagNode]] = {"emotion": Emotion, "style": Style}
RATE = 16_000
# Octave-wide bands; each is told against all of 50 Hz to 8 kHz.
BANDS_HZ = ((50, 300), (300, 600), (600, 1200), (1200, 2400), (2400, 4800), (4800, 7800))
END_S, SWAY_S = 0.2, 0.15

# Those that are shown in tables: name -> (unit, decimals). The classifier takes all.
SHOWN: Mapping[str, tuple[str, int]] = {
    "f0": ("st", 1), "f0_range": ("st", 1), "f0_end": ("st", 1), "speech": ("%", 0),
    "pause": ("%", 0), "loudness": ("LU", 1), "alpha": ("dB", 1), "hnr": ("dB", 1),
    "jitter": ("%", 1), "shimmer": ("%", 1), "voiced": ("points", 0),
    "F1": ("%", 0), "F2": ("%", 0),
}  # fmt: skip
RATIOS = ("speech", "pause", "jitter", "shimmer", "F1", "F2", "F3", "syllables")


def tags() -> list[tuple[str, str]]:
    """Every emotion and style that has a recipe."""
    return [(kind, tag) for kind, tag in load_recipes()[0] if kind in NODES]


def edited(audio: Audio, kind: str, tag: str, strength: float = 1.0, seed: int = 0) -> Audio:
    """A clip through encode, one edit and decode, as a graph does it."""
    context = Context(engine=ParametricEngine())
    speech = Encode().run([audio], context)
    speech = NODES[kind](tag, strength=strength, seed=seed).run([speech], context)
    return Decode().run([speech], context)


def features(audio: Audio) -> Features:
    """Figures of one clip. Lengths and ratios are logarithms, so that differences compare clips.

    Intervals in semitones, levels in dB, nan where there is nothing to measure.
    """
    mono, rate = audio.mono(), audio.sample_rate
    f0, level = track_f0(mono, rate), track_level(mono, rate)
    pauses = find_pauses(level, f0)
    speech = np.ones(len(f0), bool)
    for first, end in pauses:
        speech[first:end] = False
    figures = measure(mono, rate)
    inner_s = sum(b - a for a, b in pauses if a > 0 and b < len(f0) - 1) * FRAME_S
    at16k = soxr.resample(mono, rate, RATE) if rate != RATE else mono
    return {
        **_contour(f0, pauses),
        **_level(level, speech, f0 > 0),
        **_spectrum(at16k, speech, f0 > 0),
        **_formants(at16k, f0),
        "speech": float(np.log(max(figures.speech_s, 0.01))),
        "pause": float(np.log(inner_s + 0.1)),
        "syllables": float(np.log(max(figures.syllables_per_s, 0.1))),
        "loudness": loudness_lufs(audio.samples, rate),
        "alpha": figures.bright_db,
        "hnr": figures.hnr_db,
        "hnr_high": _high_hnr(at16k),
        "jitter": float(np.log(figures.jitter + 0.002)),
        "shimmer": float(np.log(figures.shimmer + 0.01)),
        "voiced": 100 * figures.voiced_share,
    }


def changes(before: Features, after: Features) -> Features:
    """What an edit did; 0 where it cannot be measured on one of the two."""
    moved = {name: after[name] - before[name] for name in before}
    return {name: by if np.isfinite(by) else 0.0 for name, by in moved.items()}


def _contour(f0: Track, pauses: Sequence[tuple[int, int]]) -> Features:
    voiced = f0 > 0
    if voiced.sum() < 10:
        return dict.fromkeys(
            ("f0", "f0_range", "f0_high", "f0_low", "f0_end", "f0_slope", "sway"), np.nan
        )
    st = np.where(voiced, 12 * np.log2(np.where(voiced, f0, 100.0) / 100.0), np.nan)
    low, middle, high = np.nanpercentile(st, [5, 50, 95])
    edges = [0, *(e for span in pauses for e in span), len(f0)]
    ends, slopes = [], []
    for first, end in list(pairwise(edges))[::2]:
        inside = np.flatnonzero(voiced[first:end]) + first
        if len(inside) < 20:
            continue
        last = inside[inside > inside[-1] - END_S / FRAME_S]
        ends.append(np.nanmean(st[last]) - np.nanmedian(st[inside]))
        slopes.append(np.polyfit(inside, st[inside], 1)[0] * len(inside))
    filled = np.interp(np.arange(len(st)), np.flatnonzero(voiced), st[voiced])
    sway = (filled - uniform_filter1d(filled, round(SWAY_S / FRAME_S)))[voiced]
    return {
        "f0": float(middle),
        "f0_range": float(high - low),
        "f0_high": float(high - middle),
        "f0_low": float(middle - low),
        "f0_end": float(np.mean(ends)) if ends else np.nan,
        "f0_slope": float(np.mean(slopes)) if slopes else np.nan,
        "sway": float(np.log(np.median(np.abs(sway)) + 0.02)),
    }


def _level(level: Track, speech: NDArray[np.bool_], voiced: NDArray[np.bool_]) -> Features:
    if speech.sum() < 10:
        return dict.fromkeys(("level_spread", "level_top", "attack"), np.nan)
    slow = uniform_filter1d(level, 12)[speech]
    rise = np.gradient(level)[speech]
    low, middle, high = np.percentile(slow, [20, 50, 95])
    return {
        "level_spread": float(high - low),
        "level_top": float(high - middle),
        "attack": float(np.log(np.percentile(rise, 95) + 0.1)),
    }


def _spectrum(mono: Track, speech: NDArray[np.bool_], voiced: NDArray[np.bool_]) -> Features:
    """Octave bands of the voiced frames, and how bright the unvoiced ones of the speech are."""
    hop, size = round(FRAME_S * RATE), 512
    padded = np.pad(mono, size // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    count = min(len(windows), len(speech))
    power = np.abs(np.fft.rfft(windows[:count] * np.hanning(size), axis=1)) ** 2
    hz = np.fft.rfftfreq(size, 1 / RATE)
    out = {}
    names = (
        ("voiced", voiced[:count] & speech[:count]),
        ("unvoiced", ~voiced[:count] & speech[:count]),
    )
    for name, mask in names:
        mean = power[mask].mean(axis=0) if mask.sum() > 4 else np.full(len(hz), np.nan)
        whole = mean[(hz >= 50) & (hz < 7800)].sum()
        for low, high in BANDS_HZ:
            band = mean[(hz >= low) & (hz < high)].sum()
            out[f"{name}_{low}"] = float(10 * np.log10(band / whole + 1e-6))
    return out


def _formants(mono: Track, f0: Track) -> Features:
    sound = parselmouth.Sound(mono.astype(np.float64), RATE)
    seconds = np.flatnonzero(f0 > 0)[::2] * FRAME_S
    if sound.duration < 0.1 or len(seconds) < 10:
        return dict.fromkeys(("F1", "F2", "F3"), np.nan)
    found = sound.to_formant_burg(time_step=0.02, maximum_formant=5500)
    out = {}
    for n in (1, 2, 3):
        values = np.array([found.get_value_at_time(n, float(s)) for s in seconds])
        values = values[np.isfinite(values)]
        out[f"F{n}"] = float(np.log(np.median(values))) if len(values) else np.nan
    return out


def _high_hnr(mono: Track) -> float:
    """Harmonics-to-noise above 2 kHz, where breath is heard first."""
    from scipy.signal import butter, sosfiltfilt

    if len(mono) < RATE // 5:
        return np.nan
    high = sosfiltfilt(butter(4, [2000, 6000], "bandpass", fs=RATE, output="sos"), mono)
    values = parselmouth.Sound(high, RATE).to_harmonicity_cc(0.02, 75.0).values
    kept = values[values > -100]
    return float(kept.mean()) if kept.size else np.nan


Job = tuple[Clip, str, str, float, int]  # clip, kind, tag, strength, seed


def _measured(job: Job) -> Features:
    clip, kind, tag, strength, seed = job
    return features(edited(clip.audio, kind, tag, strength, seed) if kind else clip.audio)


def measured(jobs: Sequence[Job]) -> list[Features]:
    """The features of each job's render, on as many processes as there are cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(_measured, jobs, chunksize=4))


def table(small: bool) -> dict[str, Features]:
    """tag -> median change over the speakers."""
    speakers = clips(small)
    jobs: list[Job] = [(c, "", "", 0.0, 0) for c in speakers]
    jobs += [(c, kind, tag, 1.0, 0) for kind, tag in tags() for c in speakers]
    done = measured(jobs)
    before, after = done[: len(speakers)], iter(done[len(speakers) :])
    out = {}
    for kind, tag in tags():
        moved = [changes(b, next(after)) for b in before]
        out[f"{kind} {tag}"] = {n: float(np.median([m[n] for m in moved])) for n in before[0]}
    return out


def shown(name: str, by: float) -> str:
    decimals = SHOWN[name][1]
    return f"{100 * (np.exp(by) - 1) if name in RATIOS else by:+.{decimals}f}"


def acoustics(small: bool) -> list[Row]:
    """Prints the table of every tag; no bar."""
    found = table(small)
    head = ("tag", *(f"{name} ({unit})" for name, (unit, _) in SHOWN.items()))
    print_table(
        head,
        [(tag, *(shown(n, moved[n]) for n in SHOWN)) for tag, moved in found.items()],
        f"Median change at strength 1 over {len(clips(small))} speakers:",
    )
    return []
