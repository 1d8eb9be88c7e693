"""Effects on a sound whose end nobody knows yet: what they give of the whole, however it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.effects.flowing import Flowing, obstacle
from stepedit_fx.effects.reading import parse_chain
from stepedit_fx.effects.render import render
from stepedit_fx.effects.table import EFFECTS
from stepedit_fx.errors import EffectError

RATE = 24_000
CURVE = {"keyframes": [[0, 0.0], [1, 0.5]]}


def noise(frames: int, channels: int = 1) -> np.ndarray:
    drawn = np.random.default_rng(0).uniform(-0.3, 0.3, (channels, frames))
    return drawn.astype(np.float32)


def flowed(chain: Any, samples: np.ndarray, cuts: list[int], tail_s: float = 0.0) -> np.ndarray:
    flowing = Flowing(parse_chain(chain), RATE, samples.shape[0], Path(), tail_s=tail_s)
    pieces = np.split(samples, sorted(cuts), axis=1)
    parts = [flowing.push(piece) for piece in pieces]
    return np.concatenate([*parts, flowing.push(samples[:, :0], last=True)], axis=1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "Convolution"])
def test_every_effect_flows_or_says_that_it_cannot(name: str, channels: int) -> None:
    """What is heard early must be what the file has: to the ear, -80 dB."""
    chain = parse_chain([name])
    if obstacle(chain, channels):
        assert obstacle(chain, channels) == name
        return
    samples = noise(2 * RATE, channels)
    whole = render(chain, Audio(samples, RATE)).samples
    heard = flowed([name], samples, [100, 5000, 9000, 30_000])
    np.testing.assert_allclose(heard, whole, atol=1e-4)


@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 4000), max_size=6), channels=st.integers(1, 2))
def test_how_it_comes_changes_nothing(cuts: list[int], channels: int) -> None:
    """Blocks of the model grow; a reverb must not begin anew with each."""
    samples = noise(4000, channels)
    chain = ["Compressor", {"Reverb": {"room_size": 0.4}}, {"Gain": {"gain_db": -3}}]
    whole = flowed(chain, samples, [], tail_s=0.1)
    assert whole.shape == (channels, 4000 + RATE // 10)
    np.testing.assert_array_equal(flowed(chain, samples, cuts, tail_s=0.1), whole)


@pytest.mark.parametrize(
    ("chain", "what"),
    [
        ([{"Mix": [["Reverb"], []]}], "Mix"),
        (["Gain", {"Chain": ["PitchShift"]}], "PitchShift"),
        ([{"Reverb": {"wet_level": CURVE}}], "a curve of Reverb"),
        ([{"Chain": ["Reverb", "Gain"]}], ""),
        ([{"PitchShift": {"semitones": 2}, "bypass": True}], ""),
        ([], ""),
    ],
)
def test_what_must_hear_more_is_named(chain: Any, what: str) -> None:
    assert obstacle(parse_chain(chain), 1) == what


def test_a_rate_too_low_is_an_error_before_anything_is_heard() -> None:
    chain = parse_chain([{"LowpassFilter": {"cutoff_frequency_hz": 15_000}}])
    with pytest.raises(EffectError, match="15000 Hz"):
        Flowing(chain, RATE, 1, Path())
