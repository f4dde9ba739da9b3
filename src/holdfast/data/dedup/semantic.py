"""Rows of the same meaning: neighbours by the cosine of their vectors, exact while rows are few, then within cells.

Cells are those of spherical k-means, as in SemDeDup (Abbas et al. 2023, arXiv:2303.09540). Choices made here: a row is
looked for in its `PROBES` nearest cells and not only in its own, since pairs across a border are pairs too; each row
keeps its `MOST_NEIGHBOURS` nearest, so that ten thousand alike rows do not make fifty million pairs, and what that
leaves out is looked for again among the rows that are kept (`settled`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.dedup.groups import Pairs, joined
from holdfast.data.dedup.shingles import distinct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

ALL_WITH_ALL = 32768
"""Up to so many rows, each is compared with each."""
BLOCK = 1024
"""Rows whose similarities to others are held at a time."""
OTHERS = 8192
PROBES = 6
MOST_NEIGHBOURS = 32
TRAINED_ON = 64
"""Rows a cell that k-means is trained on."""
ROUNDS = 8


def neighbours(vectors: NDArray, rows: NDArray, threshold: float, seed: int = 0) -> tuple[Pairs, NDArray]:
    """Returns pairs of `rows` with a cosine of at least `threshold`, and the rows that have more than were kept.

    `vectors` (float32, [num_rows, dim], of unit length) may live on disk. Of more than `MOST_NEIGHBOURS` a row keeps
    the nearest. Memory: the vectors of `rows` once, and a few hundred MiB.
    """
    if len(rows) <= ALL_WITH_ALL:
        parts = list(_within(vectors, rows, rows, threshold))
    else:
        parts = [pair for cell, near in _cells(vectors, rows, seed) for pair in _within(vectors, near, cell, threshold)]
    more = np.concatenate([more for _, more in parts]) if parts else rows[:0]
    return joined([pairs for pairs, _ in parts]), rows[np.isin(rows, more)]


def cosines_of(vectors: NDArray, pairs: Pairs) -> NDArray:
    """Returns the cosine (float32) of each pair of rows, by their vectors of unit length."""
    result = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), BLOCK):
        part = slice(start, start + BLOCK)
        np.einsum("ij,ij->i", vectors[pairs.first[part]], vectors[pairs.second[part]], out=result[part])
    return np.minimum(result, 1.0)


def _within(vectors: NDArray, rows: NDArray, others: NDArray, threshold: float) -> Iterator[tuple[Pairs, NDArray]]:
    """Yields the pairs of each of `rows` with its nearest in `others`, and those that have more, block by block."""
    for start in range(0, len(rows), BLOCK):
        mine = rows[start : start + BLOCK]
        found: list[tuple[NDArray, NDArray, NDArray]] = []
        block = np.asarray(vectors[mine])
        for begin in range(0, len(others), OTHERS):
            theirs = others[begin : begin + OTHERS]
            cosine = block @ np.asarray(vectors[theirs]).T
            cosine[mine[:, None] == theirs[None, :]] = -1.0
            one, other = np.nonzero(cosine >= threshold)
            found.append((one, theirs[other], cosine[one, other]))
        one = np.concatenate([one for one, _, _ in found]) if found else np.empty(0, np.int64)
        other = np.concatenate([other for _, other, _ in found]) if found else one
        cosine = np.concatenate([cosine for _, _, cosine in found]) if found else np.empty(0, np.float32)
        order = np.lexsort((other, -cosine, one))
        one, other, cosine = one[order], other[order], cosine[order]
        nearest = np.arange(len(one)) - np.searchsorted(one, one) < MOST_NEIGHBOURS
        pairs = Pairs(mine[one[nearest]], other[nearest], np.minimum(cosine[nearest], 1.0))
        yield pairs, mine[distinct(one[~nearest])]


def _cells(vectors: NDArray, rows: NDArray, seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Yields for each cell the rows that lie in it, and the rows for which it is one of the nearest cells."""
    num_cells = int(np.sqrt(len(rows)))
    centres = _centres(vectors, rows, num_cells, seed)
    probes = min(PROBES, num_cells)
    nearest = np.empty((len(rows), probes), dtype=np.int32)
    for start in range(0, len(rows), BLOCK):
        cosine = np.asarray(vectors[rows[start : start + BLOCK]]) @ centres.T
        best = np.argpartition(-cosine, probes - 1, axis=1)[:, :probes]
        order = np.argsort(-np.take_along_axis(cosine, best, axis=1), axis=1)
        nearest[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
    home = np.argsort(nearest[:, 0], kind="stable")
    bounds = np.searchsorted(nearest[home, 0], np.arange(num_cells + 1))
    probing = np.argsort(nearest, axis=None, kind="stable")
    limits = np.searchsorted(nearest.ravel()[probing], np.arange(num_cells + 1))
    for cell in range(num_cells):
        inside = rows[home[bounds[cell] : bounds[cell + 1]]]
        if len(inside):
            yield inside, rows[np.sort(probing[limits[cell] : limits[cell + 1]] // probes)]


def _centres(vectors: NDArray, rows: NDArray, num_cells: int, seed: int) -> NDArray:
    """Returns the centres (unit length) of spherical k-means on a sample of the rows."""
    drawn = np.random.default_rng(seed)
    sample = np.sort(drawn.choice(rows, min(len(rows), TRAINED_ON * num_cells), replace=False))
    points = np.asarray(vectors[sample], dtype=np.float32)
    centres = points[drawn.choice(len(points), num_cells, replace=False)]
    for _ in range(ROUNDS):
        blocks = range(0, len(points), BLOCK)
        home = np.concatenate([np.argmax(points[i : i + BLOCK] @ centres.T, axis=1) for i in blocks])
        order = np.argsort(home, kind="stable")
        filled, starts = np.unique(home[order], return_index=True)
        sums = np.add.reduceat(points[order], starts, axis=0)
        centres[filled] = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return centres
