"""Tensors of a checkpoint into a network, all of them and nothing else.

A network is built on the meta device from sizes read off the tensors, then takes the tensors
themselves: nothing is allocated twice, and nothing random is left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from stepedit_fx.errors import ReadError

State = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
MAX_NAMED = 5

# A weight-normed layer holds direction and magnitude apart; files spell the pair in two ways.
_MAGNITUDES = {
    ".parametrizations.weight.original0": ".parametrizations.weight.original1",
    ".weight_g": ".weight_v",
}


def fold_weight_norm(state: State) -> dict[str, Tensor]:
    """The state with every weight-normed pair as the plain weight it stands for.

    weight = magnitude * direction / |direction|, the norm over all dimensions but the first
    (torch's weight_norm with dim=0).
    """
    folded = {}
    for name, tensor in state.items():
        end = next((e for e in (*_MAGNITUDES, *_MAGNITUDES.values()) if name.endswith(e)), "")
        if not end:
            folded[name] = tensor
        elif end in _MAGNITUDES:
            base = name.removesuffix(end)
            direction = state[base + _MAGNITUDES[end]]
            axes = tuple(range(1, direction.ndim))
            norm = direction.norm(dim=axes, keepdim=True)
            folded[f"{base}.weight"] = direction * (tensor / norm)
    return folded


def within(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}


def assign(
    network: Network,
    state: State,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    source: str = "the checkpoint",
) -> Network:
    """The network, ready for inference on a device, holding the state's tensors.

    network: built under ``torch.device("meta")``. source: the file's name, for messages.
    Raises ReadError that names missing, unexpected and mis-shaped tensors, or one that is not
    finite.
    """
    wanted = network.state_dict()
    problems = [
        *_listed("missing", sorted(wanted.keys() - state.keys())),
        *_listed("not expected", sorted(state.keys() - wanted.keys())),
        *_listed(
            "of another shape",
            (
                f"{name} {tuple(state[name].shape)}, wanted {tuple(wanted[name].shape)}"
                for name in sorted(wanted.keys() & state.keys())
                if wanted[name].shape != state[name].shape
            ),
        ),
    ]
    if problems:
        raise ReadError.of(
            source,
            "; ".join(problems),
            remedy="Is it another model? `stepedit-fx models check` lists every file.",
        )
    ready = {name: _moved(tensor, device, dtype) for name, tensor in state.items()}
    for name, tensor in ready.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ReadError.of(
                source, f"tensor {name} holds NaN or infinity", remedy="Fetch the file again."
            )
    network.load_state_dict(ready, assign=True)
    return network.eval().requires_grad_(False)


def _moved(tensor: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def _listed(what: str, names: Iterable[str]) -> list[str]:
    """One line for tensors that have something in common; the first few by name."""
    found = list(names)
    if not found:
        return []
    more = f" and {len(found) - MAX_NAMED} more" if len(found) > MAX_NAMED else ""
    return [f"{len(found)} tensors {what}: {', '.join(found[:MAX_NAMED])}{more}"]
