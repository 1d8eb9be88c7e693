"""The flow's estimator: a diffusion transformer that says where noisy mel frames should move.

Each block is attention (queries and keys normed), two causal convolutions and a feed-forward, each
shifted, scaled and gated by the time (adaLN-zero, Peebles and Xie 2023). There are no positions:
order is known from the causal convolutions only.
Source: the published Step-Audio-EditX checkpoint, `flow.pt` under ``decoder.estimator.``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stepedit_fx.engines.step_audio.flow_layers import (
    CausalConv,
    ConvCache,
    KeyValueCache,
    join_heads,
    layer_count,
    size,
    split_heads,
)
from stepedit_fx.engines.step_audio.weights import State

NORM_EPS = 1e-6  # of the norms without weights; the others have torch's 1e-5
TIME_SCALE = 1000.0  # times lie in 0..1; the embedding is of 0..1000
LONGEST_WAVE = 10000.0
MODULATIONS = 9  # shift, scale and gate of attention, feed-forward and convolutions


@dataclass(frozen=True)
class EstimatorSizes:
    """Sizes of the estimator's layers."""

    inputs: int  # noisy mel | mu | speaker | condition
    outputs: int
    width: int
    heads: int
    head_size: int
    hidden: int  # of a feed-forward
    depth: int
    kernel: int = 3
    time_features: int = 256

    @classmethod
    def of(cls, state: State, source: str) -> EstimatorSizes:
        """Sizes read off the tensors. Raises ReadError when one of them is missing."""
        first = "blocks.0."
        head_size = size(state, f"{first}attn.q_norm.weight", 0, source)
        return cls(
            inputs=size(state, "in_proj.weight", 1, source),
            outputs=size(state, "final_layer.linear.weight", 0, source),
            width=size(state, "in_proj.weight", 0, source),
            heads=size(state, f"{first}attn.to_q.weight", 0, source) // head_size,
            head_size=head_size,
            hidden=size(state, f"{first}mlp.fc1.weight", 0, source),
            depth=layer_count(state, "blocks."),
            kernel=size(state, f"{first}conv.block.1.weight", 2, source),
            time_features=size(state, "t_embedder.mlp.0.weight", 1, source),
        )


@dataclass
class BlockCache:
    """What one block remembers between chunks, at one Euler step."""

    attention: KeyValueCache
    conv1: ConvCache = field(default_factory=ConvCache)
    conv2: ConvCache = field(default_factory=ConvCache)

    @property
    def bytes(self) -> int:
        return self.attention.bytes + self.conv1.bytes + self.conv2.bytes


class TimeEmbedding(nn.Module):
    """Times in 0..1, (batch,), as features, (batch, width)."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.features = features
        self.mlp = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, times: Tensor) -> Tensor:
        half = self.features // 2
        steps = torch.arange(half, device=times.device, dtype=times.dtype)
        angles = TIME_SCALE * times[:, None] * torch.exp(-math.log(LONGEST_WAVE) * steps / half)
        out: Tensor = self.mlp(torch.cat([angles.cos(), angles.sin()], dim=1))
        return out


class NormedAttention(nn.Module):
    """Self-attention whose queries and keys are normed within each head."""

    def __init__(self, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        inner = sizes.heads * sizes.head_size
        self.to_q = nn.Linear(sizes.width, inner)
        self.to_k = nn.Linear(sizes.width, inner)
        self.to_v = nn.Linear(sizes.width, inner)
        self.q_norm = nn.LayerNorm(sizes.head_size)
        self.k_norm = nn.LayerNorm(sizes.head_size)
        self.proj = nn.Linear(inner, sizes.width)

    def forward(self, x: Tensor, valid: Tensor | None, cache: KeyValueCache | None) -> Tensor:
        """x: (batch, frames, width). valid: (batch, frames), False where padded, or None."""
        query = self.q_norm(split_heads(self.to_q(x), self.heads))  # (B, H, T, D)
        keys = self.k_norm(split_heads(self.to_k(x), self.heads))
        values = split_heads(self.to_v(x), self.heads)
        if cache is not None:
            keys, values = cache.extend(keys, values)
        mask = None if valid is None else valid[:, None, None]  # (B, 1, 1, T)
        x = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        out: Tensor = self.proj(join_heads(x))
        return out


class ConvBlock(nn.Module):
    """Two causal convolutions with a norm and a Mish between them.

    The file numbers its layers 1, 3 and 6: those between have no weights.
    """

    def __init__(self, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.block = nn.ModuleDict(
            {
                "1": CausalConv(sizes.width, sizes.width, sizes.kernel),
                "3": nn.LayerNorm(sizes.width),
                "6": CausalConv(sizes.width, sizes.width, sizes.kernel),
            }
        )

    def forward(self, x: Tensor, cache: BlockCache | None) -> Tensor:
        x = self.block["1"](x, cache and cache.conv1)
        x = F.mish(self.block["3"](x))
        out: Tensor = self.block["6"](x, cache and cache.conv2)
        return out


class FeedForward(nn.Module):
    """Two linear layers with a GELU (tanh form) between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return out


class Block(nn.Module):
    """Attention, convolutions, feed-forward, each modulated by the time."""

    def __init__(self, sizes: EstimatorSizes) -> None:
        super().__init__()
        width = sizes.width
        self.attn = NormedAttention(sizes)
        self.conv = ConvBlock(sizes)
        self.mlp = FeedForward(width, sizes.hidden)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, MODULATIONS * width))

    def forward(
        self, x: Tensor, time: Tensor, valid: Tensor | None, cache: BlockCache | None
    ) -> Tensor:
        """x: (batch, frames, width). time: (batch or 1, 1, width)."""
        attention, mlp, conv = self.adaLN_modulation(time).chunk(3, dim=2)
        shift, scale, gate = attention.chunk(3, dim=2)
        moved = self.attn(_modulated(x, shift, scale), valid, cache.attention if cache else None)
        x = torch.addcmul(x, gate, moved)
        shift, scale, gate = conv.chunk(3, dim=2)
        x = torch.addcmul(x, gate, self.conv(_modulated(x, shift, scale), cache))
        shift, scale, gate = mlp.chunk(3, dim=2)
        return torch.addcmul(x, gate, self.mlp(_modulated(x, shift, scale)))


class FinalLayer(nn.Module):
    """A modulated norm and a linear layer."""

    def __init__(self, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(sizes.width, 2 * sizes.width))
        self.linear = nn.Linear(sizes.width, sizes.outputs)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(time).chunk(2, dim=2)
        out: Tensor = self.linear(_modulated(x, shift, scale))
        return out


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=NORM_EPS), 1 + scale)


class Estimator(nn.Module):
    """The velocity of noisy mel frames at a time, given what they should become."""

    def __init__(self, sizes: EstimatorSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.t_embedder = TimeEmbedding(sizes.time_features, sizes.width)
        self.in_proj = nn.Linear(sizes.inputs, sizes.width)
        self.blocks = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.final_layer = FinalLayer(sizes)

    def new_cache(self, window_frames: int) -> list[BlockCache]:
        """A cache of one Euler step whose attention keeps the first chunk and the newest frames."""
        return [BlockCache(KeyValueCache(window_frames)) for _ in self.blocks]

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        times: Tensor,
        *,
        valid: Tensor | None = None,
        cache: Sequence[BlockCache] | None = None,
    ) -> Tensor:
        """Velocities, (batch, frames, outputs).

        x: noisy mel frames, (batch, frames, outputs). context: mu, speaker and condition of every
        frame side by side, (batch, frames, inputs - outputs). times: (batch,), or (1,) for all.
        valid: (batch, frames), False where a row is padding, or None.
        """
        time = self.t_embedder(times)[:, None]
        x = self.in_proj(torch.cat([x, context], dim=2))
        for index, block in enumerate(self.blocks):
            x = block(x, time, valid, cache[index] if cache else None)
        out: Tensor = self.final_layer(x, time)
        return out
