"""The mix node: sums line up, levels and places are as asked, dry is dry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepedit_fx.audio import Audio
from stepedit_fx.engines.base import open_engine
from stepedit_fx.errors import RequestError
from stepedit_fx.nodes.base import Context
from stepedit_fx.nodes.effects import Effects
from stepedit_fx.nodes.mix import Mix
from stepedit_fx.speech import Transcript, Word

RATE = 24_000
CONTEXT = Context(open_engine())


def sound(
    frames: int = 1200, channels: int = 1, seed: int = 0, rate: int = RATE, start_s: float = 0.0
) -> Audio:
    drawn = np.random.default_rng(seed).uniform(-0.5, 0.5, (channels, frames))
    return Audio(drawn.astype(np.float32), rate, start_s)


def mixed(*inputs: Audio, **fields: Any) -> Audio:
    return Mix(**fields).run(inputs, CONTEXT)


def test_a_sum_is_a_sum() -> None:
    a, b, c = (sound(seed=s) for s in range(3))
    np.testing.assert_array_equal(mixed(a, b, c).samples, a.samples + b.samples + c.samples)


def test_levels_are_decibels() -> None:
    a, b = sound(), sound(seed=1)
    out = mixed(a, b, gain_db=[-6, 6])
    want = a.samples * 10 ** (-6 / 20) + b.samples * 10 ** (6 / 20)
    np.testing.assert_allclose(out.samples, want, rtol=1e-5, atol=1e-6)


def test_inputs_stand_where_their_start_says_and_the_short_ones_are_padded() -> None:
    a, b = sound(1200, start_s=10.5), sound(600, start_s=10.0, seed=1)
    out = mixed(a, b)
    assert out.start_s == 10.0
    assert out.frames == RATE // 2 + 1200
    np.testing.assert_array_equal(out.samples[:, :600], b.samples)
    np.testing.assert_array_equal(out.samples[:, RATE // 2 :], a.samples)
    assert not out.samples[:, 600 : RATE // 2].any()


def test_words_stay_with_the_first_input() -> None:
    words = Transcript("hi", words=(Word("hi", 0.1, 0.2),))
    a = Audio(sound().samples, RATE, 10.5, words)
    out = mixed(a, sound(start_s=10.0))
    assert out.transcript == Transcript("hi", words=(Word("hi", 0.6, 0.7),))
    assert mixed(sound(), Audio(a.samples, RATE, 0.0, words), wet=1).transcript == Transcript()


@settings(max_examples=40)
@given(st.floats(0, 1), st.integers(1, 2000), st.integers(1, 2000))
def test_wet_is_an_equal_gain_blend(wet: float, one: int, two: int) -> None:
    dry, other = sound(one), sound(two, seed=1)
    out = mixed(dry, other, wet=wet)
    frames = {0.0: one, 1.0: two}.get(wet, max(one, two))
    assert out.frames == frames
    parts = [np.pad(x.samples, ((0, 0), (0, 2000 - x.frames))) for x in (dry, other)]
    want = parts[0] * np.float32(1 - wet) + parts[1] * np.float32(wet)
    np.testing.assert_allclose(out.samples, want[:, :frames], atol=1e-7)


def test_wet_0_is_dry_to_the_bit() -> None:
    dry, wet = sound(channels=2), sound(5000, channels=2, seed=1)
    assert mixed(dry, wet, wet=0).samples.tobytes() == dry.samples.tobytes()
    assert mixed(dry, wet, wet=1).samples.tobytes() == wet.samples.tobytes()
    assert mixed(dry, wet, bypass=True) is dry


@pytest.mark.parametrize(
    "chain",
    [
        [{"BrickwallLimiter": {"ceiling_db": 0, "lookahead_ms": 50}}, "Invert"],
        [{"Delay": {"mix": 0}}, "Invert", {"PitchShift": {"semitones": 0}}],
        [{"Gain": {"gain_db": {"keyframes": [[0, 0], [60, 0], [61, 1]]}}}, "Invert"],
    ],
)
def test_dry_against_wet_through_latency_leaves_silence(chain: list[Any]) -> None:
    """Wet is in line with dry, whatever the chain looks ahead: turned over, they cancel."""
    dry = sound(RATE, channels=2)
    wet = Effects(chain).run([dry], CONTEXT)
    assert mixed(dry, wet).peak < 1e-6
    assert mixed(dry, wet, wet=0.5).peak < 1e-6


def test_mono_goes_to_all_channels() -> None:
    a, b = sound(channels=1), sound(channels=6, seed=1)
    out = mixed(a, b)
    assert out.channels == 6
    np.testing.assert_array_equal(out.samples, b.samples + a.samples)


@settings(max_examples=30)
@given(st.floats(-1, 1))
def test_mono_is_panned_at_constant_power(pan: float) -> None:
    a, b = sound(), Audio(np.zeros((1, 1200), np.float32), RATE)
    left, right = mixed(a, b, pan=[pan, 0]).samples
    np.testing.assert_allclose(left**2 + right**2, a.samples[0] ** 2, rtol=1e-4, atol=1e-7)
    louder, softer = (right, left) if pan > 0 else (left, right)
    assert np.abs(louder).max() >= np.abs(softer).max() - 1e-6


def test_the_ends_of_a_pan_are_one_side() -> None:
    a, b = sound(), sound(seed=1)
    out = mixed(a, b, pan=[-1, 1]).samples
    np.testing.assert_allclose(out, [a.samples[0], b.samples[0]], atol=1e-6)


def test_stereo_is_balanced() -> None:
    stereo, nothing = sound(channels=2), Audio(np.zeros((1, 1200), np.float32), RATE)
    left, right = mixed(stereo, nothing, pan=[0.25, 0]).samples
    np.testing.assert_allclose(left, stereo.samples[0] * 0.75, atol=1e-7)
    np.testing.assert_array_equal(right, stereo.samples[1])


REFUSED: list[tuple[tuple[Audio, ...], dict[str, Any], str]] = [
    ((sound(), sound(rate=48_000)), {}, "24000 Hz and 48000 Hz"),
    ((sound(channels=2), sound(channels=3)), {}, "2 and 3 channels"),
    ((sound(), sound()), {"gain_db": [0]}, "gain_db holds 1 values for 2 inputs"),
    ((sound(), sound()), {"pan": [0, 0, 0]}, "pan holds 3 values for 2 inputs"),
    ((sound(), sound(), sound()), {"wet": 0.5}, "wet blends 2 inputs, dry and wet, got 3"),
    ((sound(channels=4), sound()), {"pan": [0.5, 0]}, "got 4 channels"),
    ((sound(), sound(start_s=36_000)), {}, "starts 36000 s after"),
]


@pytest.mark.parametrize(("inputs", "fields", "words"), REFUSED)
def test_what_does_not_go_together_is_refused(
    inputs: tuple[Audio, ...], fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        mixed(*inputs, **fields)
    assert caught.value.remedy
