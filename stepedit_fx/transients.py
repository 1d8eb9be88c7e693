"""Clicks: moments far sharper than all that is around them, which a stretcher would smear.

Rubber Band spreads a click in a voice over two milliseconds or so. Its highs, which say where it
is, are therefore taken out before and laid over the result where its moment is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, sosfiltfilt

from stepedit_fx.audio import Samples

HIGH_HZ = 3000.0  # over the harmonics that carry a voice
HALF_S = 0.002  # of what is taken out around a click
NEAR_S = 0.025  # what it is compared with, on both sides: a period of the slowest creak
TIMES = 3.0  # how much higher than that its peak is; pulses of a voice are not


@dataclass(frozen=True)
class Click:
    """The highs of one click: where its middle is, and (channels, 2 * half + 1) samples."""

    place: int
    samples: Samples


def without_clicks(samples: Samples, rate: int) -> tuple[Samples, list[Click]]:
    """Samples (channels, frames) without the highs of their clicks, and those."""
    half, near = round(HALF_S * rate), round(NEAR_S * rate)
    if samples.shape[1] <= 2 * near:
        return samples, []
    lowest = min(HIGH_HZ, rate / 4)
    highs = sosfiltfilt(butter(4, lowest, "highpass", fs=rate, output="sos"), samples, axis=1)
    level = np.abs(highs).max(axis=0)
    # The highest of what lies from `half` to `near` before each sample, and the same after it.
    width = near - half
    beside = maximum_filter1d(level, width, mode="constant")
    away = half + (width + 1) // 2
    around = np.maximum(np.pad(beside, (away, 0))[: len(level)], np.pad(beside, (0, away))[away:])
    is_top = level >= maximum_filter1d(level, 2 * half + 1)
    places = np.flatnonzero(is_top & (level > TIMES * around) & (level > 0))
    if len(places) == 0:
        return samples, []
    shape = np.hanning(2 * half + 3)[1:-1] ** 0.25  # flat in its middle
    rest = np.array(samples)
    found: list[Click] = []
    for place in places:
        if half <= place < samples.shape[1] - half and (
            not found or place > found[-1].place + 2 * half
        ):
            span = slice(place - half, place + half + 1)
            click = (highs[:, span] * shape).astype(np.float32)
            rest[:, span] -= click
            found.append(Click(int(place), click))
    return rest, found


def lay_over(samples: Samples, clicks: list[Click], places: list[int]) -> None:
    """Clicks added to samples, in place, their middles at places; what hangs over is cut off."""
    for click, place in zip(clicks, places, strict=True):
        first = place - click.samples.shape[1] // 2
        a, b = max(first, 0), min(first + click.samples.shape[1], samples.shape[1])
        if a < b:
            samples[:, a:b] += click.samples[:, a - first : b - first]
