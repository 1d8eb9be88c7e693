"""The flow's encoder: codes at 25 steps a second to features at 50 frames a second.

A linear layer, a convolution that looks a few steps ahead, conformer layers (attention with
relative positions, then a feed-forward), every step doubled, and conformer layers again. The
conformer layers have no convolution module.
Source: the published Step-Audio-EditX checkpoint, `flow.pt` under ``encoder.``; relative positions
after Transformer-XL (Dai et al. 2019, appendix B).
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

LONGEST_WAVE = 10000.0  # of the sinusoidal positions, over 2 pi
NORM_EPS = 1e-12  # of the conformer layers; the other norms have torch's 1e-5
MAX_BIAS = 4_000_000  # logits of relative positions held at once, 16 MB


@dataclass(frozen=True)
class EncoderSizes:
    """Sizes of the encoder's layers; the defaults are the published kernel sizes."""

    inputs: int
    width: int
    heads: int
    hidden: int  # of a feed-forward
    layers: int
    up_layers: int
    look_ahead: int = 3  # steps
    look_back: int = 2
    upsampling: int = 2  # frames a step
    key_bias: bool = True

    @classmethod
    def of(cls, state: State, source: str) -> EncoderSizes:
        """Sizes read off the tensors. Raises ReadError when one of them is missing."""
        first = "encoders.0."
        return cls(
            inputs=size(state, "embed.out.0.weight", 1, source),
            width=size(state, "embed.out.0.weight", 0, source),
            heads=size(state, f"{first}self_attn.pos_bias_u", 0, source),
            hidden=size(state, f"{first}feed_forward.w_1.weight", 0, source),
            layers=layer_count(state, "encoders."),
            up_layers=layer_count(state, "up_encoders."),
            look_ahead=size(state, "pre_lookahead_layer.conv1.weight", 2, source) - 1,
            look_back=size(state, "pre_lookahead_layer.conv2.weight", 2, source) - 1,
            upsampling=(size(state, "up_layer.conv.weight", 2, source) - 1) // 2,
            key_bias=f"{first}self_attn.linear_k.bias" in state,
        )


@dataclass
class EncoderCache:
    """What the encoder remembers between chunks."""

    layers: list[KeyValueCache]
    up_layers: list[KeyValueCache]
    look_ahead: ConvCache = field(default_factory=ConvCache)
    up: ConvCache = field(default_factory=ConvCache)

    @property
    def bytes(self) -> int:
        attention = sum(cache.bytes for cache in (*self.layers, *self.up_layers))
        return attention + self.look_ahead.bytes + self.up.bytes


def relative_waves(queries: int, keys: int, width: int) -> Tensor:
    """Sinusoids of every distance from a query back to a key, (keys + queries - 1, width).

    The queries stand at the end of the keys. Row r is of distance keys - 1 - r, so the first row
    is of the last query and the first key. Even columns are sines, odd ones cosines.
    """
    distances = torch.arange(keys - 1, -queries, -1, dtype=torch.float32)
    steps = torch.arange(0, width, 2, dtype=torch.float32)
    angles = distances[:, None] * torch.exp(steps * -(math.log(LONGEST_WAVE) / width))
    waves = torch.empty(len(distances), width)
    waves[:, 0::2] = angles.sin()
    waves[:, 1::2] = angles[:, : width // 2].cos()
    return waves


class RelativeAttention(nn.Module):
    """Attention whose logits are (q + u) k + (q + v) W wave(distance), over sqrt(head size)."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        width, self.heads = sizes.width, sizes.heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width, bias=sizes.key_bias)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.empty(self.heads, width // self.heads))
        self.pos_bias_v = nn.Parameter(torch.empty(self.heads, width // self.heads))

    def forward(
        self, x: Tensor, waves: Tensor, valid: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        """x: (batch, queries, width). waves: of `relative_waves`. valid: (batch, keys) or None."""
        query = split_heads(self.linear_q(x), self.heads)  # (B, H, Q, D)
        keys = split_heads(self.linear_k(x), self.heads)
        values = split_heads(self.linear_v(x), self.heads)
        if cache is not None:
            keys, values = cache.extend(keys, values)
        positions = split_heads(self.linear_pos(waves[None]), self.heads)  # (1, H, K + Q - 1, D)
        by_content = query + self.pos_bias_u[:, None]
        by_position = (query + self.pos_bias_v[:, None]) / math.sqrt(query.shape[3])
        # The logits of positions are made for a few queries at a time, never for all at once.
        batch, heads, queries, _ = query.shape
        rows = max(1, MAX_BIAS // (batch * heads * keys.shape[2]))
        pieces = []
        for start in range(0, queries, rows):
            end = min(start + rows, queries)
            bias = _shifted(
                by_position[:, :, start:end]
                @ positions[:, :, queries - end : queries - start + keys.shape[2] - 1].mT
            )
            if valid is not None:
                bias = bias.masked_fill(~valid[:, None, None], -torch.inf)
            piece = by_content[:, :, start:end]
            pieces.append(F.scaled_dot_product_attention(piece, keys, values, attn_mask=bias))
        out: Tensor = self.linear_out(join_heads(torch.cat(pieces, dim=2)))
        return out


def _shifted(logits: Tensor) -> Tensor:
    """Logits by distance, (B, H, Q, K + Q - 1), as logits by key, (B, H, Q, K), without a copy.

    Each query is one step further from every key than the query before it, so its row starts one
    column earlier; the last query's row starts at the first column.
    """
    batch, heads, queries, columns = logits.shape
    logits = logits.contiguous()
    steps = (logits.stride(0), logits.stride(1), columns - 1, 1)
    shape = (batch, heads, queries, columns - queries + 1)
    return logits.as_strided(shape, steps, logits.storage_offset() + queries - 1)


class FeedForward(nn.Module):
    """Two linear layers with a SiLU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w_2(F.silu(self.w_1(x)))
        return out


class ConformerLayer(nn.Module):
    """Attention, then feed-forward, each on a normed input and added to what it was given."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(sizes)
        self.feed_forward = FeedForward(sizes.width, sizes.hidden)
        self.norm_mha = nn.LayerNorm(sizes.width, eps=NORM_EPS)
        self.norm_ff = nn.LayerNorm(sizes.width, eps=NORM_EPS)

    def forward(
        self, x: Tensor, waves: Tensor, valid: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        x = x + self.self_attn(self.norm_mha(x), waves, valid, cache)
        out: Tensor = x + self.feed_forward(self.norm_ff(x))
        return out


class LookAhead(nn.Module):
    """A convolution over a step and those ahead of it, then a causal one, added to the steps."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(sizes.width, sizes.width, sizes.look_ahead + 1)
        self.conv2 = CausalConv(sizes.width, sizes.width, sizes.look_back + 1)

    def forward(self, x: Tensor, cache: ConvCache | None) -> Tensor:
        """(batch, steps + ahead, width) to (batch, steps, width)."""
        ahead = F.leaky_relu(self.conv1(x.transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.conv2(ahead, cache) + x[:, : ahead.shape[1]]
        return out


class Embed(nn.Module):
    """A linear layer, a norm, and the scale that goes with sinusoidal positions."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width))
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(x) * self.scale
        return out


class Upsample(nn.Module):
    """Every step repeated, then a causal convolution."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = CausalConv(width, width, 2 * factor + 1)

    def forward(self, x: Tensor, cache: ConvCache | None) -> Tensor:
        out: Tensor = self.conv(x.repeat_interleave(self.factor, dim=1), cache)
        return out


class FlowEncoder(nn.Module):
    """Embedded codes, (batch, steps, inputs), to features, (batch, frames, width)."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embed = Embed(sizes.inputs, sizes.width)
        self.pre_lookahead_layer = LookAhead(sizes)
        self.encoders = nn.ModuleList(ConformerLayer(sizes) for _ in range(sizes.layers))
        self.up_layer = Upsample(sizes.width, sizes.upsampling)
        self.up_embed = Embed(sizes.width, sizes.width)
        self.up_encoders = nn.ModuleList(ConformerLayer(sizes) for _ in range(sizes.up_layers))
        self.after_norm = nn.LayerNorm(sizes.width)

    def new_cache(self, window_steps: int) -> EncoderCache:
        """A cache whose attention keeps the first chunk and the newest steps."""
        frames = window_steps * self.sizes.upsampling
        return EncoderCache(
            layers=[KeyValueCache(window_steps) for _ in self.encoders],
            up_layers=[KeyValueCache(frames) for _ in self.up_encoders],
        )

    def forward(
        self,
        x: Tensor,
        *,
        valid: Tensor | None = None,
        cache: EncoderCache | None = None,
        last: bool = True,
    ) -> Tensor:
        """x: (batch, steps, inputs); valid: (batch, steps), False where a row is padding.

        A chunk that is not the last ends with `look_ahead` steps of the next one: they are seen
        and not encoded. After the last there is silence: zeros.
        """
        x = self.embed(x)
        if valid is not None:
            x = x * valid[:, :, None]  # so that a shorter row, too, has zeros after its end
        if last:
            x = F.pad(x, (0, 0, 0, self.sizes.look_ahead))
        x = self.pre_lookahead_layer(x, cache and cache.look_ahead)
        x = _through(self.encoders, x, valid, cache.layers if cache else None)
        x = self.up_embed(self.up_layer(x, cache and cache.up))
        if valid is not None:
            valid = valid.repeat_interleave(self.sizes.upsampling, dim=1)
        x = _through(self.up_encoders, x, valid, cache.up_layers if cache else None)
        out: Tensor = self.after_norm(x)
        return out


def _through(
    layers: nn.ModuleList,
    x: Tensor,
    valid: Tensor | None,
    caches: Sequence[KeyValueCache] | None,
) -> Tensor:
    """Through a stack of layers; all have the same distances, so their waves are made once."""
    past = caches[0].frames if caches else 0
    waves = relative_waves(x.shape[1], past + x.shape[1], x.shape[2]).to(x)
    for index, layer in enumerate(layers):
        x = layer(x, waves, valid, caches[index] if caches else None)
    return x
