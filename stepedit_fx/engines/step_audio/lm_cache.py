"""Keys and values of several takes in memory that is taken once: a row each, from place 0 on.

`Prefill` and `Step` are what the model's layers see in the place of a transformers cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]  # keys and values, each (rows, G, places, D)


class KeyValueRows:
    """Room for `rows` takes of up to `places` ids in every layer.

    A layer's room is made at its first use, on the device and in the numbers of its keys.
    """

    def __init__(self, rows: int, places: int) -> None:
        self.rows, self.places = rows, places
        self._layers: dict[int, Layer] = {}

    def layer(self, number: int, like: Tensor) -> Layer:
        """A layer's keys and values. like: a key, (B, G, T, D)."""
        if number not in self._layers:
            shape = (self.rows, like.shape[1], self.places, like.shape[3])
            # Zeros: what was never written is hidden by -inf, and 0 * NaN would still be NaN.
            self._layers[number] = (like.new_zeros(shape), like.new_zeros(shape))
        return self._layers[number]

    def move(self, source: int, target: int, length: int) -> None:
        """One row's first places over another's."""
        for held in self._layers.values():
            for tensor in held:
                tensor[target, :, :length] = tensor[source, :, :length]

    def taken(self, row: int, length: int) -> list[Layer]:
        """Copies of a row's first places, a layer each, (G, length, D)."""
        pairs = (self._layers[number] for number in sorted(self._layers))
        return [(k[row, :, :length].clone(), v[row, :, :length].clone()) for k, v in pairs]

    def put(self, row: int, layers: list[Layer]) -> None:
        """What `taken` gave, as the first places of a row."""
        for number, (key, value) in enumerate(layers):
            keys, values = self.layer(number, key[None])
            keys[row, :, : key.shape[1]] = key
            values[row, :, : value.shape[1]] = value

    def fill_from(self, other: KeyValueRows, rows: int) -> None:
        """Another's first rows, as far as there is room for them, as these rows."""
        places = min(self.places, other.places)
        for number, held in other._layers.items():
            for mine, theirs in zip(self.layer(number, held[0]), held, strict=True):
                mine[:rows, :, :places] = theirs[:rows, :, :places]

    @property
    def bytes(self) -> int:
        """Memory in use."""
        return sum(t.numel() * t.element_size() for held in self._layers.values() for t in held)


class Prefill:
    """A cache for one row that grows by whole pieces of its prompt."""

    def __init__(self, held: KeyValueRows, row: int, length: int = 0) -> None:
        self._held, self._row, self._start = held, row, length
        self._lengths: dict[int, int] = {}

    def get_seq_length(self, layer: int = 0) -> int:
        """How many ids the row has; transformers' name."""
        return self._lengths.get(layer, self._start)

    def update(self, key: Tensor, value: Tensor, layer: int) -> Layer:
        """Add (1, G, T, D) keys and values; all that the row has now, (1, G, length, D)."""
        keys, values = self._held.layer(layer, key)
        start = self.get_seq_length(layer)
        end = self._lengths[layer] = start + key.shape[2]
        row = slice(self._row, self._row + 1)
        keys[row, :, start:end] = key
        values[row, :, start:end] = value
        return keys[row, :, :end], values[row, :, :end]


class Step:
    """A cache for one more id of each of the first rows, each at its own length.

    lengths: (rows,) on the model's device. bound: at least the longest of them plus one; what the
    layers get back is so long, with whatever stands behind a row's end: a bias has to hide it.
    """

    def __init__(self, held: KeyValueRows, lengths: Tensor, bound: int) -> None:
        self._held, self._lengths, self._bound = held, lengths, bound
        self._rows = torch.arange(len(lengths), device=lengths.device)

    def update(self, key: Tensor, value: Tensor, layer: int) -> Layer:
        """Add (rows, G, 1, D) keys and values; those of these rows, (rows, G, bound, D)."""
        keys, values = self._held.layer(layer, key)
        at, rows = self._lengths.to(keys.device), self._rows.to(keys.device)
        keys[rows, :, at] = key[:, :, 0]
        values[rows, :, at] = value[:, :, 0]
        count = len(rows)
        return keys[:count, :, : self._bound], values[:count, :, : self._bound]
