"""Jitter, shimmer and tremor: small movements of the waveform itself, cycle by cycle.

A time-stretcher cannot make these: it moves pitch some 20 times a second at best.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.measures import FRAME_S
from stepedit_fx.stretch import read_between

Floats = NDArray[np.floating[Any]]

NEEDS_IRREGULARITY = ("jitter", "shimmer_db", "tremor_st")
TREMOR_HZ = 6.0  # fear's waver lies at 5 to 8 Hz (Scherer 2003)
# For independent displacements of the cycles' edges with deviation s, neighbouring periods
# differ by 1.95 s on average (the mean magnitude of a normal with deviation sqrt(6) s).
MEAN_DIFFERENCE = 1.95


def make_irregular(
    samples: Samples,
    rate: int,
    clock_s: Floats,
    curves: Mapping[str, Floats],
    f0: Floats,
    rng: np.random.Generator,
) -> Samples:
    """Displace and scale samples, (channels, frames).

    clock_s: the second of the source that each sample comes from, (frames,). curves: jitter,
    shimmer_db, tremor_st per 10 ms frame of the source. f0: hertz as heard, per frame, bridged.
    """
    at = clock_s
    grid = np.arange(len(f0)) * FRAME_S
    f0_at = np.interp(at, grid, f0)
    cycle = np.cumsum(f0_at) / rate
    edges = np.arange(int(cycle[-1]) + 2)

    def per_cycle() -> Floats:
        return np.interp(cycle, edges, rng.standard_normal(len(edges)))

    shift = np.zeros(samples.shape[1])
    if "jitter" in curves:
        period = rate / f0_at
        shift += np.interp(at, grid, curves["jitter"]) / MEAN_DIFFERENCE * period * per_cycle()
    if "tremor_st" in curves:
        depth = np.interp(at, grid, curves["tremor_st"])
        # A delay of A sin(wt) samples bends the pitch by A w / rate at most.
        omega = 2 * np.pi * TREMOR_HZ
        elapsed = np.arange(samples.shape[1]) / rate
        phase = omega * elapsed + 1.5 * np.sin(0.7 * elapsed + rng.uniform(0, 2 * np.pi))
        shift += (2 ** (depth / 12) - 1) * rate / omega * np.sin(phase)
    out = read_between(samples, np.arange(samples.shape[1]) + shift)
    if "shimmer_db" in curves:
        depth = np.interp(at, grid, curves["shimmer_db"])
        out = out * np.power(10, depth * per_cycle() / 20).astype(np.float32)
    return out
