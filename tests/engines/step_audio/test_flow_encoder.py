"""The flow's encoder gives the features it was trained to give, whole or in chunks."""

from __future__ import annotations

import math

import pytest
import torch
from flow_helpers import CLOSE, ODD_ENCODER, difference, golden, golden_flow, odd_flow
from torch import Tensor

import stepedit_fx.engines.step_audio.flow_encoder as encoder_module
from stepedit_fx.engines.step_audio.flow_encoder import RelativeAttention, relative_waves
from stepedit_fx.engines.step_audio.flow_layers import KeyValueCache


def wave(distance: int, width: int) -> Tensor:
    """One position's sinusoids, from the formula."""
    rates = [10000 ** (-2 * (i // 2) / width) for i in range(width)]
    values = [
        math.cos(distance * r) if i % 2 else math.sin(distance * r) for i, r in enumerate(rates)
    ]
    return torch.tensor(values, dtype=torch.float64)


def attention_by_formula(layer: RelativeAttention, x: Tensor, first: int) -> Tensor:
    """Attention of the queries from `first` on to all of x, one pair at a time, in float64."""
    layer = layer.double()
    heads, head = layer.pos_bias_u.shape
    query, keys, values = (
        linear(x.double()).view(len(x), heads, head)
        for linear in (layer.linear_q, layer.linear_k, layer.linear_v)
    )
    rows = []
    for i in range(first, len(x)):
        logits = torch.zeros(heads, len(x), dtype=torch.float64)
        for j in range(len(x)):
            position = layer.linear_pos(wave(i - j, x.shape[1])).view(heads, head)
            by_content = ((query[i] + layer.pos_bias_u) * keys[j]).sum(1)
            by_position = ((query[i] + layer.pos_bias_v) * position).sum(1)
            logits[:, j] = (by_content + by_position) / math.sqrt(head)
        rows.append(torch.einsum("hj,jhd->hd", logits.softmax(1), values).flatten())
    return layer.linear_out(torch.stack(rows))


def random_attention() -> RelativeAttention:
    layer = RelativeAttention(ODD_ENCODER)
    generator = torch.Generator().manual_seed(1)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return layer.requires_grad_(False)


@pytest.mark.parametrize("held", [1, 100, 10**6])
def test_relative_attention_is_the_formulas_however_it_is_tiled(held, monkeypatch):
    """Positions would be off by one, or wrong from the second tile on."""
    monkeypatch.setattr(encoder_module, "MAX_BIAS", held)
    layer, x = random_attention(), torch.randn(13, 30, generator=torch.Generator().manual_seed(2))
    ours = layer(x[None], relative_waves(13, 13, 30), None, None)[0]
    assert difference(ours.double(), attention_by_formula(layer, x, 0)) < CLOSE


def test_relative_attention_after_a_cache_counts_from_the_clips_start():
    layer, x = random_attention(), torch.randn(11, 30, generator=torch.Generator().manual_seed(3))
    cache = KeyValueCache(window=100)
    for start, end in ((0, 4), (4, 5), (5, 11)):
        ours = layer(x[None, start:end], relative_waves(end - start, end, 30), None, cache)
    assert cache.frames == 11
    assert difference(ours[0].double(), attention_by_formula(layer, x, 5)) < CLOSE


def test_features_are_the_references():
    flow = golden_flow()
    rows = torch.cat([golden()["dual_prompt_tokens"], golden()["dual_tokens"]], dim=1)
    with torch.inference_mode():
        features = flow.encoder(flow.input_embedding(rows))
    assert difference(features, golden()["encoder_out"]) < CLOSE


@torch.inference_mode()
def test_padding_leaks_into_no_feature():
    """The end of a short clip would hear the padding through the convolution that looks ahead."""
    encoder = odd_flow().encoder
    x = torch.randn(2, 12, 20, generator=torch.Generator().manual_seed(4))
    valid = torch.arange(12) < torch.tensor([[12], [7]])
    padded = encoder(x, valid=valid)
    x[1, 7:] = 99.0
    assert torch.equal(encoder(x, valid=valid)[1, :14], padded[1, :14])
    assert difference(padded[1:, :14], encoder(x[1:, :7])) < 1e-5


@torch.inference_mode()
def test_one_chunk_with_a_cache_is_the_whole():
    encoder = odd_flow().encoder
    x = torch.randn(1, 9, 20, generator=torch.Generator().manual_seed(5))
    assert torch.equal(encoder(x, cache=encoder.new_cache(4)), encoder(x))
