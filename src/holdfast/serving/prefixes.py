"""Keys and values of what was read lately, so that a prompt which begins as another did is read from there on.

Found block by block by a chain of hashes, as in vLLM's automatic prefix caching (Kwon et al. 2023, arXiv:2309.06180).

Choices made here:
- A block is `BLOCK` tokens; the last token of a prompt is always read, as its logits are wanted.
- What is found is compared token by token, so that no collision ever shows one client another's text.
- Every adapter has its own prefixes: keys and values depend on the weights.
- What was used longest ago goes first, once more than `max_bytes` are kept.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.models.prefill import State

BLOCK = 16
MAX_BYTES = 256 << 20
MIN_TOGETHER = 64
"""Prompts that wait at the same time and begin with so many equal tokens have these read once."""


@dataclass(slots=True)
class _Entry:
    """One sequence that was read: its tokens, their keys and values [heads, tokens, width], and how large these are."""

    ids: tuple[int, ...]
    state: State
    names: list[bytes]
    num_bytes: int


class Prefixes:
    """Sequences that were read, by their beginnings. `owner` is a number for each adapter that ever was."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._by_name: dict[bytes, int] = {}
        self._num_kept = 0

    def longest(self, owner: int, ids: tuple[int, ...]) -> tuple[int, State | None]:
        """Returns how many first tokens of `ids` were read before, in whole blocks, and their keys and values."""
        names = _names(owner, ids[:-1])
        for number in range(len(names), 0, -1):
            key = self._by_name.get(names[number - 1])
            if key is None:
                continue
            entry, length = self._entries[key], number * BLOCK
            if entry.ids[:length] == ids[:length]:
                self._entries.move_to_end(key)
                return length, [(keys[:, :length], values[:, :length]) for keys, values in entry.state]
        return 0, None

    def keep(self, owner: int, ids: tuple[int, ...], state: State) -> None:
        """Keeps a copy of what was read of `ids`, unless all its blocks are known."""
        names = _names(owner, ids)
        if not names or names[-1] in self._by_name:
            return
        length = len(names) * BLOCK
        copied = [(keys[:, :length].clone(), values[:, :length].clone()) for keys, values in state]
        size = sum(one.numel() * one.element_size() for pair in copied for one in pair)
        if size > self._max_bytes:
            return
        self._num_kept += 1
        new = [name for name in names if name not in self._by_name]
        self._entries[self._num_kept] = _Entry(ids[:length], copied, new, size)
        self._by_name.update(dict.fromkeys(new, self._num_kept))
        self.num_bytes += size
        while self.num_bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self.num_bytes -= oldest.num_bytes
            for name in oldest.names:
                del self._by_name[name]


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
