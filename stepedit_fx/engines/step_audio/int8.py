"""Linear layers with weights in 8 bits: half the memory of bfloat16, and half as much to read.

Each row of a weight has its own scale; what flows through stays in the model's numbers, so nothing
depends on what is said and a step is the same kernels every time.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor, nn

LARGEST = 127
# torch's kernel reads the integers as they are; with more rows at once it is slower on a CPU than
# making numbers of them first (measured with 3072 x 8192: 4.8 ms against 5.2 for one row in
# bfloat16, 10.8 against 7.7 for eight).
FEW_ROWS = 4
KERNEL_STEP = 32  # its sizes are multiples of this


class Int8Linear(nn.Module):
    """A linear layer without bias. weight: (outputs, inputs), of which the layer is made."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1).float().clamp(min=1e-12) / LARGEST
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale.to(weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= FEW_ROWS and self._has_kernel(rows):
            out = torch._weight_int8pack_mm(rows, self.weight, self.scale)
        elif x.dtype == torch.float16:  # whose sums of whole numbers would be infinite
            out = F.linear(rows, self.weight.to(x.dtype) * self.scale[:, None])
        else:
            out = F.linear(rows, self.weight.to(x.dtype)) * self.scale
        return out.reshape(*x.shape[:-1], -1)

    def _has_kernel(self, rows: Tensor) -> bool:
        fits = all(size % KERNEL_STEP == 0 for size in self.weight.shape)
        return fits and rows.dtype == torch.bfloat16 and has_kernel(rows.device.type)


@lru_cache(maxsize=8)
def has_kernel(device: str) -> bool:
    """Whether torch's kernel runs on a kind of device, and right."""
    random = torch.Generator().manual_seed(0)
    layer = Int8Linear(torch.randn(64, 64, generator=random).bfloat16()).to(device)
    x = torch.randn(2, 64, generator=random).bfloat16().to(device)
    wanted = F.linear(x, layer.weight.to(x.dtype)) * layer.scale
    try:
        found = torch._weight_int8pack_mm(x, layer.weight, layer.scale)
        return bool(torch.allclose(found.float(), wanted.float(), atol=0.1, rtol=0.05))
    except (RuntimeError, NotImplementedError):
        return False


@torch.no_grad()
def quantize(layers: nn.Module) -> None:
    """Every plain linear layer without bias within, in place, one at a time."""
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and child.bias is None:
                setattr(module, name, Int8Linear(child.weight))
