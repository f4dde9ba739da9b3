"""Keys and values of a changing set of sequences, in preallocated rows that are filled from the left.

A row's token t stands at place t, whatever the other rows hold, and lengths are rounded up to `STEP`.
On a CPU this makes a row's result independent of its neighbours, bit for bit: the kernels then add a
row's terms in the same order, and masked places add exact zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

STEP = 32


def round_up(number: int, step: int) -> int:
    """Returns the smallest multiple of `step` that is not below `number`."""
    return -(-number // step) * step


class _Places:
    """Where the next tokens go; shared by all layers."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.length = 0
        self.positions = torch.zeros(0, dtype=torch.long)


class _Rows(CacheLayerMixin):
    """One layer: keys and values [rows, heads, places, width]."""

    def __init__(self, keys: Tensor, values: Tensor, places: _Places) -> None:
        super().__init__()
        self.keys, self.values, self.places = keys, values, places
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Does nothing: the rows are allocated from the first prompt's shapes."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Writes one token's keys and values per row and returns those of all places in use."""
        places = self.places
        kept = []
        for store, new in ((self.keys, key_states), (self.values, value_states)):
            heads, capacity, width = store.shape[1:]
            flat = (torch.arange(places.num_rows * heads, device=store.device) * capacity).view(-1, heads)
            flat = (flat + places.positions[:, None]).flatten()
            store.view(-1, width).index_copy_(0, flat, new.reshape(-1, width).to(store.dtype))
            kept.append(store[: places.num_rows, :, : places.length])
        return kept[0], kept[1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Returns the number of places in use, and no offset."""
        return self.places.length, 0

    def get_seq_length(self) -> int:
        """Returns the number of places in use."""
        return self.places.length

    def get_max_length(self) -> int:
        """Returns -1: rows grow."""
        return -1


class RowCache(Cache):
    """The cache that is handed to the model while it decodes."""

    def __init__(self, num_rows: int, capacity: int, prompt: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.places = _Places()
        self.capacity = round_up(capacity, STEP)
        layers = [
            _Rows(self._empty(num_rows, keys), self._empty(num_rows, values), self.places) for keys, values in prompt
        ]
        super().__init__(layers=layers)

    def _empty(self, num_rows: int, like: Tensor) -> Tensor:
        return like.new_zeros(num_rows, like.shape[-3], self.capacity, like.shape[-1])

    def put(self, rows: Sequence[int], prompt: Sequence[tuple[Tensor, Tensor]], length: int) -> None:
        """Copies one prompt's keys and values [heads, >= length, width] into each of `rows`."""
        for layer, (keys, values) in zip(self.layers, prompt, strict=True):
            for row in rows:
                layer.keys[row, :, :length] = keys[:, :length]
                layer.values[row, :, :length] = values[:, :length]

    def move(self, source: int, target: int, length: int) -> None:
        """Copies row `source` over row `target`."""
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]

    def at(self, positions: Tensor, longest: int) -> None:
        """Says where the next token of each of the first rows goes; `longest` is the largest place."""
        if longest >= self.capacity:
            self._grow(longest + 1)
        self.places.num_rows = len(positions)
        self.places.positions = positions
        self.places.length = round_up(longest + 1, STEP)

    def _grow(self, needed: int) -> None:
        old, self.capacity = self.capacity, round_up(max(needed, self.capacity * 3 // 2), STEP)
        for layer in self.layers:
            for name in ("keys", "values"):
                store = getattr(layer, name)
                larger = self._empty(store.shape[0], store)
                larger[:, :, :old] = store
                setattr(layer, name, larger)
