"""Pitch and time: Rubber Band R3 stretches, a resampler of ours moves the pitch.

R3 can move pitch as well, but with a pitch that varies it takes new values only once in 1024
samples, 1.5 windows early, and now and then puts a click into its output (docs/parametric.md).
So R3 only stretches, by time ratio times pitch ratio, and reading its output faster or slower
gives the pitch, exact to the sample. Formants move with it; timbre.py puts them back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pedalboard
import soxr
from numpy.typing import NDArray

from stepedit_fx.audio import Samples

Floats = NDArray[np.floating[Any]]

OVERSAMPLING = 4  # a cubic between samples is clean to the ear only well below Nyquist
# R3 applies a new ratio to sound that went in this part of its window before (measured with
# bursts at 32 and 48 kHz): with a window of 1024, with a longer one.
EARLY_WINDOWS = (0.32, 0.60)


def window(rate: int) -> int:
    """R3's window at a rate, in samples."""
    size = 1024
    while rate > 32000 * size // 1024:
        size *= 2
    return size


def change_pitch_and_time(
    samples: Samples,
    rate: int,
    pitch_st: Floats,
    stretch: Floats,
    start: int,
    length: int,
) -> Samples:
    """`length` output samples from `start` on, (channels, length).

    samples: (channels, frames). pitch_st (semitones), stretch (duration ratio): per input
    sample; the stretch must rest at 1 for a window at either end.
    """
    if not pitch_st.any():
        return _padded(_stretched(samples, rate, stretch)[:, start : start + length], length)
    ratio = np.power(2.0, pitch_st / 12)
    longer = _stretched(samples, rate, stretch * ratio)
    heard = np.concatenate([[0.0], np.cumsum(stretch)[:-1]])
    stored = np.concatenate([[0.0], np.cumsum(stretch * ratio)[:-1]])
    # Read at twice the rate, so that what a raised pitch lifts over Nyquist can be filtered off.
    margin = 64
    first = max(0, start - margin)
    half_steps = np.arange(2 * first, 2 * (start + length + margin)) / 2
    fine = soxr.resample(longer.T, rate, OVERSAMPLING * rate).T
    doubled = read_between(fine, OVERSAMPLING * np.interp(half_steps, heard, stored))
    out = soxr.resample(doubled.T, 2 * rate, rate).T
    return _padded(out[:, start - first : start - first + length], length)


def _stretched(samples: Samples, rate: int, stretch: Floats) -> Samples:
    """Samples with their time stretched, pitch kept; about sum(stretch) frames."""
    if np.all(stretch == 1):
        return samples
    size = window(rate)
    early = int(EARLY_WINDOWS[size > 1024] * size)
    later = np.concatenate([np.ones(early), stretch])[: len(stretch)]
    # R3 decides by level, channel by channel, and a voice panned to one side would wander: bring
    # the channels to one level first, and back after.
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64), axis=1, keepdims=True))
    gain = np.where(level > 0, level / max(float(level.max()), 1e-12), 1).astype(np.float32)
    out: Samples = gain * pedalboard.time_stretch(
        np.ascontiguousarray(samples / gain), float(rate), stretch_factor=1.0 / later
    )
    return out


def _padded(samples: Samples, length: int) -> Samples:
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))


def read_between(samples: Samples, place: Floats) -> Samples:
    """Samples at places between samples, by a cubic through the four around (Catmull-Rom)."""
    padded = np.pad(samples, ((0, 0), (1, 2)), mode="edge")
    place = np.clip(place, 0, samples.shape[1] - 1)
    low = place.astype(np.int64)
    x = (place - low).astype(np.float32)
    a, b, c, d = (padded[:, low + k] for k in range(4))
    out: Samples = b + 0.5 * x * (
        c - a + x * (2 * a - 5 * b + 4 * c - d + x * (3 * (b - c) + d - a))
    )
    return out
