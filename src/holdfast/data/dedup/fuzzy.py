"""Near-duplicates: MinHash signatures in bands find candidates, and their shingles are compared exactly.

MinHash and bands: Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman & Ullman,
"Mining of Massive Datasets", chapter 3. Choices made here:

- Signatures are never kept: one 64-bit number a band is, and shingles (32 bits each), both on disk.
- Every candidate is verified on its shingles, so there are no false positives, and bands may be generous.
- In a band, rows with the same number are compared all with all while they are few (`ALL_WITH_ALL`). Of more, each is
  compared with the best, then what is left over with the best of those, so many times at most; whoever was found to be
  like a better row leaves. So ten thousand equal texts cost ten thousand comparisons. What that may leave out is looked
  for again among the rows that are kept (`settled`), until nothing is found.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.dedup.columns import mapped
from holdfast.data.dedup.groups import Pairs, joined, settled
from holdfast.data.dedup.shingles import distinct, mixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from holdfast.data.dedup.groups import Standing
    from holdfast.data.dedup.shingles import Sets

ALL_WITH_ALL = 32
"""Rows of one band and number up to which all pairs are compared, and rounds for larger ones."""
AT_A_TIME = 1 << 21
"""Shingles held in memory while pairs are compared."""
SIGNED_AT_A_TIME = 256
"""Rows whose signatures are held as Python numbers, which is what the library gives."""


def similarities(sets: Sets, first: NDArray, second: NDArray) -> NDArray:
    """Returns the Jaccard similarity (float32) of each pair of rows; two empty sets are alike (1)."""
    total = sets.sizes(first) + sets.sizes(second)
    result = np.empty(len(first), dtype=np.float32)
    for start, stop in _blocks(total):
        one, other = first[start:stop], second[start:stop]
        values, owner = sets.gather(np.concatenate([one, other]))
        # Each set holds a value once: a value that a pair has twice is in both.
        keys = (owner % (stop - start)).astype(np.uint64) << np.uint64(32) | values
        keys.sort()
        twice = keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)
        shared = np.bincount(twice.astype(np.int64), minlength=stop - start)
        union = total[start:stop] - shared
        result[start:stop] = np.where(union > 0, shared / np.maximum(union, 1), 1.0)
    return result


def _blocks(sizes: NDArray) -> Iterator[tuple[int, int]]:
    """Yields ranges of pairs with about `AT_A_TIME` shingles in all."""
    block = np.cumsum(sizes) // AT_A_TIME
    bounds = [0, *(np.flatnonzero(block[1:] != block[:-1]) + 1).tolist(), len(sizes)]
    yield from ((start, stop) for start, stop in pairwise(bounds) if stop > start)


def bands_for(threshold: float, permutations: int, recall: float) -> tuple[int, int]:
    """Returns (bands, rows): the widest bands with which a pair at `threshold` is found with chance `recall`.

    The chance at similarity s is 1 - (1 - s**rows)**bands.

    >>> bands_for(0.8, 128, 0.99)
    (21, 6)
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= recall:
            return bands, rows
    return permutations, 1


def band_numbers(sets: Sets, rows: NDArray, shape: tuple[int, int], path: Path, seed: int) -> NDArray:
    """Returns one 64-bit number a band (bands, len(rows)) of the rows' MinHash signatures, in a file at `path`."""
    from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] - compiled

    bands, width = shape
    numbers = mapped(path, np.uint64, (bands, len(rows)), new=True)
    factors = mixed(np.arange(1, width + 1, dtype=np.uint64)) | np.uint64(1)
    for start in range(0, len(rows), SIGNED_AT_A_TIME):
        part = rows[start : start + SIGNED_AT_A_TIME]
        values, owner = sets.gather(part)
        offsets = np.searchsorted(owner, np.arange(len(part) + 1)).astype(np.uint64)
        digests = RMinHash.digest_matrix_from_flat_token_hashes(
            mixed(values.astype(np.uint64)), offsets, bands * width, seed
        )
        # Lists of Python numbers are all the library gives; by arrays of the standard library is the fastest way out.
        raw = b"".join([array("I", row) for row in digests.to_rows()])
        signatures = np.frombuffer(raw, dtype=np.uintc).reshape(len(part), bands, width).astype(np.uint64)
        numbers[:, start : start + len(part)] = mixed((signatures * factors).sum(axis=2)).T
    return numbers


def near_pairs(
    sets: Sets,
    numbers: NDArray,
    rows: NDArray,
    threshold: float,
    accept: Callable[[Pairs], NDArray] | None = None,
) -> tuple[Pairs, NDArray]:
    """Returns pairs of `rows` with a similarity of at least `threshold`, and the rows not compared with all candidates.

    `numbers` are the band numbers of `rows`, which come in the order of quality, the best first. `accept` says which
    of the similar pairs count.
    """
    known = np.empty(0, dtype=np.uint64)
    found: list[Pairs] = []
    crowded = np.zeros(len(rows), dtype=bool)

    def compare(first: NDArray, second: NDArray) -> None:
        """Compares pairs (places in `rows`, lower place first) that are not known to be alike."""
        nonlocal known
        keys = distinct(_keys(first, second))
        keys = keys[~_contains(known, keys)]
        one, other = (rows[places.astype(np.int64)] for places in np.divmod(keys, np.uint64(1 << 32)))
        sizes = sets.sizes(one), sets.sizes(other)
        could = np.minimum(*sizes) >= threshold * np.maximum(*sizes)
        one, other, keys = one[could], other[could], keys[could]
        pairs = Pairs(one, other, similarities(sets, one, other))
        alike = pairs.similarity >= threshold
        pairs, keys = pairs.where(alike), keys[alike]
        if accept is not None and len(pairs):
            counts = accept(pairs)
            pairs, keys = pairs.where(counts), keys[counts]
        if len(pairs):
            found.append(pairs)
            known = np.sort(np.concatenate([known, keys]))

    for band in numbers:
        members, bucket = _buckets(band)
        sizes = np.bincount(bucket)[bucket] if len(bucket) else bucket
        few = sizes <= ALL_WITH_ALL
        _all_with_all(members[few], bucket[few], compare)
        if not few.all():
            crowded[members[~few]] = True
            _with_the_best(members[~few], bucket[~few], compare, lambda keys: _contains(known, keys))
    return joined(found), rows[crowded]


def _keys(first: NDArray, second: NDArray) -> NDArray:
    return first.astype(np.uint64) << np.uint64(32) | second.astype(np.uint64)


def _contains(ordered: NDArray, keys: NDArray) -> NDArray:
    """Whether each of `keys` is in the sorted array."""
    place = np.searchsorted(ordered, keys)
    inside = place < len(ordered)
    inside[inside] = ordered[place[inside]] == keys[inside]
    return inside


def _buckets(band: NDArray) -> tuple[NDArray, NDArray]:
    """Returns the places that share their number with another, number by number in order, and which number."""
    order = np.argsort(band)
    ordered = band[order]
    same = ordered[1:] == ordered[:-1]
    shares = np.zeros(len(band), dtype=bool)
    shares[1:] |= same
    shares[:-1] |= same
    new = np.ones(len(band), dtype=bool)
    new[1:] = ~same
    members = order[shares].astype(np.int64)
    bucket = np.cumsum(new[shares]) - 1
    by_place = np.argsort(_keys(bucket, members))
    return members[by_place], bucket[by_place]


def _all_with_all(members: NDArray, bucket: NDArray, compare: Callable[[NDArray, NDArray], None]) -> None:
    pairs: list[tuple[NDArray, NDArray]] = []
    for step in range(1, ALL_WITH_ALL):
        same = bucket[step:] == bucket[:-step]
        if not same.any():
            break
        pairs.append((members[:-step][same], members[step:][same]))
    if pairs:
        compare(np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs]))


def _with_the_best(
    members: NDArray,
    bucket: NDArray,
    compare: Callable[[NDArray, NDArray], None],
    alike: Callable[[NDArray], NDArray],
) -> None:
    for _ in range(ALL_WITH_ALL):
        if not len(members):
            break
        first = np.ones(len(bucket), dtype=bool)
        first[1:] = bucket[1:] != bucket[:-1]
        best = members[first][np.cumsum(first) - 1]
        compare(best[~first], members[~first])
        stays = ~first
        stays[stays] = ~alike(_keys(best[~first], members[~first]))
        members, bucket = members[stays], bucket[stays]


def near_duplicates(
    sets: Sets,
    rank: NDArray,
    threshold: float,
    *,
    folder: Path,
    permutations: int = 128,
    recall: float = 0.99,
    seed: int = 0,
    accept: Callable[[Pairs], NDArray] | None = None,
) -> tuple[Standing, Pairs]:
    """Returns which rows stand for which, and all pairs found with a similarity of at least `threshold`.

    `rank` is each row's place in the order of quality. A row without shingles is like no other. Files of 8 bytes a row
    and band are made in `folder`.
    """
    shape = bands_for(threshold, permutations, recall)
    order = np.argsort(rank)

    def search(rows: NDArray, number: int) -> tuple[Pairs, NDArray]:
        path = folder / f"bands.{number}"
        numbers = band_numbers(sets, rows, shape, path, seed + number)
        found = near_pairs(sets, numbers, rows, threshold, accept)
        path.unlink(missing_ok=True)
        return found

    return settled(len(sets), order[sets.sizes()[order] > 0], rank, search)
