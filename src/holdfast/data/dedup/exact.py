"""Equal content, found by its hash (xxh3, 128 bits): among 20 million rows, any false match has a chance of 1e-24."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.dedup.shingles import mixed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KEY = np.dtype([("high", np.uint64), ("low", np.uint64)])


def content_keys(texts: Iterable[str]) -> NDArray:
    """Returns the 128-bit hash of each text."""
    from xxhash import xxh3_128_digest

    digests = b"".join(xxh3_128_digest(text.encode("utf-8", "surrogatepass")) for text in texts)
    # A writable copy; the order of the halves is of no importance, only equality is asked for.
    return np.frombuffer(digests, dtype=KEY).copy()


def content_hashes(texts: Iterable[str]) -> NDArray:
    """Returns a 64-bit hash of each text, where a false match is of little consequence."""
    return content_keys(texts)["high"]


def equal_groups(keys: NDArray) -> NDArray:
    """Returns for every row the index of the first row with the same key.

    >>> equal_groups(content_keys(["a", "b", "a"])).tolist()
    [0, 1, 0]
    """
    high, low = np.ascontiguousarray(keys["high"]), np.ascontiguousarray(keys["low"])
    order = np.lexsort((low, high))  # stable: of equal rows the first comes first
    new = np.ones(len(order), dtype=bool)
    new[1:] = (high[order[1:]] != high[order[:-1]]) | (low[order[1:]] != low[order[:-1]])
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[new][np.cumsum(new) - 1] if len(order) else order
    return first


def equal_rows(*columns: NDArray) -> NDArray:
    """Returns for every row the index of the first row that has the same 64-bit hashes in all columns."""
    keys = np.zeros(len(columns[0]), dtype=KEY)
    for column in columns:
        keys["high"] = mixed(keys["high"] + column)
        keys["low"] = mixed(keys["low"] ^ mixed(column.astype(np.uint64)))
    return equal_groups(keys)


def best_of(group: NDArray, rank: NDArray) -> NDArray:
    """Returns for every row the row of best rank (the least) in its group; groups are numbered by any of their rows."""
    best = np.empty(len(group), dtype=np.int64)
    # Written from the worst to the best: what is written last stays.
    order = np.argsort(rank)[::-1]
    best[group[order]] = order
    return best[group]
