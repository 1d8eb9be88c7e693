"""The control curves that edits write and the renderer reads.

A curve has one value per 10 ms frame of the source (see `stepedit_fx.measures`) and is 0 where
nothing is asked for, so edits compose by adding up and an absent curve costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.measures import FRAME_S

Curve = NDArray[np.float32]

# name -> the limits its sum is held to when rendered. Ratios are natural logarithms.
LIMITS: Mapping[str, tuple[float, float]] = {
    "pitch_st": (-24.0, 24.0),  # shift of f0, semitones; formants stay
    "stretch_ln": (-7.0, 1.4),  # duration; at most 4 times as long, down to nothing
    "gain_db": (-40.0, 12.0),
    "high_db": (-24.0, 18.0),  # shelf above 1 kHz
    "low_db": (-24.0, 12.0),  # shelf below 300 Hz
    "formant_ln": (-0.45, 0.45),  # formant frequencies: 0.64 to 1.57 times
    "breath": (0.0, 1.0),  # aspiration beside the voice; a quarter is as loud above 3 kHz
    "whisper": (0.0, 1.0),  # share of the voicing replaced by noise
    "denoise": (0.0, 1.0),  # how much of the background is taken away
    "jitter": (0.0, 0.08),  # change of the period from cycle to cycle, as a fraction
    "shimmer_db": (0.0, 3.0),  # change of the level from cycle to cycle
    "tremor_st": (0.0, 1.5),  # depth of a slow waver of f0
}


def limited(curves: Mapping[str, Curve], name: str, frames: int) -> Curve:
    """A curve held to its limits, zeros where absent, (frames,)."""
    if name not in curves:
        return np.zeros(frames, np.float32)
    low, high = LIMITS[name]
    return np.clip(curves[name], low, high)


def at_samples(curve: NDArray[np.floating], first: int, end: int, rate: int) -> NDArray[np.float64]:
    """The curve's values at samples first..end of the source, ends held, (end - first,)."""
    frame = np.arange(first, end) / (rate * FRAME_S)
    values: NDArray[np.float64] = np.interp(frame, np.arange(len(curve)), curve)
    return values


def smooth(curve: NDArray[np.floating], frames: int) -> NDArray[np.float64]:
    """Moving average by a Hann window of this many frames, ends held."""
    if frames < 2 or len(curve) == 0:
        return np.asarray(curve, np.float64)
    window = np.hanning(frames + 2)[1:-1]
    padded = np.pad(np.asarray(curve, np.float64), frames, mode="edge")
    return np.convolve(padded, window / window.sum(), "same")[frames:-frames]
