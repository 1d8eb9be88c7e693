"""Pedalboard plugins from frozen effects, and one safe way to run them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepedit_fx.audio import Samples
from stepedit_fx.effects.chain import CURVES, Effect
from stepedit_fx.effects.files import located
from stepedit_fx.errors import EffectError

_FLUSH_FRAMES = 8192  # what pedalboard works in inside
_MOST_FLUSHES = 64

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
    if samples.shape[1] == 0 or not plugins:
        return samples
    out = _process(plugins, samples, sample_rate, names, reset=True)
    return checked(out[:, : samples.shape[1]], samples, names)


def streamed(
    plugins: Sequence[Plugin], samples: Iterable[Samples], sample_rate: int, names: str
) -> Iterator[Samples]:
    """Blocks through fresh plugins that give the same in blocks. Raises EffectError."""
    for block in samples:
        out = _process(plugins, block, sample_rate, names, reset=False)
        yield checked(out[:, : block.shape[1]], block, names)


def delayed(
    plugin: Plugin, samples: Iterable[Samples], sample_rate: int, name: str
) -> Iterator[Samples]:
    """Blocks through a fresh plugin that gives its frames late, and as many as it got in the end.

    pedalboard leaves out what the plugin has no output for yet, so the blocks come in any length,
    in line with what went in. Raises EffectError.
    """
    stream = iter(samples)
    first, second = next(stream), next(stream, None)
    if second is None:
        yield processed([plugin], first, sample_rate, name)
        return
    # The silence after the end is no longer than the blocks before: on a longer one than any
    # before JUCE forgets its state.
    owed, channels = 0, first.shape[0]
    for block in chain([first, second], stream):
        out = _process([plugin], block, sample_rate, name, reset=False)
        owed += block.shape[1] - out.shape[1]
        yield checked(out, out, name)
    silence = np.zeros((channels, _FLUSH_FRAMES), np.float32)
    for _ in range(_MOST_FLUSHES):
        if owed <= 0:
            return
        out = _process([plugin], silence, sample_rate, name, reset=False)
        owed -= out.shape[1]
        yield out
    raise EffectError(f"{name}: it keeps {owed} frames back", remedy="Leave the effect out.")


def processed_on(
    plugins: Sequence[Plugin], samples: Samples, sample_rate: int, names: str, piece: int
) -> Samples:
    """The next samples through plugins that give the same in blocks, `piece` frames at a time.

    Raises EffectError.
    """
    out = _process(plugins, samples, sample_rate, names, reset=False, piece=piece)
    return checked(out[:, : samples.shape[1]], samples, names)


def _process(
    plugins: Sequence[Plugin],
    samples: Samples,
    sample_rate: int,
    names: str,
    *,
    reset: bool,
    piece: int = 8192,  # pedalboard's own
) -> Samples:
    import pedalboard

    try:
        out: Samples = pedalboard.process(
            longer(samples), sample_rate, list(plugins), piece, reset=reset
        )
    except (ValueError, RuntimeError, TypeError) as error:
        raise EffectError(f"{names}: {error}", remedy="Leave it out or change it.") from error
    return out


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


@lru_cache(maxsize=64)
def pitch_shift_lag_frames(semitones: float, sample_rate: int) -> int:
    """How far pedalboard's PitchShift is off: early (below 0) going up, late going down.

    It makes good the latency Rubber Band has without a shift; what it has with one depends on
    interval and rate by no simple rule. So it is measured, once (0.1 s of work at 24 kHz): the
    shift at which the loudness of what went in and of what came out agree best.

    At 24 and 48 kHz that is within 3 ms of what six recordings of speech show (6 ms early at 12
    semitones), 6 ms two octaves down. The probe is noise because that agrees with itself: bursts
    of a tone, or an even buzz, Rubber Band moves by up to 20 ms more, this way or that.
    """
    import pedalboard

    probe = _syllables(sample_rate)
    out = processed([pedalboard.PitchShift(semitones)], probe, sample_rate, "PitchShift")
    size = 2 * probe.shape[1]
    went, came = (np.fft.rfft(_loudness(sound, sample_rate), size) for sound in (probe, out))
    shift = int(np.fft.irfft(came * np.conj(went), size).argmax())
    return shift if shift < size // 2 else shift - size


def _syllables(sample_rate: int) -> Samples:
    """Four seconds of noise in syllables of uneven length and level, (1, frames)."""
    random = np.random.default_rng(0)
    sound = random.standard_normal(4 * sample_rate, dtype=np.float32)
    loudness = np.zeros_like(sound)
    start_s = 0.1
    while start_s < 3.6:
        length_s = random.uniform(0.08, 0.25)
        start, length = round(start_s * sample_rate), round(length_s * sample_rate)
        loudness[start : start + length] = random.uniform(0.06, 0.2) * np.hanning(length)
        start_s += length_s + random.uniform(0.0, 0.08)
    return np.atleast_2d(sound * loudness)


def _loudness(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Mean magnitude over 10 ms, less its own mean."""
    width = round(0.01 * sample_rate)
    total = np.cumsum(np.abs(samples[0]), dtype=np.float64)
    curve: NDArray[np.float64] = total[width:] - total[:-width]
    curve -= curve.mean()
    return curve


def pitch_shifted(plugin: Plugin, samples: Samples, sample_rate: int) -> Samples:
    """The samples through a PitchShift plugin, in line with what went in."""
    lag = pitch_shift_lag_frames(float(plugin.semitones), sample_rate)
    padded = np.pad(samples, ((0, 0), (max(-lag, 0), max(lag, 0))))
    out = processed([plugin], padded, sample_rate, "PitchShift")
    return np.ascontiguousarray(out[:, max(lag, 0) :][:, : samples.shape[1]])
