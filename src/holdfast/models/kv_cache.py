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
        self._targets: dict[int, Tensor] = {}

    def set(self, positions: Tensor, length: int) -> None:
        """Notes the place of the next token of each of the first rows, and how many places are in use."""
        self.num_rows, self.length, self.positions = len(positions), length, positions
        self._targets.clear()

    def target(self, heads: int, capacity: int) -> Tensor:
        """Returns the index of each row's and head's next place in the flattened store; made once a step."""
        target = self._targets.get(heads)
        if target is None:
            first = torch.arange(self.num_rows * heads, device=self.positions.device).view(-1, heads) * capacity
            target = self._targets[heads] = (first + self.positions[:, None]).flatten()
        return target


class _Rows(CacheLayerMixin):
    """One layer: `stores` are keys and values [rows, heads, places, width]."""

    def __init__(self, keys: Tensor, values: Tensor, places: _Places) -> None:
        super().__init__()
        self.stores, self.places = [keys, values], places
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Does nothing: the rows are allocated from the first prompt's shapes."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Writes one token's keys and values per row and returns those of all places in use."""
        heads, capacity = self.stores[0].shape[1:3]
        target = self.places.target(heads, capacity)
        for store, new in zip(self.stores, (key_states, value_states), strict=True):
            width = store.shape[-1]
            store.view(-1, width).index_copy_(0, target, new.reshape(-1, width).to(store.dtype))
        rows, length = self.places.num_rows, self.places.length
        return self.stores[0][:rows, :, :length], self.stores[1][:rows, :, :length]

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
        self.rows = [
            _Rows(self._empty(num_rows, keys), self._empty(num_rows, values), self.places) for keys, values in prompt
        ]
        super().__init__(layers=list(self.rows))

    def _empty(self, num_rows: int, like: Tensor) -> Tensor:
        return like.new_zeros(num_rows, like.shape[-3], self.capacity, like.shape[-1])

    def put(self, rows: Sequence[int], prompt: Sequence[tuple[Tensor, Tensor]], length: int) -> None:
        """Copies one prompt's keys and values [heads, >= length, width] into each of `rows`."""
        if length > self.capacity:
            self._grow(length)
        index = torch.tensor(rows, device=prompt[0][0].device)
        for layer, states in zip(self.rows, prompt, strict=True):
            for store, state in zip(layer.stores, states, strict=True):
                store[index, :, :length] = state[:, :length].to(store.dtype)

    def move(self, source: int, target: int, length: int) -> None:
        """Copies row `source` over row `target`."""
        for layer in self.rows:
            for store in layer.stores:
                store[target, :, :length] = store[source, :, :length]

    def row(self, row: int, length: int) -> list[tuple[Tensor, Tensor]]:
        """Returns the keys and values [heads, length, width] of a row's first tokens, layer by layer; not copied."""
        return [(layer.stores[0][row, :, :length], layer.stores[1][row, :, :length]) for layer in self.rows]

    def at(self, positions: Tensor, longest: int) -> None:
        """Says where the next token of each of the first rows goes; `longest` is the largest place."""
        if longest >= self.capacity:
            self._grow(longest + 1)
        self.places.set(positions, round_up(longest + 1, STEP))

    def _grow(self, needed: int) -> None:
        old, self.capacity = self.capacity, round_up(max(needed, self.capacity * 3 // 2), STEP)
        for layer in self.rows:
            for index, store in enumerate(layer.stores):
                larger = self._empty(store.shape[0], store)
                larger[:, :, :old] = store
                layer.stores[index] = larger
