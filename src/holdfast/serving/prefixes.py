"""Keys and values of what was read lately, so that a prompt which begins as another did is read from there on.

Kept and found block by block, by a chain of hashes, as in vLLM's paged attention and automatic prefix caching (Kwon et
al. 2023, arXiv:2309.06180).

Choices made here:
- A block is `BLOCK` tokens; the last token of a prompt is always read, as its logits are wanted.
- All blocks lie in one store that is made once, so that memory is bounded and never falls to pieces.
- What is found is compared token by token, so that no collision ever shows one client another's text.
- Every adapter has its own prefixes: keys and values depend on the weights.
- What was used longest ago makes room, and of one sequence its end before its beginning.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from holdfast.models.prefill import State

BLOCK = 16
MAX_BYTES = 256 << 20
MIN_TOGETHER = 64
"""Prompts that wait at the same time and begin with so many equal tokens have these read once."""


class Prefixes:
    """Blocks of tokens that were read, with their keys and values. `owner` is a number for each adapter that ever was.

    A state is keys and values [heads, tokens, width] of each layer.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._stores: list[tuple[Tensor, Tensor]] = []  # of each layer [blocks, heads, BLOCK, width]
        self._places: OrderedDict[bytes, int] = OrderedDict()  # where a block lies; oldest use first
        self._ids: list[tuple[int, ...]] = []
        self._num_blocks = 0

    def find(self, owner: int, ids: tuple[int, ...]) -> list[int]:
        """Returns where the first blocks of `ids` lie that were read before; `state` gives what is there."""
        found: list[int] = []
        names = _names(owner, ids[:-1])
        for number, name in enumerate(names):
            place = self._places.get(name)
            if place is None or self._ids[place] != ids[number * BLOCK : (number + 1) * BLOCK]:
                break
            found.append(place)
        self._use(names[: len(found)])
        return found

    def state(self, places: Sequence[int]) -> State:
        """Returns a copy of the keys and values of blocks that follow each other, one block at least."""
        index = torch.tensor(places, device=self._stores[0][0].device)
        return [(_joined(keys[index]), _joined(values[index])) for keys, values in self._stores]

    def keep(self, owner: int, ids: tuple[int, ...], state: State) -> None:
        """Keeps a copy of what was read of `ids`, in whole blocks; of more than there is room for, nothing."""
        names = _names(owner, ids)
        if not self._stores:
            self._make(state)
        if not names or len(names) > self._num_blocks:
            return
        self._use([name for name in names if name in self._places])
        new = [number for number, name in enumerate(names) if name not in self._places]
        if not new:
            return
        places = [self._room() for _ in new]
        for number, place in zip(new, places, strict=True):
            self._places[names[number]] = place
            self._ids[place] = ids[number * BLOCK : (number + 1) * BLOCK]
        self._use(names)
        index, which = torch.tensor([places, new], device=state[0][0].device)
        for stores, states in zip(self._stores, state, strict=True):
            for store, one in zip(stores, states, strict=True):
                heads, width = one.shape[0], one.shape[-1]
                blocks = one[:, : len(names) * BLOCK].reshape(heads, -1, BLOCK, width)
                store[index] = blocks[:, which].transpose(0, 1)

    def _use(self, names: Sequence[bytes]) -> None:
        """Notes that a sequence's blocks are used, its first one last."""
        for name in reversed(names):
            self._places.move_to_end(name)

    def _room(self) -> int:
        """Returns a place for a block."""
        if len(self._ids) < self._num_blocks:
            self._ids.append(())
            return len(self._ids) - 1
        return self._places.popitem(last=False)[1]

    def _make(self, state: State) -> None:
        """Makes the store, as many blocks as fit the bytes."""
        size = sum(one.shape[0] * BLOCK * one.shape[-1] * one.element_size() for pair in state for one in pair)
        self._num_blocks = self._max_bytes // size

        def store(like: Tensor) -> Tensor:
            return like.new_empty(self._num_blocks, like.shape[0], BLOCK, like.shape[-1])

        self._stores = [(store(keys), store(values)) for keys, values in state]


def _joined(blocks: Tensor) -> Tensor:
    """Returns blocks [n, heads, BLOCK, width] as one sequence [heads, n · BLOCK, width]."""
    return blocks.transpose(0, 1).flatten(1, 2)


def _names(owner: int, ids: Sequence[int]) -> list[bytes]:
    """Returns a name of each beginning of `ids` that is whole blocks, shortest first."""
    names: list[bytes] = []
    name = str(owner).encode()
    for start in range(0, len(ids) - BLOCK + 1, BLOCK):
        name = blake2b(name + array("q", ids[start : start + BLOCK]).tobytes(), digest_size=16).digest()
        names.append(name)
    return names


def common_beginnings(prompts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """Returns for prompts that begin alike with `MIN_TOGETHER` tokens or more how many tokens all of these share."""
    families: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for ids in prompts:
        if len(ids) > MIN_TOGETHER:
            families.setdefault(ids[:MIN_TOGETHER], []).append(ids)
    shared: dict[tuple[int, ...], int] = {}
    for family in families.values():
        if len(family) > 1:
            length = min(_alike(one, other) for one, other in pairwise(family))
            shared.update({ids: min(length, len(ids) - 1) // BLOCK * BLOCK for ids in family})
    return shared


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Returns how many first tokens two prompts share."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
