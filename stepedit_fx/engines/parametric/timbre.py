"""Changes of spectrum: one pass over short-time spectra does them all.

Whisper, breath and the two shelves are gains per window and bin (and noise under the window's own
envelope), so they cost one Fourier transform there and one back. Denoise is a pass of its own,
before time and pitch move: it needs the background as it was recorded. So are formants, which
have a module of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from stepedit_fx.audio import Samples
from stepedit_fx.measures import FRAME_S

Spectra = NDArray[np.complex64]  # (channels, windows, bins)
Floats = NDArray[np.floating[Any]]  # mostly (windows, bins)

NEEDS_SPECTRA = ("whisper", "breath", "high_db", "low_db")
WINDOW_S = 0.04  # two or three periods of a low voice, short enough for plosives
OVERLAP = 4
MAX_NOISE_BLOCKS = 40  # of 64 windows: about a minute says what the background is
SILENT_POWER = 1e-9  # of a window's spectrum in all: less is a gate or an edit, not a room
DENOISE_FLOOR_DB = -18.0  # what stays of the background masks the musical noise
# Under noise formants are wider (the glottis is open); narrow ones would ring like a voice.
NOISE_QUEFRENCY_S = 0.0018
NOISE_BAND_HZ = 1000.0


def window_size(rate: int) -> int:
    """The power of two nearest to WINDOW_S."""
    return int(2 ** round(np.log2(rate * WINDOW_S)))


def _window(size: int) -> NDArray[np.float32]:
    # Periodic root Hann, for analysis and synthesis: the squares add up to OVERLAP / 2.
    return np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def to_spectra(samples: Samples, size: int) -> Spectra:
    """(channels, frames) to short-time spectra; window w is centred on sample w * size / 4."""
    hop = size // OVERLAP
    padded = np.pad(samples, ((0, 0), (size // 2, size // 2 + hop)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, ::hop]
    spectra: Spectra = fft.rfft(windows * _window(size), axis=2)
    return spectra


def to_samples(spectra: Spectra, size: int, frames: int) -> Samples:
    """Back to (channels, frames) by overlap-add."""
    hop = size // OVERLAP
    pieces = fft.irfft(spectra, size, axis=2) * (_window(size) * (2 / OVERLAP))
    channels, windows, _ = pieces.shape
    # Window w covers hops w..w+3: add each quarter to its own shifted row of hops.
    quarters = pieces.reshape(channels, windows, OVERLAP, hop)
    rows = np.zeros((channels, windows + OVERLAP - 1, hop), np.float32)
    for quarter in range(OVERLAP):
        rows[:, quarter : quarter + windows] += quarters[:, :, quarter]
    return rows.reshape(channels, -1)[:, size // 2 : size // 2 + frames]


def noise_spectrum(samples: Samples, rate: int, spans: tuple[tuple[int, int], ...]) -> Floats:
    """Mean power of the background per bin, (bins,).

    Taken from the spans of samples that are pauses; where those hold less than 0.2 s of anything
    but digital silence, the quiet tenth of the whole clip stands in (its mean, brought up to an
    average's level). Of long stretches only a part is looked at, evenly spread.
    """
    size = window_size(rate)
    long = [(a, b) for a, b in spans if b - a > 2 * size]
    power = _background([samples[:, a:b] for a, b in long], size)
    if len(power) * size // OVERLAP > 0.2 * rate:
        mean: Floats = power.mean(axis=0)
        return mean
    power = _background([samples], size)
    if len(power) == 0:
        return np.zeros(size // 2 + 1)
    quiet: Floats = 2.0 * np.percentile(power, 10, axis=0)
    return quiet


def _background(parts: Sequence[Samples], size: int) -> Floats:
    """Power of the windows of these parts that are not silence, (windows, bins)."""
    found = [np.zeros((0, size // 2 + 1))]
    block = 64 * size
    blocks = [part[:, at : at + block] for part in parts for at in range(0, part.shape[1], block)]
    for part in blocks[:: 1 + len(blocks) // MAX_NOISE_BLOCKS]:
        power = mean_power(to_spectra(part, size))[2:-3]  # whole windows only
        found.append(power[power.sum(axis=1) > SILENT_POWER])
    return np.concatenate(found)


def _energy(spectra: Spectra) -> Floats:
    """Energy of each window, (channels, windows, 1)."""
    out: Floats = (spectra.real**2 + spectra.imag**2).sum(axis=2, keepdims=True)
    return out


def mean_power(spectra: Spectra) -> Floats:
    """Mean power over channels, (windows, bins)."""
    out: Floats = (spectra.real**2 + spectra.imag**2).mean(axis=0)
    return out


def denoise(samples: Samples, rate: int, clock_s: Floats, amount: Floats, noise: Floats) -> Samples:
    """Background taken away from samples (channels, frames).

    clock_s: the source's second of each sample. amount: 0..1 per 10 ms frame of the source.
    noise: `noise_spectrum` of the source.
    """
    size = window_size(rate)
    spectra = to_spectra(samples, size)
    frame = window_frames(clock_s, spectra.shape[1], size)
    share = np.interp(frame, np.arange(len(amount)), amount)[:, None]
    return to_samples(
        spectra * _denoise_gains(mean_power(spectra), noise, share), size, samples.shape[1]
    )


def change_timbre(
    samples: Samples,
    rate: int,
    clock_s: Floats,
    curves: Mapping[str, Floats],
    f0: Floats,
    rng: np.random.Generator,
) -> Samples:
    """Whisper, breath and shelves on samples (channels, frames).

    clock_s: the source's second of each sample. curves: those of NEEDS_SPECTRA that ask for
    something, per 10 ms frame of the source. f0: hertz as heard, per frame, 0 unvoiced.
    """
    size = window_size(rate)
    spectra = to_spectra(samples, size)
    windows = spectra.shape[1]
    frame = window_frames(clock_s, windows, size)
    grid = np.arange(len(f0))
    at = {name: np.interp(frame, grid, curve)[:, None] for name, curve in curves.items()}
    hz = np.fft.rfftfreq(size, 1 / rate)
    if {"whisper", "breath"} & at.keys():
        f0_at = np.interp(frame, grid, bridged(f0))
        voiced = (f0 > 0).astype(float)
        # A window that touches voicing holds some of it: whisper must reach it. Breath must not
        # reach past it, or it takes on the loud hiss of a fricative next door.
        for name, spread in (("whisper", maximum_filter1d), ("breath", minimum_filter1d)):
            if name in at:
                at[name] = at[name] * np.interp(frame, grid, spread(voiced, 5))[:, None]
        spectra = _with_noise(spectra, rate, at, f0_at, hz, rng)
    shelves: Floats = np.zeros((windows, 1))
    if "high_db" in at:
        # A boost eases off by half where sibilants lie, or they would hiss.
        eased = _step(hz, 700.0, 1400.0) * (1 - 0.5 * _step(hz, 4500.0, 7500.0))
        shelves = at["high_db"] * np.where(at["high_db"] > 0, eased, _step(hz, 700.0, 1400.0))
    if "low_db" in at:
        shelves = shelves + at["low_db"] * _step(hz, 450.0, 220.0)
    if np.any(shelves):
        spectra = spectra * np.power(10, shelves / 20).astype(np.float32)
    return to_samples(spectra, size, samples.shape[1])


def window_frames(clock_s: Floats, windows: int, size: int) -> Floats:
    """The source's 10 ms frame, as a fraction, under the centre of each window."""
    centre = np.minimum(np.arange(windows) * (size // OVERLAP), len(clock_s) - 1)
    return np.asarray(clock_s[centre] / FRAME_S)


def bridged(f0: Floats) -> Floats:
    """f0 with unvoiced frames bridged, so that interpolation never mixes in zeros, (frames,)."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full(len(f0), 120.0)
    return np.interp(np.arange(len(f0)), voiced, f0[voiced])


def _step(hz: Floats, start: float, end: float) -> Floats:
    """0 before `start`, 1 beyond `end`, a smooth step on the octave scale between."""
    octave = np.log2(np.maximum(hz, 1.0) / start) / np.log2(end / start)
    x = np.clip(octave, 0, 1)
    out: Floats = x * x * (3 - 2 * x)
    return out


def _with_noise(
    spectra: Spectra,
    rate: int,
    at: Mapping[str, Floats],
    f0: Floats,
    hz: Floats,
    rng: np.random.Generator,
) -> Spectra:
    """Voicing swapped for, or mixed with, noise under the same envelope."""
    power = mean_power(spectra)
    # The envelope gives the noise its formants, the power around each bin its level: a smooth
    # envelope alone misses strong harmonics and overshoots beside cliffs.
    shape = np.exp(_wide_envelope(power, rate, f0))
    width = 2 * round(NOISE_BAND_HZ / 2 / hz[1]) + 1
    wanted, given = (uniform_filter1d(p, width, axis=1) for p in (power, shape**2))
    noise = shape * np.sqrt(wanted / np.maximum(given, 1e-20)) * _noise(spectra, rng)
    # In each channel at its own level, so that a voice keeps its place between them.
    noise = noise * np.sqrt(_energy(spectra) / np.maximum(power.sum(1)[None, :, None], 1e-20))
    if "breath" in at:
        # Aspiration is made at the glottis: it rises with frequency (Klatt & Klatt 1990).
        share = at["breath"] * (0.35 + 0.65 * _step(hz, 500.0, 3000.0))
        spectra = spectra + noise * (4.0 * share).astype(np.float32)
    if "whisper" in at:
        share = at["whisper"]
        spectra = spectra * np.sqrt(1 - share).astype(np.float32)
        spectra = spectra + noise * np.sqrt(share).astype(np.float32)
    return spectra.astype(np.complex64)


def _wide_envelope(power: Floats, rate: int, f0: Floats) -> Floats:
    """Natural-log magnitude envelope by cepstral smoothing below the pitch period."""
    cepstrum = fft.irfft(0.5 * np.log(np.maximum(power, np.float32(1e-14))), axis=1)
    cutoff_s = np.minimum(NOISE_QUEFRENCY_S, 0.7 / np.maximum(f0, 50.0))[:, None]
    kept = int(NOISE_QUEFRENCY_S * rate) + 1
    share = np.clip(np.arange(kept) / rate / cutoff_s, 0, 1)
    # A cepstrum is symmetric: one half does, with all but its first value counted twice.
    lifter = (1 + np.cos(np.pi * share)).astype(np.float32)
    lifter[:, 0] = 1
    half = np.zeros_like(cepstrum)
    half[:, :kept] = cepstrum[:, :kept] * lifter
    smooth: Floats = fft.rfft(half, axis=1).real
    return smooth


def _noise(spectra: Spectra, rng: np.random.Generator) -> Spectra:
    """The short-time spectra of one white noise, the same in all channels, (1, windows, bins)."""
    _, windows, bins = spectra.shape
    size = 2 * (bins - 1)
    white = rng.standard_normal((1, (windows - 2) * (size // OVERLAP) + 1), dtype=np.float32)
    out = to_spectra(white, size)
    if out.shape[1] < windows:
        out = np.pad(out, ((0, 0), (0, windows - out.shape[1]), (0, 0)), mode="wrap")
    out = out[:, :windows] / np.float32(np.sqrt(size / 2))
    return out


def _denoise_gains(power: Floats, noise: Floats, amount: Floats) -> Floats:
    """Wiener gains with the decision-directed prior SNR (Ephraim & Malah 1984, alpha 0.98)."""
    posterior = power / np.maximum(noise, 1e-14)
    gains = np.empty_like(posterior)
    clean = np.maximum(posterior[0] - 1, 0)
    for window, snr in enumerate(posterior):
        prior = 0.96 * clean + 0.04 * np.maximum(snr - 1, 0)
        gain = prior / (1 + prior)
        gains[window] = gain
        clean = gain * gain * snr
    floor = 10 ** (DENOISE_FLOOR_DB / 20)
    out: Floats = (1 + amount * (np.maximum(gains, floor) - 1)).astype(np.float32)
    return out
