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
