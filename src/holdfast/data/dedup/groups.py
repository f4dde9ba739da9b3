"""From pairs of alike rows to the row that stands for others, and to groups that must stay together.

Two different questions have two different answers:

- *Which rows may be dropped?* Only one that is like the very row that is kept in its place. Rows are taken from the
  best to the worst; a row is kept unless it is like a row that is kept already (`representatives`).
- *Which rows must lie on the same side of a split?* All that are joined by a chain of likeness (`groups`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows by index (int64) with their similarity (float32); no pair twice."""

    first: NDArray
    second: NDArray
    similarity: NDArray

    def __len__(self) -> int:
        return len(self.first)

    def where(self, mask: NDArray) -> Pairs:
        """Returns the pairs at which `mask` is true."""
        return Pairs(self.first[mask], self.second[mask], self.similarity[mask])


NO_PAIRS = Pairs(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Returns all pairs of `parts`, each once whatever its order."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return NO_PAIRS
    low = np.concatenate([np.minimum(part.first, part.second) for part in parts])
    high = np.concatenate([np.maximum(part.first, part.second) for part in parts])
    similarity = np.concatenate([part.similarity for part in parts])
    order = np.lexsort((high, low))
    low, high, similarity = low[order], high[order], similarity[order]
    new = np.ones(len(low), dtype=bool)
    new[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return Pairs(low[new], high[new], similarity[new])


@dataclass(frozen=True, slots=True)
class Standing:
    """For every row the row that stands for it (itself where it is kept), and how alike the two are."""

    representative: NDArray
    similarity: NDArray

    @property
    def kept(self) -> NDArray:
        """Whether each row is kept."""
        return self.representative == np.arange(len(self.representative))


def representatives(num_rows: int, pairs: Pairs, rank: NDArray) -> Standing:
    """Returns which rows are kept, when the best come first; rank 0 is the best row, and no two ranks are equal.

    A row is dropped exactly if it is in a pair with a kept row of better rank; the most similar of those stands
    for it. So no two kept rows are a pair, and every dropped row is in a pair with the row that stands for it.
    """
    representative = np.arange(num_rows)
    similarity = np.ones(num_rows, dtype=np.float32)
    swap = rank[pairs.first] > rank[pairs.second]
    better = np.where(swap, pairs.second, pairs.first)
    worse = np.where(swap, pairs.first, pairs.second)
    order = np.lexsort((rank[worse], rank[better]))
    dropped: dict[int, tuple[int, float]] = {}
    columns = (better[order].tolist(), worse[order].tolist(), pairs.similarity[order].tolist())
    for good, bad, alike in zip(*columns, strict=True):
        # All pairs of `good` with better rows came before, so what it is now is what it stays.
        if good not in dropped and (bad not in dropped or alike > dropped[bad][1]):
            dropped[bad] = (good, alike)
    if dropped:
        rows = np.fromiter(dropped, np.int64, len(dropped))
        representative[rows] = [good for good, _ in dropped.values()]
        similarity[rows] = [alike for _, alike in dropped.values()]
    return Standing(representative, similarity)


MOST_PASSES = 8


def settled(
    num_rows: int, rows: NDArray, rank: NDArray, search: Callable[[NDArray, int], tuple[Pairs, NDArray]]
) -> tuple[Standing, Pairs]:
    """Returns which rows stand for which, and all pairs found, by a search that may leave out some pairs of many.

    `search(rows, pass)` returns pairs of `rows`, and those rows that may be in more pairs among themselves. Of these,
    the ones that are kept are searched again, until nothing more is found, `MOST_PASSES` times at most.
    """
    found = NO_PAIRS
    standing = representatives(num_rows, found, rank)
    unsettled = rows
    for number in range(MOST_PASSES):
        pairs, left = search(rows, number)
        if len(pairs):
            found = joined([found, pairs])
            standing = representatives(num_rows, found, rank)
        unsettled = left if number == 0 else unsettled
        # Not only of `left`: whoever stood for a row may have been dropped since, and then that row is back.
        rows = unsettled[standing.kept[unsettled]]
        if not len(pairs) or len(rows) < 2 or not len(left):
            break
    return standing, found


def groups(num_rows: int, pairs: Pairs) -> NDArray:
    """Returns for every row the least index among all rows that a chain of pairs joins it to."""
    if not len(pairs):
        return np.arange(num_rows)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joins = coo_array((np.ones(len(pairs), dtype=bool), (pairs.first, pairs.second)), shape=(num_rows, num_rows))
    _, part = connected_components(joins, directed=False)
    least = np.full(part.max() + 1, num_rows, dtype=np.int64)
    np.minimum.at(least, part, np.arange(num_rows))
    return least[part]
