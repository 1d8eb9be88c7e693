"""How loud a sound is (ITU-R BS.1770-4) and how high it peaks between its samples."""

from __future__ import annotations

import numpy as np
import pyloudnorm
import soxr

from stepedit_fx.audio import Samples

BLOCK_S = 0.4  # of the standard's gating
TRUE_PEAK_OVERSAMPLING = 4  # BS.1770-4, annex 2, for rates up to 48 kHz
# What needs no factor: four times 48 kHz is where the standard stops to look.
MAX_RATE_HZ = 192_000
LOOKAHEAD_S = 0.004  # of the limiter: shorter than a period of most voices, so that nothing pumps
LIMIT_PASSES = 4


def loudness_lufs(samples: Samples, rate: int) -> float:
    """Integrated loudness of (channels, frames), in LUFS; -inf for silence.

    Channels count alike. A clip shorter than one gating block is taken as one block.
    """
    least = int(np.ceil(BLOCK_S * rate)) + 1
    if samples.shape[1] == 0 or not samples.any():
        return -np.inf
    if samples.shape[1] < least:
        # One block of the clip and silence, and back to the clip's own share of it.
        longer = np.pad(samples, ((0, 0), (0, least - samples.shape[1])))
        share_db = 10 * float(np.log10(samples.shape[1] / least))
        return loudness_lufs(longer, rate) - share_db
    if samples.shape[0] > 3:  # pyloudnorm stops at five, and takes the last two for surrounds
        each = [loudness_lufs(channel[None], rate) for channel in samples]
        return 10 * float(np.log10(np.sum(10 ** (np.array(each) / 10))))
    with np.errstate(divide="ignore"):  # all of it below the gate
        return float(pyloudnorm.Meter(rate).integrated_loudness(samples.T.astype(np.float64)))


def true_peak(samples: Samples, rate: int) -> float:
    """The largest magnitude of (channels, frames) between samples too, full scale 1.0."""
    factor = min(TRUE_PEAK_OVERSAMPLING, MAX_RATE_HZ // rate)
    held = float(np.abs(samples).max(initial=0.0))
    if factor < 2 or samples.shape[1] == 0:
        return held
    between = soxr.resample(samples.T, rate, factor * rate)
    return max(held, float(np.abs(between).max(initial=0.0)))


def limited(samples: Samples, rate: int, ceiling: float) -> Samples:
    """Samples whose true peak is at most the ceiling (full scale 1.0); untouched where under.

    One gain for all channels, that goes down before a peak and up after it, without a corner.
    """
    if true_peak(samples, rate) <= ceiling:
        return samples
    aim = ceiling
    for _ in range(LIMIT_PASSES):
        held: Samples = samples * _held_down(samples, rate, aim)
        over = true_peak(held, rate) / ceiling
        if over <= 1:
            return held
        # A gain that moves makes peaks of its own, a little.
        aim /= over * 1.0005
    return held / np.float32(over * 1.0005)


def _held_down(samples: Samples, rate: int, ceiling: float) -> Samples:
    """A gain for every sample that keeps what lies around it under the ceiling, (frames,)."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

    factor = max(1, min(TRUE_PEAK_OVERSAMPLING, MAX_RATE_HZ // rate))
    count = samples.shape[1]
    between = np.abs(soxr.resample(samples.T, rate, factor * rate)).reshape(-1, len(samples))
    peaks = np.zeros(factor * count, np.float32)
    peaks[: len(between)] = between.max(axis=1)[: len(peaks)]
    peak = np.maximum(peaks.reshape(count, factor).max(axis=1), np.abs(samples).max(axis=0))
    needed = np.minimum(1.0, ceiling / np.maximum(maximum_filter1d(peak, 3), 1e-12))
    width = 2 * round(LOOKAHEAD_S * rate) + 1
    # The lowest around, then two means over it: never above what each sample needs.
    gain = minimum_filter1d(needed.astype(np.float64), 2 * width - 1)
    gain = uniform_filter1d(uniform_filter1d(gain, width), width)
    smooth: Samples = gain.astype(np.float32)
    return smooth
