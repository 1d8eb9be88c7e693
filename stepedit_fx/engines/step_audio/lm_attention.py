"""Attention of the language model: grouped queries and a sqrt-ALiBi bias instead of positions.

A query at place i sees the key at j <= i with ``-slope[head] * sqrt(i - j)`` added to its logit.
Only distances count, so padding on the left changes nothing.

The bias is one number per head, query and key. It is made once for all layers, and for few enough
queries at a time that it stays small. FlexAttention computes it inside its kernel instead.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

log = logging.getLogger(__name__)

# Elements of bias at once: 64 MB of float32 on a CPU; a GPU is faster with longer pieces.
MOST_BIAS_CPU = 16 * 2**20
MOST_BIAS_GPU = 128 * 2**20
FLEX_BLOCK = 128  # FlexAttention's block; with fewer queries it takes another kernel


@lru_cache(maxsize=16)
def slopes(heads: int, device: torch.device) -> Tensor:
    """The bias of each head per square root of distance, (heads,) float32.

    With m the largest power of two in `heads`: 2^(-8k/m) for k = 1..m, then every second slope of
    2m heads for the rest. Source: the published checkpoint; ALiBi (Press et al., 2022).
    """
    whole = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8 * k / whole) for k in range(1, whole + 1)]
    rest = [2.0 ** (-4 * (2 * k - 1) / whole) for k in range(1, heads - whole + 1)]
    # A tensor made under inference_mode would stay useless for training.
    with torch.inference_mode(mode=False):
        return torch.tensor(first + rest, dtype=torch.float32, device=device)


def attention_bias(
    heads: int, first: int, queries: int, valid: Tensor | None, *, like: Tensor
) -> Tensor:
    """What is added to the attention logits of queries first .. first + queries - 1.

    valid: (B, keys >= first + queries) bool, False where a key is padding; None if none is.
    like: a tensor of the wanted dtype and device.
    Returns (B or 1, heads, queries, first + queries); -inf hides a key. Every query sees itself,
    so that a row of padding stays finite.
    """
    keys = first + queries
    place = torch.arange(keys, device=like.device)
    distance = place[first:, None] - place[None, :]  # (queries, keys)
    root = distance.clamp(min=0).to(torch.float32).sqrt()
    bias = (root * -slopes(heads, like.device)[:, None, None]).to(like.dtype)[None]
    hidden = distance < 0
    if valid is None:
        return bias.masked_fill_(hidden, -torch.inf)  # a copy would double the largest tensor
    padding = ~valid.to(like.device)[:, None, None, :keys]
    return bias.masked_fill(hidden | padding & (distance > 0), -torch.inf)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """Attention of H query heads over G groups of keys, without a copy of the keys per head.

    query: (B, H, T, D). key, value: (B, G, keys, D). bias: (B or 1, H, T, keys).
    Returns (B, H, T, D).
    """
    batch, heads, new, width = query.shape
    groups = key.shape[1]
    # The heads of a group become more queries of one head: (B, G, H / G * T, D).
    folded = query.reshape(batch, groups, heads // groups * new, width)
    mask = bias.reshape(bias.shape[0], groups, heads // groups * new, bias.shape[-1])
    mixed = F.scaled_dot_product_attention(folded, key, value, attn_mask=mask.to(query.dtype))
    return mixed.reshape(batch, heads, new, width)


def queries_at_once(batch: int, heads: int, keys: int, device: torch.device) -> int:
    """How many queries' bias may exist at once."""
    most = MOST_BIAS_CPU if device.type == "cpu" else MOST_BIAS_GPU
    return max(1, most // (batch * heads * keys))


def attend_in_pieces(
    query: Tensor, key: Tensor, value: Tensor, first: int, valid: Tensor | None
) -> Tensor:
    """`attend` with the bias made here, for few enough queries at a time."""
    batch, heads, new, _ = query.shape
    step = queries_at_once(batch, heads, key.shape[2], query.device)
    mixed = []
    for start in range(0, new, step):
        part = query[:, :, start : start + step]
        seen = first + start + part.shape[2]
        bias = attention_bias(heads, first + start, part.shape[2], valid, like=part)
        mixed.append(attend(part, key[:, :, :seen], value[:, :, :seen], bias))
    return torch.cat(mixed, dim=2)


class FlexAttention:
    """`attend` for many queries, the bias computed inside the kernel. For inference.

    Built once a forward call, for all layers. heads: of the query. first, queries, valid: as for
    `attention_bias`. Where the kernel does not run, that is logged and `attend` does the work:
    it needs Triton and a compiler on the machine, which only a trial can tell.
    """

    def __init__(
        self, heads: int, first: int, queries: int, valid: Tensor | None, device: torch.device
    ) -> None:
        from torch.nn.attention.flex_attention import create_block_mask

        steep = slopes(heads, device)
        # A tensor, not a number: a number would be compiled into the kernel.
        offset = torch.tensor(first, device=device)
        shown = torch.empty(0) if valid is None else valid

        # Plain functions, as FlexAttention takes no methods.
        def sees(_b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return k <= q + offset

        def sees_unpadded(b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (k <= q + offset) & shown[b, k] | (k == q + offset)

        def biased(score: Tensor, _b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return score - steep[h] * (q + offset - k).clamp(min=0).to(torch.float32).sqrt()

        self._first = first
        self._valid = valid
        self._biased = biased
        self._mask = create_block_mask(
            sees if valid is None else sees_unpadded,
            B=None if valid is None else valid.shape[0],
            H=None,
            Q_LEN=queries,
            KV_LEN=first + queries,
            device=str(device),
        )

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if query.device not in _flexless:
            try:
                mixed: Tensor = _flex(query.device.type)(
                    query,
                    key,
                    value,
                    score_mod=self._biased,
                    block_mask=self._mask,
                    enable_gqa=True,
                )
                return mixed
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, ImportError, NotImplementedError, OSError) as error:
                _flexless.add(query.device)
                log.warning("FlexAttention does not run here, attention goes without it: %s", error)
        return attend_in_pieces(query, key, value, self._first, self._valid)


_flexless: set[torch.device] = set()  # where FlexAttention was tried and failed


@lru_cache(maxsize=4)
def _flex(device_type: str) -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    # Compiled for a CPU it fails for some shapes (torch 2.13); as it is, it serves the tests.
    return torch.compile(flex_attention, dynamic=True) if device_type == "cuda" else flex_attention


def flex_pays(device: torch.device, queries: int) -> bool:
    """Whether FlexAttention is worth trying: on CUDA, for more than its smallest block."""
    return device.type == "cuda" and queries >= FLEX_BLOCK and device not in _flexless
