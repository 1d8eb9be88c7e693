"""Parameters that move: where they rest it is the plain effect, where they move nothing clicks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepedit_fx.audio import Audio
from stepedit_fx.effects.automation import automated
from stepedit_fx.effects.chain import CURVES, Effect, Series
from stepedit_fx.effects.curves import Keyframes
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.effects.table import EFFECTS, EffectSpec, Param

RATE = 24_000
IN_BLOCKS = [s for s in EFFECTS.values() if not s.whole and s.name != "Convolution"]
MOVABLE = [(s, p) for s in IN_BLOCKS for p in s.params.values() if p.automatable]

# A sweep whose speed has changed is elsewhere afterwards, as it should be.
RETURNING = [(s, p) for s, p in MOVABLE if p.name != "rate_hz"]


def sine(seconds: float = 1.0, hz: float = 220.0, channels: int = 1, rate: int = RATE) -> Audio:
    wave = 0.4 * np.sin(2 * np.pi * hz / rate * np.arange(round(seconds * rate)))
    return Audio(np.tile(wave, (channels, 1)).astype(np.float32), rate)


def noise(seconds: float, channels: int = 1) -> Audio:
    drawn = np.random.default_rng(0).uniform(-0.4, 0.4, (channels, round(seconds * RATE)))
    return Audio(drawn.astype(np.float32), RATE)


def moved(effects: list[Effect], samples: np.ndarray) -> np.ndarray:
    """The samples through effects with moving parameters, in one go."""
    out = automated(effects, iter([samples]), *samples.shape, RATE, Path())
    return np.concatenate(list(out), axis=1)


def ids(pairs: list[tuple[EffectSpec, Param]]) -> list[str]:
    return [f"{spec.name}.{param.name}" for spec, param in pairs]


def test_a_curve_that_stands_still_is_a_number() -> None:
    plain = parse_chain([{"Gain": {"gain_db": 3}}])
    for curve in (
        {"keyframes": [[0, 3], [2, 3]], "shape": "smooth"},
        {"ramp": {"from": 3, "to": 3, "end": 1}},
        {"lfo": {"rate_hz": 2, "center": 3, "depth": 0}},
    ):
        assert parse_chain([{"Gain": {"gain_db": curve}}]) == plain


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("spec", IN_BLOCKS, ids=lambda s: s.name)
def test_in_blocks_it_is_the_plain_effect(spec: EffectSpec, channels: int) -> None:
    """Rendered in blocks with a curve that never leaves a value: the same, sample for sample."""
    if spec.each_above:
        channels = min(channels, spec.each_above)
    plain = parse_chain([spec.name]).items[0]
    assert isinstance(plain, Effect)
    params = tuple(
        (name, Keyframes(((0.0, float(value)),)) if spec.params[name].automatable else value)
        for name, value in plain.params
        if not isinstance(value, CURVES)
    )
    helper = Effect("Gain", (("gain_db", Keyframes(((0.0, 0.0), (0.3, 0.0), (0.4, -6.0)))),))
    sound = noise(0.3, channels)  # ends as the helper starts to move: blocks of both kinds
    moving = [replace(plain, params=params), helper]
    out = moved(moving, sound.samples)
    want = render(Series((plain,)), sound).samples
    quiet = round(0.28 * RATE)
    np.testing.assert_array_equal(out[:, :quiet], want[:, :quiet])


def test_gain_follows_its_curve() -> None:
    """Time 0 is the start of the audio; between keyframes it is a line; long sounds too."""
    sound = Audio(np.full((2, 7 * RATE), 0.5, np.float32), RATE)
    curve = {"keyframes": [[0, -20], [6, 0], [6.5, -10]]}
    out = render(parse_chain([{"Gain": {"gain_db": curve}}]), sound).samples
    gain_db = 20 * np.log10(out / 0.5)
    times = np.arange(sound.frames) / RATE
    wanted = np.interp(times, [0, 6, 6.5], [-20, 0, -10])
    assert np.abs(gain_db - wanted).max() < 0.2  # the corners are rounded
    np.testing.assert_array_equal(out[0], out[1])
    at_rest = render(parse_chain([{"Gain": {"gain_db": -10}}]), sound).samples
    np.testing.assert_array_equal(out[:, -RATE // 3 :], at_rest[:, -RATE // 3 :])


@pytest.mark.parametrize(("spec", "param"), RETURNING, ids=ids(RETURNING))
def test_back_at_rest_it_is_the_plain_effect(spec: EffectSpec, param: Param) -> None:
    """After a curve has ended nothing of it stays but what rings on."""
    low, high = range_of(param)
    curve = {"keyframes": [[0, low], [0.1, high], [0.2, param.default]]}
    sound = noise(2.0)
    moved = render(parse_chain([{spec.name: {param.name: curve}}]), sound).samples
    plain = render(parse_chain([spec.name]), sound).samples
    scale = max(1e-6, float(np.abs(plain).max()))
    assert np.abs(moved - plain)[:, -RATE // 4 :].max() < 0.02 * scale


def range_of(param: Param) -> tuple[float, float]:
    """The part of a range that a person would sweep, and that lies under Nyquist."""
    low, high = param.low, param.high
    if param.below_nyquist:
        low, high = max(low, 50.0), min(high, 8000.0)
    if param.unit == "dB":
        low, high = max(low, -24.0), min(high, 12.0)
    if param.name == "feedback":
        low, high = 0.0, 0.8
    if param.name == "q":
        low, high = 0.3, 8.0
    return low, high


# Settings with which the parameter that moves can be heard.
BASE: dict[str, dict[str, Any]] = {
    "PeakFilter": {"gain_db": 9, "cutoff_frequency_hz": 300},
    "LowShelfFilter": {"gain_db": 9, "cutoff_frequency_hz": 300},
    "HighShelfFilter": {"gain_db": 9, "cutoff_frequency_hz": 300},
    "Compressor": {"threshold_db": -24, "ratio": 4},
    "NoiseGate": {"threshold_db": -12, "ratio": 4},
    "LadderFilter": {"cutoff_hz": 400},
    "Delay": {"delay_seconds": 0.01},
}


@pytest.mark.parametrize(("spec", "param"), MOVABLE, ids=ids(MOVABLE))
def test_nothing_clicks(spec: EffectSpec, param: Param) -> None:
    """Thrown to and fro, no parameter makes a step that the effect at rest does not make."""
    check_no_clicks(spec, param, sine())


@pytest.mark.parametrize("name", ["Gain.gain_db", "Clipping.threshold_db", "Compressor.ratio"])
def test_nothing_clicks_at_192_khz(name: str) -> None:
    """Where samples lie close together, blocks of as many milliseconds are stairs of 7 %."""
    effect, param = name.split(".")
    spec = EFFECTS[effect]
    check_no_clicks(spec, spec.params[param], sine(0.3, rate=192_000))


def check_no_clicks(spec: EffectSpec, param: Param, sound: Audio) -> None:
    low, high = range_of(param)
    square = {
        "shape": "square",
        "rate_hz": 4,
        "center": (low + high) / 2,
        "depth": (high - low) / 2,
    }

    def largest_step(value: Any) -> float:
        chain = parse_chain([{spec.name: {**BASE.get(spec.name, {}), param.name: value}}])
        return float(np.abs(np.diff(render(chain, sound).samples)).max())

    at_rest = max(largest_step(v) for v in (low, (2 * low + high) / 3, (low + high) / 2, high))
    moving = largest_step({"lfo": square})
    assert moving <= 2 * at_rest + 1e-4  # the project's bar: twice the source's


def test_a_jump_without_smoothing_would_click() -> None:
    """The measure above is fit to find a click."""
    sound = sine()
    jump = sound.samples.copy()
    jump[:, 12_027:] *= 4.0
    assert np.abs(np.diff(jump)).max() > 2 * np.abs(np.diff(sound.samples * 4)).max()


def test_several_move_at_once_in_one_rack() -> None:
    data = [
        {"HighpassFilter": {"cutoff_frequency_hz": {"ramp": {"from": 40, "to": 400, "end": 1}}}},
        {"Compressor": {"threshold_db": -18, "ratio": 3}},
        {"Gain": {"gain_db": {"lfo": {"rate_hz": 5, "center": -3, "depth": 3}}}},
        {"Reverb": {"wet_level": {"keyframes": [[0, 0.0], [0.5, 0.25]]}}},
    ]
    sound = noise(1.0, channels=2)
    first = render(parse_chain(data), sound)
    assert first.samples.shape == sound.samples.shape
    np.testing.assert_array_equal(render(parse_chain(data), sound).samples, first.samples)
    alone = render(parse_chain(data), Audio(sound.samples[:, : RATE // 2], RATE))
    np.testing.assert_allclose(first.samples[:, : RATE // 2], alone.samples, atol=1e-6)
