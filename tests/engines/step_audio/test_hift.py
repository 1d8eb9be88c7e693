"""HiFT against the reference's numbers, and its source against the arithmetic written plainly."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from flow_helpers import CLOSE, difference, golden
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vocoder_helpers import golden_vocoder, odd_network

from stepedit_fx.engines.step_audio.hift import Hift
from stepedit_fx.engines.step_audio.hift_source import (
    PHASE_BLOCK_FRAMES,
    SineSource,
    SourceSettings,
    noise,
)

SMALL = SourceSettings(
    sample_rate=2000, samples_per_frame=6, sine_amplitude=0.1, noise_std=0.003, voiced_above_hz=10
)
# Without fused multiply-add torch's interpolation rounds otherwise: by that much of the peak.
ROUNDED_OTHERWISE = 2e-3
FUSED = torch.backends.cpu.get_cpu_capability() != "DEFAULT"


def golden_network() -> Hift:
    network = golden_vocoder("hift")._network
    assert isinstance(network, Hift)
    return network


def small_source(seed: int | None, settings: SourceSettings = SMALL) -> SineSource:
    return SineSource(settings, torch.tensor([[0.7, -0.4]]), torch.tensor([0.02]), seed)


def in_one(source: SineSource, f0: Tensor) -> Tensor:
    return source.push(f0, f0[:0])


def plain_source(f0: np.ndarray, settings: SourceSettings = SMALL) -> np.ndarray:
    """The source without noise in float64, frame by frame as one would write it down."""
    size, rate = settings.samples_per_frame, settings.sample_rate
    middles = np.arange(len(f0)) * size + (size - 1) / 2
    samples = np.arange(len(f0) * size)
    total = np.full(len(samples), 0.02)
    for harmonic, weight in ((1, 0.7), (2, -0.4)):
        phase = 2 * np.pi * size * np.cumsum(f0 * harmonic / rate)
        sine = np.sin(np.interp(samples, middles, phase))
        total += weight * settings.sine_amplitude * sine * np.repeat(f0 > 10, size)
    return np.tanh(total)


@torch.inference_mode()
def test_pitch_is_read_off_the_mel_as_in_the_reference() -> None:
    f0 = golden_network().f0_predictor(golden()["mel_10steps"])
    assert difference(f0, golden()["f0"]) < CLOSE


@torch.inference_mode()
def test_source_is_the_reference_s_to_the_rounding() -> None:
    source = in_one(golden_network().source(None), golden()["f0"][0])
    tolerance = CLOSE if FUSED else ROUNDED_OTHERWISE
    assert difference(source, golden()["hift_source_no_noise"][0, 0]) < tolerance


@torch.inference_mode()
def test_sound_is_the_reference_s() -> None:
    network = golden_network()
    sound = network(golden()["mel_10steps"], golden()["hift_source"][:, 0])
    limited = sound.clamp(-network.limit, network.limit)
    assert difference(limited, golden()["hift_wav"]) < CLOSE


@torch.inference_mode()
def test_noise_in_the_voice_is_as_loud_as_the_reference_s() -> None:
    """The harmonics' noises are drawn as one here; a wrong level is heard as hiss."""
    clean = golden()["hift_source_no_noise"][0, 0]

    def level(source: Tensor) -> float:
        return float((torch.atanh(source) - torch.atanh(clean)).std())

    ours = level(in_one(golden_network().source(1), golden()["f0"][0]))
    assert ours == pytest.approx(level(golden()["hift_source"][0, 0]), rel=0.02)


def test_unvoiced_frames_are_noise_a_third_as_strong_as_the_sines() -> None:
    source = torch.atanh(in_one(small_source(3), torch.full((2000,), 5.0)))
    assert float(source.mean()) == pytest.approx(0.02, abs=2e-3)
    assert float(source.std()) == pytest.approx(0.1 / 3 * math.hypot(0.7, 0.4), rel=0.03)


@given(f0=st.lists(st.sampled_from([0.0, 40.0, 93.7, 210.0]), min_size=1, max_size=40))
@settings(max_examples=25)
def test_source_is_what_the_formula_says_voiced_or_not(f0: list[float]) -> None:
    ours = in_one(small_source(None), torch.tensor(f0)).numpy()
    np.testing.assert_allclose(ours, plain_source(np.array(f0)), atol=2e-5)


@given(cuts=st.lists(st.integers(0, 2 * PHASE_BLOCK_FRAMES), max_size=6), seed=st.integers(0, 9))
@settings(max_examples=25)
def test_source_in_pieces_is_the_source_in_one(cuts: list[int], seed: int) -> None:
    """A stream whose source were not would jump in phase at every chunk."""
    rng = torch.Generator().manual_seed(seed)
    f0 = 80 + 60 * torch.rand(2 * PHASE_BLOCK_FRAMES, generator=rng)
    whole = in_one(small_source(seed), f0)
    source = small_source(seed)
    edges = [0, *sorted(cuts), len(f0)]
    parts = [source.push(f0[a:b], f0[b : b + 1]) for a, b in pairwise(edges)]
    assert torch.equal(torch.cat(parts), whole)


def test_looking_ahead_on_a_copy_does_not_move_the_source() -> None:
    f0 = torch.full((30,), 100.0)
    source = small_source(1)
    source.push(f0[:10], f0[10:11])
    ahead = in_one(copy.copy(source), f0[10:])
    assert torch.equal(ahead, in_one(source, f0[10:]))


def test_an_hour_into_a_stream_the_pitch_is_as_pure_as_at_its_start() -> None:
    """Phases that only grow lose precision: in float32 they are noise after some minutes."""
    rate, frames = 1024, 3600 * 50
    hour = SourceSettings(rate, 4, 0.1, 0.0, 10)
    f0 = torch.full((frames,), rate * (0.25 + 1 / 1024))  # cycles a sample exact in float32
    ours = in_one(small_source(None, hour), f0)[-4000:].numpy()
    np.testing.assert_allclose(ours, plain_source(f0.double().numpy(), hour)[-4000:], atol=1e-4)


def test_noise_depends_on_seed_and_frame_alone() -> None:
    whole = noise(7, 0, 20, 480)
    assert torch.equal(noise(7, 5, 3, 480), whole[5 * 480 : 8 * 480])
    assert not torch.equal(noise(8, 0, 20, 480), whole)
    assert torch.equal(noise(-1, 0, 1, 480), noise(2**64 - 1, 0, 1, 480))
    frames = whole.reshape(20, 480)
    assert float((frames[:-1] * frames[1:]).mean().abs()) < 0.05


@torch.inference_mode()
def test_a_sample_depends_on_nothing_beyond_the_context() -> None:
    """Windows and streams drop what lies beyond; if it mattered, every join would be heard."""
    network = odd_network("hift")
    assert isinstance(network, Hift)
    size, context = network.samples_per_frame, network.context_frames
    frames = 4 * context
    mel, source = torch.randn(1, 7, frames), torch.randn(1, frames * size) / 5
    other, driven = mel.clone(), source.clone()
    other[:, :, : frames // 2] += 1
    driven[:, : frames // 2 * size] += 0.3
    before, after = network(mel, source), network(other, driven)
    kept = (frames // 2 + context) * size
    torch.testing.assert_close(after[:, kept:], before[:, kept:], rtol=1e-5, atol=1e-6)
    assert difference(after[:, :-kept], before[:, :-kept]) > 0.01
