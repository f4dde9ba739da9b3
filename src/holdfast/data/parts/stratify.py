"""Which units of rows make up a share of all rows: each label with its share, or the newest."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CARRY = 0.5
"""So many rows, at most, does a label take over from what the labels before it are short of."""


@dataclass(frozen=True, slots=True)
class Units:
    """Units of rows in drawn order, and how many rows of each label they hold.

    `labels`, `members` and `counts` are parallel: unit `members[i]` holds `counts[i]` rows of label `labels[i]`.
    """

    sizes: NDArray[np.int64]
    members: NDArray[np.int64]
    labels: NDArray[np.int64]
    counts: NDArray[np.int64]
    num_labels: int


def units_of(rows: NDArray[np.int64], labels: NDArray[np.int64], num_units: int, num_labels: int) -> Units:
    """Returns the units when row i belongs to unit `rows[i]` and has the label `labels[i]`."""
    pairs, counts = np.unique(rows * num_labels + labels, return_counts=True)
    return Units(np.bincount(rows, minlength=num_units), pairs // num_labels, pairs % num_labels, counts, num_labels)


def stratified(units: Units, share: float, taken: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which units are chosen, so that about `share` of each label's rows (those `taken` included) is in them.

    Units that are `taken` already are not chosen, and at least one unit of every label is left.
    """
    wanted = np.bincount(units.labels, weights=units.counts, minlength=units.num_labels) * share
    left = np.bincount(units.labels[~taken[units.members]], minlength=units.num_labels)
    mixed = np.bincount(units.members, minlength=len(units.sizes)) > 1
    chosen = np.zeros(len(units.sizes), dtype=np.bool_)
    got = _mixed(units, share, mixed, chosen, taken, left)
    carry = 0.0
    pure = ~mixed[units.members]
    order = np.flatnonzero(pure)[np.argsort(units.labels[pure], kind="stable")]
    ends = np.searchsorted(units.labels[order], np.arange(units.num_labels + 1))
    for label in range(units.num_labels):
        own = units.members[order[ends[label] : ends[label + 1]]]
        free = own[~taken[own]]
        missing = wanted[label] - got[label]
        carried = min(max(carry, -MAX_CARRY), MAX_CARRY)
        candidates = free[: len(free) - int(left[label] <= len(free))]
        picked = candidates[fill(units.sizes[candidates], missing + carried)]
        chosen[picked] = True
        carry += missing - float(units.sizes[picked].sum())
    if share and not chosen.any():
        _at_least_one(units, chosen, taken, left)
    return chosen


def fill(sizes: NDArray[np.int64], wanted: float) -> NDArray[np.bool_]:
    """Returns which units are taken when, in their order, each is taken that brings the sum nearer to `wanted`.

    The sum ends at most half a unit away, as long as a unit is left.

    >>> fill(np.array([1, 9, 1, 1, 1]), 2.5)
    array([ True, False,  True,  True, False])
    """
    taken = np.zeros(len(sizes), dtype=np.bool_)
    start = 0
    while start < len(sizes) and wanted > 0:
        rest = start + np.flatnonzero(sizes[start:] <= 2 * wanted)
        if not len(rest):
            break
        sums = np.cumsum(sizes[rest])
        num = int(np.searchsorted(sums, wanted, side="right"))
        if not num:
            num = 1
        taken[rest[:num]] = True
        wanted -= float(sums[num - 1])
        start = int(rest[num - 1]) + 1
    return taken


def newest_first(sizes: NDArray[np.int64], wanted: float) -> int:
    """Returns how many units from the start make up `wanted` rows best; their order is that of time."""
    sums = np.cumsum(sizes)
    num = int(np.searchsorted(sums, wanted, side="right"))
    before = float(sums[num - 1]) if num else 0.0
    return num + int(num < len(sizes) and sizes[num] <= 2 * (wanted - before))


def _mixed(
    units: Units,
    share: float,
    mixed: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    taken: NDArray[np.bool_],
    left: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Chooses among units with several labels, one after another; returns the rows of each label that are chosen.

    A unit is taken if the squared distances of all its labels from their shares become less.
    """
    got = np.zeros(units.num_labels)
    of_mixed = np.flatnonzero(mixed[units.members])
    missing = np.bincount(units.labels[of_mixed], weights=units.counts[of_mixed], minlength=units.num_labels) * share
    of_unit = units.members[of_mixed]
    starts = np.flatnonzero(np.r_[True, of_unit[1:] != of_unit[:-1]]) if len(of_unit) else np.empty(0, np.int64)
    for start, end in pairwise([*starts.tolist(), len(of_unit)] if len(starts) else []):
        own = of_mixed[start:end]
        unit, labels, counts = units.members[own[0]], units.labels[own], units.counts[own]
        nearer = float((counts * (counts - 2 * missing[labels])).sum()) <= 0
        if nearer and not taken[unit] and bool((left[labels] > 1).all()):
            chosen[unit] = True
            missing[labels] -= counts
            got[labels] += counts
            left[labels] -= 1
    return got


def _at_least_one(units: Units, chosen: NDArray[np.bool_], taken: NDArray[np.bool_], left: NDArray[np.int64]) -> None:
    """Chooses the smallest unit all of whose labels are also in another unit that is left, if there is one."""
    able = ~taken
    able[units.members[left[units.labels] < 2]] = False
    if able.any():
        candidates = np.flatnonzero(able)
        chosen[candidates[np.argmin(units.sizes[candidates])]] = True
