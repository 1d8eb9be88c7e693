"""The flow's estimator gives the velocities it was trained to give."""

from __future__ import annotations

import pytest
import torch
from flow_helpers import CLOSE, difference, golden, golden_flow, odd_flow

from stepedit_fx.engines.step_audio.flow_layers import CausalConv, ConvCache, KeyValueCache


@torch.inference_mode()
def test_one_call_is_the_references():
    x, mu, condition, expected = (
        golden()[f"dit_{name}"].transpose(1, 2) for name in ("x", "mu", "cond", "out")
    )
    speaker = golden()["dit_spk"][:, None].expand_as(mu)
    context = torch.cat([mu, speaker, condition], dim=2)
    ours = golden_flow().estimator(x, context, golden()["dit_t"])
    assert difference(ours, expected) < CLOSE


@torch.inference_mode()
def test_padding_changes_no_velocity():
    estimator = odd_flow().estimator
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 10, 7, generator=generator)
    context = torch.randn(2, 10, 21, generator=generator)
    valid = torch.arange(10) < torch.tensor([[10], [6]])
    time = torch.tensor([0.4])
    together = estimator(x, context, time, valid=valid)
    assert difference(together[1:, :6], estimator(x[1:, :6], context[1:, :6], time)) < 1e-5
    assert difference(together[:1], estimator(x[:1], context[:1], time)) < 1e-5


@torch.inference_mode()
def test_a_later_chunk_sees_the_earlier_and_changes_nothing_of_it():
    """A stream would forget what it said a moment ago, or click where chunks meet."""
    estimator = odd_flow().estimator
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 10, 7, generator=generator)
    context = torch.randn(1, 10, 21, generator=generator)
    time = torch.tensor([0.4])
    cache = estimator.new_cache(100)
    first = estimator(x[:, :4], context[:, :4], time, cache=cache)
    second = estimator(x[:, 4:], context[:, 4:], time, cache=cache)
    assert difference(first, estimator(x[:, :4], context[:, :4], time)) < 1e-5
    assert difference(second, estimator(x[:, 4:], context[:, 4:], time)) > 0.01


@pytest.mark.parametrize("cuts", [[10], [3, 7], [1] * 10])
def test_a_causal_convolution_is_the_same_in_pieces(cuts):
    conv = CausalConv(3, 2, 4)
    x = torch.randn(1, 10, 3)
    cache = ConvCache()
    pieces = torch.cat([conv(piece, cache) for piece in x.split(cuts, dim=1)], dim=1)
    assert torch.allclose(pieces, conv(x), atol=1e-6)
    assert cache.bytes == 3 * 3 * 4


def test_attention_remembers_the_prompt_and_the_newest_frames():
    """The reference keeps the wrong ends: the voice drifts away from the prompt's."""
    frames = torch.arange(40.0).view(1, 1, 40, 1)
    cache = KeyValueCache(window=6)
    seen = [
        cache.extend(frames[:, :, start:end], -frames[:, :, start:end])[0].flatten().tolist()
        for start, end in ((0, 5), (5, 9), (9, 21), (21, 22), (22, 40))
    ]
    prompt = list(range(5))
    assert seen == [
        prompt,
        list(range(9)),
        list(range(21)),
        [*prompt, *range(15, 22)],
        [*prompt, *range(16, 40)],
    ]
    assert cache.frames == 5 + 6
    assert cache.bytes == 2 * 11 * 4
    assert cache.recent is not None
    assert torch.equal(cache.recent[0], -cache.recent[1])
