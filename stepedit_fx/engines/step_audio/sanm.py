"""Paraformer-large's streaming encoder (SCAMA, arXiv:2006.01712): chunks of sound to frames.

It hears chunks of 4 frames in windows of 9, the chunk and the 5 frames before it. Each layer also
attends to the 16 frames before the window, as keys and values that it kept. Within a layer a chunk
needs only the layer below, so chunks go through a layer side by side, of all clips at once; the
reference takes one chunk at a time through all layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from stepedit_fx.engines.step_audio.weights import State
from stepedit_fx.errors import ReadError

CHUNK = 4  # new frames
OVERLAP = 5  # frames before them in the window
WINDOW = OVERLAP + CHUNK
LOOK_BACK = 4  # chunks whose keys and values are kept
NORM_EPS = 1e-12  # of the published network's layer norms


@dataclass(frozen=True)
class Sizes:
    """Of an encoder, read off its tensors."""

    inputs: int
    width: int
    hidden: int
    kernel: int
    layers: int
    heads: int

    @classmethod
    def of(cls, state: State, heads: int, source: str) -> Sizes:
        """Raises ReadError where the tensors to read them off are not there."""
        try:
            mixed = state["encoders0.0.self_attn.linear_q_k_v.weight"]
            hidden = state["encoders0.0.feed_forward.w_1.weight"]
            memory = state["encoders0.0.self_attn.fsmn_block.weight"]
            numbers = [int(n.split(".")[1]) for n in state if n.startswith("encoders.")]
        except (KeyError, ValueError) as error:
            raise ReadError.of(
                source,
                f"is no SANM encoder: tensor {error} is missing",
                remedy="Is it model.pt of the online Paraformer?",
            ) from error
        width = memory.shape[0]
        if width % heads or mixed.ndim != 2 or hidden.ndim != 2 or memory.ndim != 3:
            raise ReadError.of(source, f"{heads} attention heads do not fit a width of {width}")
        return cls(
            mixed.shape[1], width, hidden.shape[0], memory.shape[2], 1 + len(set(numbers)), heads
        )


@dataclass(frozen=True)
class Windows:
    """Chunks to encode, side by side.

    frames: (chunks, 9, size), each chunk's window. inside: (chunks, 9), where a window has a frame
    (the last one of a clip may have fewer). index: (chunks,), each chunk's number in its clip.
    """

    frames: Tensor
    inside: Tensor
    index: Tensor

    @classmethod
    def of(cls, frames: Tensor, before: Tensor, first: int) -> Windows:
        """Windows over some frames of one clip.

        frames: (count, size). before: (5, size), what came before them. first: number in the clip
        of the first chunk.
        """
        count = len(frames)
        chunks = -(-count // CHUNK)
        after = frames.new_zeros(chunks * CHUNK - count, frames.shape[1])
        row = torch.cat([before, frames, after])
        position = torch.arange(OVERLAP + chunks * CHUNK, device=frames.device)
        return cls(
            row.unfold(0, WINDOW, CHUNK).transpose(1, 2),  # (chunks, 9, size), a view
            (position < OVERLAP + count).unfold(0, WINDOW, CHUNK),
            torch.arange(first, first + chunks, device=frames.device),
        )

    @classmethod
    def side_by_side(cls, parts: Sequence[Windows]) -> Windows:
        """The windows of several clips; index says where each begins."""
        return cls(
            torch.cat([p.frames for p in parts]),
            torch.cat([p.inside for p in parts]),
            torch.cat([p.index for p in parts]),
        )

    def __getitem__(self, part: slice) -> Windows:
        return Windows(self.frames[part], self.inside[part], self.index[part])

    def heard(self) -> Tensor:
        """Which keys a chunk attends to: 16 kept ones, as far as its clip has them, then its own.

        (chunks, 1, 1, 25).
        """
        back = torch.arange(-LOOK_BACK, 0, device=self.index.device)
        kept = (self.index[:, None] + back >= 0).repeat_interleave(CHUNK, dim=1)
        return torch.cat([kept, self.inside], dim=1)[:, None, None]


class _Attention(nn.Module):
    """Attention over a window and what was kept, plus a convolution over the window's values."""

    def __init__(self, inputs: int, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.linear_q_k_v = nn.Linear(inputs, 3 * width)
        self.linear_out = nn.Linear(width, width)
        self.fsmn_block = nn.Conv1d(width, width, sizes.kernel, groups=width, bias=False)

    def forward(
        self, x: Tensor, heard: Tensor, inside: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(chunks, 9, inputs) to (chunks, 9, width), and what to keep for the next chunks.

        kept: (16, 2 * width), keys and values of the 4 chunks before. inside: (chunks, 9, 1).
        """
        chunks, width = len(x), self.linear_out.in_features
        mixed: Tensor = self.linear_q_k_v(x)
        query, both = mixed[..., :width], mixed[..., width:]
        # Of a window its first 4 frames are kept: no later window has them.
        kept = torch.cat([kept, both[:, :CHUNK].reshape(-1, 2 * width)])
        past = kept.unfold(0, LOOK_BACK * CHUNK, CHUNK)[:chunks].transpose(1, 2)
        keys, values = torch.cat([past, both], dim=1).chunk(2, dim=-1)  # (chunks, 25, width) each
        attended = F.scaled_dot_product_attention(
            self._by_head(query), self._by_head(keys), self._by_head(values), attn_mask=heard
        )
        attended = attended.transpose(1, 2).flatten(2)  # (chunks, 9, width)
        memory = self._memory(both[..., width:] * inside)
        return self.linear_out(attended) + memory, kept[chunks * CHUNK :].clone()

    def _by_head(self, x: Tensor) -> Tensor:
        split = x.reshape(*x.shape[:2], self.heads, -1)  # (chunks, frames, heads, dim)
        return split.transpose(1, 2)

    def _memory(self, values: Tensor) -> Tensor:
        """The values and a weighted sum of their neighbours in the window, (chunks, 9, width)."""
        taps = self.fsmn_block.weight[:, 0].T.contiguous()  # (kernel, width)
        left = (len(taps) - 1) // 2
        padded = F.pad(
            values, (0, 0, left, len(taps) - 1 - left)
        )  # (chunks, 9 + kernel - 1, width)
        out = values.clone()
        for tap, weight in enumerate(taps):  # many times faster than a grouped convolution on a CPU
            out.addcmul_(padded[:, tap : tap + WINDOW], weight)
        return out


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.w_2(self.w_1(x).relu_())
        return out


class _Layer(nn.Module):
    """Pre-norm; the first layer has no way around its attention, as the sizes differ there."""

    def __init__(self, inputs: int, sizes: Sizes) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(inputs, NORM_EPS)
        self.self_attn = _Attention(inputs, sizes)
        self.norm2 = nn.LayerNorm(sizes.width, NORM_EPS)
        self.feed_forward = _FeedForward(sizes.width, sizes.hidden)

    def forward(
        self, x: Tensor, heard: Tensor, inside: Tensor, kept: Tensor
    ) -> tuple[Tensor, Tensor]:
        attended, kept = self.self_attn(self.norm1(x), heard, inside, kept)
        x = x + attended if x.shape == attended.shape else attended
        return x + self.feed_forward(self.norm2(x)), kept


class ChunkEncoder(nn.Module):
    """Names of modules are the checkpoint's."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.encoders0 = nn.ModuleList([_Layer(sizes.inputs, sizes)])
        rest = range(sizes.layers - 1)
        self.encoders = nn.ModuleList(_Layer(sizes.width, sizes) for _ in rest)
        self.after_norm = nn.LayerNorm(sizes.width, NORM_EPS)

    def forward(self, windows: Windows, kept: list[Tensor]) -> Tensor:
        """The chunks' own frames, (chunks * 4, width); kept, of each layer, is brought forward."""
        x, heard, inside = windows.frames, windows.heard(), windows.inside[..., None]
        for number, layer in enumerate([*self.encoders0, *self.encoders]):
            x, kept[number] = layer(x, heard, inside, kept[number])
        out: Tensor = self.after_norm(x[:, OVERLAP:])
        return out.flatten(0, 1)
