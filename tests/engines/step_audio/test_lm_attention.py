"""The language model's attention against the formula written out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from stepedit_fx.engines.step_audio import lm_attention
from stepedit_fx.engines.step_audio.lm_attention import (
    MOST_BIAS_CPU,
    FlexAttention,
    attend,
    attend_in_pieces,
    attention_bias,
    flex_pays,
    queries_at_once,
    slopes,
)

CPU = torch.device("cpu")


def by_formula(
    query: Tensor, key: Tensor, value: Tensor, first: int, padding: list[int]
) -> NDArray[np.float64]:
    """One head, one query at a time, in float64. Shapes as for `attend`."""
    q, k, v = (t.double().numpy() for t in (query, key, value))
    steep = slopes(q.shape[1], CPU).double().numpy()
    out = np.zeros_like(q)
    for b, h, t in np.ndindex(*q.shape[:3]):
        group = h // (q.shape[1] // k.shape[1])
        i = first + t
        seen = [j for j in range(i + 1) if j >= padding[b] or j == i]
        logits = np.array(
            [
                q[b, h, t] @ k[b, group, j] / np.sqrt(q.shape[3]) - steep[h] * np.sqrt(i - j)
                for j in seen
            ]
        )
        weights = np.exp(logits - logits.max())
        out[b, h, t] = weights @ v[b, group, seen] / weights.sum()
    return out


def test_slopes_of_the_published_48_heads_follow_the_published_rule() -> None:
    found = slopes(48, CPU)
    assert found[:32].tolist() == pytest.approx([2 ** (-k / 4) for k in range(1, 33)])
    assert found[32:].tolist() == pytest.approx([2 ** (-(2 * k - 1) / 8) for k in range(1, 17)])
    assert slopes(8, CPU).tolist() == pytest.approx([2.0**-k for k in range(1, 9)])


sizes = st.tuples(
    st.sampled_from([(6, 2), (5, 1), (4, 4), (12, 3)]),  # heads, groups
    st.integers(0, 7),  # cached
    st.integers(1, 9),  # new
    st.lists(st.integers(0, 5), min_size=1, max_size=3),  # padding of each row
)


@settings(max_examples=30)
@given(sizes)
def test_attention_is_the_formula_for_any_heads_cache_and_padding(
    case: tuple[tuple[int, int], int, int, list[int]],
) -> None:
    (heads, groups), first, new, padding = case
    torch.manual_seed(first * 31 + new)
    query = torch.randn(len(padding), heads, new, 6)
    key, value = (torch.randn(len(padding), groups, first + new, 6) for _ in range(2))
    valid = torch.arange(first + new) >= torch.tensor(padding)[:, None]
    bias = attention_bias(heads, first, new, valid, like=query)
    wanted = by_formula(query, key, value, first, padding)
    np.testing.assert_allclose(attend(query, key, value, bias).numpy(), wanted, atol=2e-5)


def test_one_new_id_needs_one_row_of_bias() -> None:
    bias = attention_bias(48, 4000, 1, None, like=torch.zeros(1))
    assert bias.shape == (1, 48, 1, 4001)


def test_the_bias_of_a_long_prompt_stays_within_64_mb() -> None:
    for batch, heads, keys in [(1, 48, 2048), (8, 48, 2048), (3, 6, 500), (64, 48, 8192)]:
        queries = queries_at_once(batch, heads, keys, CPU)
        assert queries == 1 or batch * heads * keys * queries <= MOST_BIAS_CPU
    assert 4 * MOST_BIAS_CPU == 64 * 2**20  # bytes of float32


def test_attention_in_pieces_is_attention_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    query = torch.randn(2, 6, 23, 8)
    key, value = (torch.randn(2, 2, 30, 8) for _ in range(2))
    valid = torch.arange(30) >= torch.tensor([[0], [9]])
    whole = attend(query, key, value, attention_bias(6, 7, 23, valid, like=query))
    monkeypatch.setattr(lm_attention, "MOST_BIAS_CPU", 2 * 6 * 30 * 4)  # four queries
    torch.testing.assert_close(attend_in_pieces(query, key, value, 7, valid), whole)


@pytest.mark.filterwarnings("ignore:flex_attention called without:UserWarning")
@pytest.mark.parametrize(
    ("heads", "groups", "first", "padding"), [(6, 2, 0, [0, 7]), (12, 4, 37, None), (5, 1, 9, [30])]
)
def test_flex_attention_computes_the_same_bias(
    heads: int, groups: int, first: int, padding: list[int] | None
) -> None:
    torch.manual_seed(2)
    batch = len(padding or [0])
    query = torch.randn(batch, heads, 130, 16)
    key, value = (torch.randn(batch, groups, first + 130, 16) for _ in range(2))
    valid = None if padding is None else torch.arange(first + 130) >= torch.tensor(padding)[:, None]
    wanted = attend(query, key, value, attention_bias(heads, first, 130, valid, like=query))
    got = FlexAttention(heads, first, 130, valid, CPU)(query, key, value)
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=1e-4)
    assert CPU not in lm_attention._flexless


def test_where_flex_attention_fails_the_result_is_the_same_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object, **_kwargs: object) -> Tensor:
        raise RuntimeError("no Triton here")

    monkeypatch.setattr(lm_attention, "_flex", lambda _device: broken)
    monkeypatch.setattr(lm_attention, "_flexless", set())
    torch.manual_seed(3)
    query = torch.randn(1, 4, 20, 8)
    key, value = (torch.randn(1, 2, 20, 8) for _ in range(2))
    flex = FlexAttention(4, 0, 20, None, CPU)
    with caplog.at_level(logging.WARNING):
        got = [flex(query, key, value) for _ in range(2)]
    wanted = attend(query, key, value, attention_bias(4, 0, 20, None, like=query))
    for each in got:
        torch.testing.assert_close(each, wanted)
    assert [r.getMessage().count("no Triton here") for r in caplog.records] == [1]


def test_flex_attention_is_for_cuda_and_long_prompts() -> None:
    assert not flex_pays(CPU, 4096)
    assert flex_pays(torch.device("cuda"), 4096)
    assert not flex_pays(torch.device("cuda"), 1)
