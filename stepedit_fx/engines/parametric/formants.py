"""Formants moved, before time and pitch are: there harmonics lie as they were recorded.

Pitch is moved by reading faster or slower, which takes the formants along; so they are put where
that will bring them home. A gain after it would be told from harmonics that are further apart,
and would bring out what the stretcher left between them: at +5 semitones a machine that listens
then takes twice as many words wrongly (docs/parametric.md).
"""

from __future__ import annotations

import numpy as np
from scipy import fft

from stepedit_fx.audio import Samples
from stepedit_fx.engines.parametric.timbre import (
    Floats,
    bridged,
    mean_power,
    to_samples,
    to_spectra,
    window_frames,
    window_size,
)

MAX_GAIN_DB = 18.0
MAX_MADE_UP = 2.0  # for what is lost; more would bring out the room where a whine is all of it
LEAST_HZ = 50.0
# CheapTrick's q1, from Morise 2015, "CheapTrick, a spectral envelope estimator": what smoothing
# by a pitch takes off the envelope's peaks comes back.
SHARPEN = -0.09
LEAST_POWER = 1e-14


def move_formants(
    samples: Samples,
    rate: int,
    clock_s: Floats,
    formant_ln: Floats,
    pitch_st: Floats,
    f0: Floats,
) -> Samples:
    """Samples (channels, frames) with formants where they will be as asked once pitch is moved.

    clock_s: the source's second of each sample. Per 10 ms frame of the source: formant_ln, log of
    the ratio as heard; pitch_st, what reading will move all by; f0, hertz now, 0 unvoiced.
    """
    size = window_size(rate)
    spectra = to_spectra(samples, size)
    frame = window_frames(clock_s, spectra.shape[1], size)
    grid = np.arange(len(f0))
    pitch_ln = np.interp(frame, grid, pitch_st)[:, None] * (np.log(2) / 12)
    ratio = np.exp(pitch_ln - np.interp(frame, grid, formant_ln)[:, None])
    power = mean_power(spectra)
    envelope = log_envelope(power, rate, np.interp(frame, grid, bridged(f0)))
    place = np.arange(envelope.shape[1]) * ratio
    limit = MAX_GAIN_DB * np.log(10) / 20
    gain = np.exp(np.clip(_read(envelope, place) - envelope, -limit, limit))
    # Energy stays, in what will be heard: what reading lifts over Nyquist is lost.
    lost = np.arange(power.shape[1]) * np.exp(pitch_ln) > power.shape[1] - 1
    kept = np.where(lost, 0.0, power * gain**2).sum(axis=1)
    gain *= np.minimum(np.sqrt(power.sum(axis=1) / np.maximum(kept, 1e-20)), MAX_MADE_UP)[:, None]
    return to_samples(spectra * gain.astype(np.float32), size, samples.shape[1])


def log_envelope(power: Floats, rate: int, f0: Floats) -> Floats:
    """Natural-log magnitude envelope of power spectra (windows, bins) of voices of these f0.

    Power is averaged over one harmonic's width, so that it no longer matters where harmonics lie,
    and its log smoothed over another (Morise 2015; the windows there follow the pitch as well).
    """
    f0 = np.maximum(f0, LEAST_HZ)[:, None]
    bins = power.shape[1]
    width = np.maximum(f0 * (2 * (bins - 1) / rate), 1.0)
    margin = int(np.ceil(width.max())) + 1
    mirrored = np.pad(power, ((0, 0), (margin, margin)), mode="reflect")
    total = np.pad(np.cumsum(mirrored, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    middle = np.arange(bins) + margin + 0.5
    mean = (_read(total, middle + width / 2) - _read(total, middle - width / 2)) / width
    cepstrum = fft.irfft(0.5 * np.log(np.maximum(mean, LEAST_POWER)), axis=1)
    kept = min(bins, int(rate / LEAST_HZ) + 1)
    periods = np.minimum(np.arange(kept) / rate * f0, 1.0)
    lifter = np.sinc(periods) * (1 - 2 * SHARPEN * (1 - np.cos(2 * np.pi * periods)))
    lifter[:, 1:] *= 2  # a cepstrum is symmetric: one half does
    half = np.zeros_like(cepstrum)
    half[:, :kept] = cepstrum[:, :kept] * lifter
    envelope: Floats = fft.rfft(half, axis=1).real
    return envelope


def _read(rows: Floats, place: Floats) -> Floats:
    """Each row at its places between bins, ends held."""
    place = np.clip(place, 0, rows.shape[1] - 1.001)
    low = place.astype(np.int64)
    below = np.take_along_axis(rows, low, axis=1)
    above = np.take_along_axis(rows, low + 1, axis=1)
    return below + (place - low) * (above - below)
