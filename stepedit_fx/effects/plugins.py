"""Pedalboard plugins from frozen effects, and one safe way to run them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import CURVES, Effect
from stepedit_fx.effects.files import located
from stepedit_fx.errors import EffectError

Plugin = Any  # pedalboard.Plugin; importing pedalboard costs 60 ms, so it waits for its use


def built(effect: Effect, sample_rate: int, folder: Path) -> Plugin:
    """A fresh plugin with the effect's values at time 0. Raises EffectError."""
    import pedalboard

    params: dict[str, Any] = {
        name: float(value.at(np.zeros(1))[0]) if isinstance(value, CURVES) else value
        for name, value in effect.params
    }
    if effect.name == "Convolution":
        path = located(str(params.pop("impulse_response_filename")), folder)
        response = impulse_response(path, sample_rate)
        return pedalboard.Convolution(response, sample_rate=sample_rate, **params)
    cls = getattr(pedalboard, effect.name)
    if "mode" in params:
        params["mode"] = cls.Mode.__members__[params["mode"]]
    if "quality" in params:
        params["quality"] = pedalboard.Resample.Quality.__members__[params["quality"]]
    plugin = cls(**params)
    if effect.name == "Phaser":
        # Until it has run at a rate it places its centre as at 44.1 kHz: 943 Hz, not 1300, at 24.
        pedalboard.process(np.zeros((1, 64), np.float32), sample_rate, [plugin])
        plugin.reset()
        plugin.centre_frequency_hz = params["centre_frequency_hz"]
    return plugin


def processed(plugins: Sequence[Plugin], samples: Samples, sample_rate: int, names: str) -> Samples:
    """The samples through plugins, (channels, frames) in and out; state is reset before.

    Raises EffectError, naming the effects, where pedalboard fails or gives what is no sound.
    """
    import pedalboard

    frames = samples.shape[1]
    if frames == 0 or not plugins:
        return samples
    try:
        out = pedalboard.process(longer(samples), sample_rate, list(plugins))
    except (ValueError, RuntimeError, TypeError) as error:
        raise EffectError(f"{names}: {error}", remedy="Leave it out or change it.") from error
    return checked(out[:, :frames], samples, names)


def longer(samples: Samples) -> Samples:
    """The samples with silence after them, if need be, so that frames outnumber channels.

    pedalboard tells (channels, frames) from (frames, channels) by which is larger.
    """
    channels, frames = samples.shape
    if frames > channels:
        return samples
    return np.pad(samples, ((0, 0), (0, channels + 1 - frames)))


def checked(out: Samples, samples: Samples, names: str) -> Samples:
    """The output, if it is as long as the input and finite; else EffectError."""
    if out.shape != samples.shape:
        message = f"{names}: {samples.shape} samples came out as {out.shape}"
        raise EffectError(message, remedy="Leave the effect out.")
    if not np.isfinite(out).all():
        raise EffectError(
            f"{names}: the sound ran away to infinity", remedy="Lower its feedback or resonance."
        )
    return out


def impulse_response(path: Path, sample_rate: int) -> Samples:
    """An impulse response at a rate, (1 or 2, frames). Raises ReadError and EffectError.

    pedalboard takes any file at all for one, a text file too, and its own resampling shifts
    the sound by up to 3 frames; so we read and resample.
    """
    from stepedit_fx.files import read_audio

    response = read_audio(path)
    if response.channels > 2:
        raise EffectError(
            f"Convolution: {path} has {response.channels} channels",
            remedy="Give a mono or stereo impulse response.",
        )
    if response.peak == 0.0:
        raise EffectError(f"Convolution: {path} is silent", remedy="Give another one.")
    return resampled(response.samples, response.sample_rate, sample_rate)


def resampled(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """The samples at another rate, aligned at the start, (channels, frames)."""
    import soxr

    if from_hz == to_hz:
        return samples
    out: Samples = soxr.resample(samples.T, from_hz, to_hz, quality="VHQ").T
    return np.ascontiguousarray(out, dtype=np.float32)


def at_rate(
    plugin: Plugin, samples: Samples, sample_rate: int, rates_hz: Sequence[int], name: str
) -> Samples:
    """Through a plugin at the nearest rate it takes: next above the audio's, else the highest."""
    rate = min((r for r in rates_hz if r >= sample_rate), default=max(rates_hz))
    out = processed([plugin], resampled(samples, sample_rate, rate), rate, name)
    return fitted(resampled(out, rate, sample_rate), samples.shape[1])


def fitted(samples: Samples, frames: int) -> Samples:
    """The samples cut, or followed by silence, to a number of frames."""
    short = frames - samples.shape[1]
    return samples[:, :frames] if short <= 0 else np.pad(samples, ((0, 0), (0, short)))


def lag_frames(run: Callable[[Samples], Samples], sample_rate: int) -> int:
    """How many frames later (earlier: negative) sound comes out of a process than it went in.

    Sends four short bursts through and finds the shift at which the loudness curves of input
    and output agree best; good to about 0.2 ms, for processes that keep the pace.
    """
    burst_frames = round(0.04 * sample_rate)
    phase = 2 * np.pi * 400.0 / sample_rate * np.arange(burst_frames)
    burst = 0.5 * np.hanning(burst_frames) * np.sin(phase)
    probe = np.zeros((1, round(0.8 * sample_rate)), np.float32)
    for start_s in (0.1, 0.23, 0.41, 0.52):  # uneven, so that one shift only agrees
        start = round(start_s * sample_rate)
        probe[0, start : start + burst_frames] += burst.astype(np.float32)
    size = 2 * probe.shape[1]
    went, came = (np.fft.rfft(_loudness(x, sample_rate), size) for x in (probe, run(probe)))
    shift = int(np.fft.irfft(came * np.conj(went), size).argmax())
    return shift if shift < size // 2 else shift - size


def _loudness(samples: Samples, sample_rate: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    width = max(1, round(0.002 * sample_rate))
    return np.convolve(np.abs(samples[0]), np.ones(width) / width, mode="same")


@lru_cache(maxsize=64)
def pitch_shift_lag_frames(semitones: float, sample_rate: int) -> int:
    """How far pedalboard's PitchShift is off: up to 27 ms early going up, 65 ms late going down.

    It makes good the latency Rubber Band has without a shift; what it has with one depends on
    interval and rate by no simple rule, so it is measured (25 ms of work at 24 kHz), once.
    """
    import pedalboard

    def run(probe: Samples) -> Samples:
        return processed([pedalboard.PitchShift(semitones)], probe, sample_rate, "PitchShift")

    return lag_frames(run, sample_rate)


def pitch_shifted(plugin: Plugin, samples: Samples, sample_rate: int) -> Samples:
    """The samples through a PitchShift plugin, in line with what went in."""
    lag = pitch_shift_lag_frames(float(plugin.semitones), sample_rate)
    padded = np.pad(samples, ((0, 0), (max(-lag, 0), max(lag, 0))))
    out = processed([plugin], padded, sample_rate, "PitchShift")
    return np.ascontiguousarray(out[:, max(lag, 0) :][:, : samples.shape[1]])
