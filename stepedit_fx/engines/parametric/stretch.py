"""Pitch and time by Rubber Band R3, with what it gets wrong about time made good.

Found by measuring (pedalboard 0.9.26, `time_stretch` with arrays; docs/parametric.md has the
figures): R3 takes new ratios once in 1024 samples, whatever the rate; and a new pitch ratio
changes sound that went in about 1.5 windows before it, a new time ratio what goes in with it.
"""

from __future__ import annotations

import numpy as np
import pedalboard
import soxr
from numpy.typing import NDArray

from stepedit_fx.audio import Samples

# Below this, 1024 samples are too coarse a step for intonation (64 ms at 16 kHz); above it R3
# doubles its window and its cost. At 32 kHz it follows a contour best: 0.25 st median error.
MIN_RATE = 32000
PITCH_EARLY = 1.5  # windows; likewise below
STRETCH_EARLY = (0.32, 0.60)  # with a window of 1024, with a longer one
ALL_EARLY = 0.13  # whatever comes out, once a pitch is set


def window(rate: int) -> int:
    """R3's window at a rate, in samples."""
    return 1024 * 2 ** max(0, int(np.ceil(np.log2(rate / MIN_RATE))))


def change_pitch_and_time(
    samples: Samples,
    rate: int,
    pitch_st: NDArray[np.float64],
    stretch: NDArray[np.float64],
    start: int,
    length: int,
) -> Samples:
    """`length` samples from `start` on of samples (channels, frames) with pitch and time changed.

    pitch_st (semitones), stretch (duration ratio): per input sample. Both must rest at either
    end for 1.5 windows. Formants stay where they are.
    """
    if rate < MIN_RATE:
        frames = round(samples.shape[1] * MIN_RATE / rate)
        at = np.arange(frames) * (rate / MIN_RATE)
        grid = np.arange(samples.shape[1])
        whole = change_pitch_and_time(
            soxr.resample(samples.T, rate, MIN_RATE).T[:, :frames],
            MIN_RATE,
            np.interp(at, grid, pitch_st),
            np.interp(at, grid, stretch),
            0,
            round((start + length) * MIN_RATE / rate) + 64,
        )
        out = soxr.resample(whole.T, MIN_RATE, rate).T[:, start : start + length]
    else:
        size = window(rate)
        out = pedalboard.time_stretch(
            np.ascontiguousarray(samples),
            float(rate),
            stretch_factor=1.0 / _later(stretch, 1.0, int(STRETCH_EARLY[size > 1024] * size)),
            pitch_shift_in_semitones=_later(pitch_st, 0.0, int(PITCH_EARLY * size)),
        )
        first = max(0, start - (int(ALL_EARLY * size) if pitch_st.any() else 0))
        out = out[:, first : first + length]
    return np.pad(out, ((0, 0), (0, length - out.shape[1])))



def _later(curve: NDArray[np.float64], before: float, by: int) -> NDArray[np.float64]:
    """The curve `by` samples later, `before` until then."""
    return np.concatenate([np.full(by, before), curve])[: len(curve)]
