"""What the flow's encoder and its estimator share: sizes read off tensors, caches, causal layers.

A network runs whole or chunk by chunk through the same code. Without a cache a convolution sees
zeros on its left and attention sees what it is given; with one, each sees what came before.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stepedit_fx.engines.step_audio.weights import State
from stepedit_fx.errors import ReadError


def size(state: State, name: str, axis: int, source: str) -> int:
    """The length of one axis of a tensor that a size is read off.

    Raises ReadError when the tensor is missing, has too few axes or is empty.
    """
    shape = tuple(state[name].shape) if name in state else None
    if shape is None or axis >= len(shape) or not shape[axis]:
        raise ReadError.of(
            source,
            f"tensor {name} is missing" if shape is None else f"tensor {name} has shape {shape}",
            remedy="Is it another model? `stepedit-fx models check` lists every file.",
        )
    return shape[axis]


def layer_count(state: State, prefix: str) -> int:
    """How many numbered layers have tensors under a prefix, such as ``encoder.encoders.``."""
    numbers = {name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)}
    return len(numbers)


Pair = tuple[Tensor, Tensor]


@dataclass
class KeyValueCache:
    """Keys and values of one attention layer, bounded: what came first, and the newest frames.

    The first tensors given are the prompt's and stay; of what follows, the newest ``window``
    frames do. Each tensor is (batch, heads, frames, head size).
    """

    window: int
    pinned: Pair | None = None
    recent: Pair | None = None

    @property
    def frames(self) -> int:
        return sum(pair[0].shape[2] for pair in (self.pinned, self.recent) if pair)

    @property
    def bytes(self) -> int:
        return sum(t.nbytes for pair in (self.pinned, self.recent) if pair for t in pair)

    def extend(self, keys: Tensor, values: Tensor) -> Pair:
        """All keys and values in order, the given ones last; remembers what stays of them."""
        if not self.pinned:
            self.pinned = (keys, values)
            return keys, values
        new = (keys, values)
        if self.recent:
            new = _joined(self.recent, new)
        # The cut is copied: a view would keep all of what it is cut from.
        self.recent = (new[0][:, :, -self.window :].clone(), new[1][:, :, -self.window :].clone())
        return _joined(self.pinned, new)


def _joined(earlier: Pair, later: Pair) -> Pair:
    return torch.cat([earlier[0], later[0]], dim=2), torch.cat([earlier[1], later[1]], dim=2)


@dataclass
class ConvCache:
    """The last inputs of one causal convolution, (batch, channels, kernel - 1)."""

    inputs: Tensor | None = None

    @property
    def bytes(self) -> int:
        return 0 if self.inputs is None else self.inputs.nbytes


class CausalConv(nn.Conv1d):
    """A convolution over time that sees no later input."""

    def forward(self, x: Tensor, cache: ConvCache | None = None) -> Tensor:
        """(batch, frames, channels) in and out."""
        reach = self.kernel_size[0] - 1
        x = x.transpose(1, 2)  # (B, C, T)
        if cache is None or cache.inputs is None:
            past = x.new_zeros(x.shape[0], x.shape[1], reach)
        else:
            past = cache.inputs
        x = torch.cat([past, x], dim=2)
        if cache is not None:
            cache.inputs = x[:, :, x.shape[2] - reach :].clone()
        return super().forward(x).transpose(1, 2)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, frames, heads * size) as (batch, heads, frames, size)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(batch, heads, frames, size) as (batch, frames, heads * size)."""
    return x.transpose(1, 2).flatten(2)
