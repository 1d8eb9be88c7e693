"""Linear layers for one row at a time on a CPU, which is what writing one take asks for."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor, nn


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x: (..., inputs). weight: (outputs, inputs). Returns (..., outputs).

    A single row in bfloat16 on a CPU goes by torch's matrix-vector product, which is faster there
    than its matrix product (torch 2.13, two cores with AMX): without it the loop was slower in
    bfloat16 than in float32 at batch 1, `python benchmarks/neural.py --small --only numbers`.
    """
    is_row = x.numel() == weight.shape[1]
    if is_row and x.dtype == torch.bfloat16 and x.device.type == "cpu":
        return torch.mv(weight, x.reshape(-1)).reshape(*x.shape[:-1], -1)
    return F.linear(x, weight)


class RowLinear(nn.Module):
    """A linear layer without bias, by `linear`. weight: (outputs, inputs), of which it is made."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight)


def with_fast_rows(layers: nn.Module) -> None:
    """Every plain linear layer without bias within, in place; the weights stay where they are.

    Not how the model is built: bitsandbytes and PEFT look for torch's own layers.
    """
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and child.bias is None:
                setattr(module, name, RowLinear(child.weight))
