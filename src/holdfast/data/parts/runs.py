"""Rows that share a long run of words with few others (`overlap.shared_runs`): they are joined, within bounds.

Choices made here:
- The longest texts that the same rows share join them first, then those of fewer rows, then by hash: what rows have in
  passing comes after what they are about. A text joins all its rows or none: none where they would become a unit
  larger than the bound. So a chain of rows, each sharing something with the next, ends.
- Of very many runs, those are held whose hash is a multiple of a power of two, the least for which `MAX_RUNS` is
  enough: all up to about 80,000 rows of 50 words, one in eight of 500,000. Which they are depends on the rows alone.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.overlap.shared_runs import ASKED, few_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_RUNS = 1 << 22
"""So many are held, 12 bytes each."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs of words as `shared_runs.long_runs` gives them; row `rows[i]` holds the run `hashes[i]`."""

    hashes: NDArray[np.uint64]
    rows: NDArray[np.int32]


class RunSample:
    """Takes in the runs of rows and holds at most `most` of them, chosen by their hashes."""

    def __init__(self, most: int = MAX_RUNS) -> None:
        self._most = most
        self._hashes, self._rows = array("Q"), array("i")
        self._skipped_bits = np.uint64(0)

    def add(self, row: int, hashes: NDArray[np.uint64]) -> None:
        """Takes in the different runs of a row."""
        kept = hashes[self._chosen(hashes)] if self._skipped_bits else hashes
        self._hashes.frombytes(kept.tobytes())
        self._rows.extend([row] * len(kept))
        while len(self._hashes) > self._most and ~self._skipped_bits > ASKED:
            self._skipped_bits = (self._skipped_bits << np.uint64(1)) | (ASKED << np.uint64(1))
            held = self.runs()
            chosen = self._chosen(held.hashes)
            self._hashes, self._rows = array("Q"), array("i")
            self._hashes.frombytes(held.hashes[chosen].tobytes())
            self._rows.frombytes(held.rows[chosen].tobytes())

    def _chosen(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return hashes & self._skipped_bits == 0

    def runs(self) -> Runs:
        """Returns what is held."""
        return Runs(np.array(self._hashes, np.uint64), np.array(self._rows, np.int32))


@dataclass(frozen=True, slots=True)
class Joined:
    """The component of every prompt, numbered from 0, and how often rows were too many to be joined."""

    components: NDArray[np.int64]
    num_refused: int


def joined_by_runs(
    components: NDArray[np.int64], prompt_of: NDArray[np.int64], runs: Runs, free: NDArray[np.bool_], largest: int
) -> Joined:
    """Returns the components of prompts, joined further where rows that are `free` share a run with few others.

    Prompt p is in the component `components[p]`, and row i asks prompt `prompt_of[i]`. No component becomes larger than
    `largest` rows by it.
    """
    of_row = components[prompt_of]
    sizes = np.bincount(of_row, minlength=int(components.max(initial=-1)) + 1)
    parent: dict[int, int] = {}
    total: dict[int, int] = {}
    num_refused = 0
    for sharing in _sharing(runs, of_row, free):
        roots = {_root(parent, one) for one in sharing}
        together = sum(total.get(root, int(sizes[root])) for root in roots)
        if together > largest:
            num_refused += len(roots) > 1
        else:
            first = min(roots)
            parent.update((root, first) for root in roots if root != first)
            total[first] = together
    final = np.arange(len(sizes))
    for one in parent:
        final[one] = _root(parent, one)
    _, numbered = np.unique(final[components], return_inverse=True)
    return Joined(numbered.astype(np.int64), num_refused)


def _root(parent: dict[int, int], one: int) -> int:
    """Returns the component that stands for all that were joined with this one, and shortens the way to it."""
    while one in parent:
        above = parent[one]
        if above in parent:
            parent[one] = parent[above]
        one = above
    return one


def _sharing(runs: Runs, of_row: NDArray[np.int64], free: NDArray[np.bool_]) -> Iterator[list[int]]:
    """Yields the components that share a run, each set of them once, in the order in which they are to be joined."""
    order = np.argsort(runs.hashes, kind="stable")
    hashes, rows = runs.hashes[order], runs.rows[order]
    new = np.ones(len(hashes), dtype=np.bool_)
    new[1:] = hashes[1:] >> ASKED != hashes[:-1] >> ASKED
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(hashes)))
    asked = hashes[starts + counts - 1] & ASKED == ASKED  # among equal runs, one with the bit comes last
    kept = np.repeat(asked & (counts > 1) & (counts <= few_rows(len(of_row))), counts) & free[rows]
    run_of = np.repeat(np.arange(len(counts)), counts)[kept]
    run_of, members = _distinct(run_of, of_row[rows[kept]])
    starts = np.flatnonzero(np.diff(run_of, prepend=-1))
    stops = np.append(starts, len(run_of))[1:]
    # Runs of one text have the same rows; texts stand in the order of their least hashes.
    spans = zip(starts.tolist(), stops.tolist(), strict=True)
    lengths = Counter(members[start:stop].tobytes() for start, stop in spans if stop - start > 1)
    for name in sorted(lengths, key=lambda name: (-lengths[name], len(name))):
        yield np.frombuffer(name, members.dtype).tolist()


def _distinct(runs: NDArray[np.int64], members: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the different pairs of a run and a member, by run."""
    order = np.lexsort((members, runs))
    runs, members = runs[order], members[order]
    new = (np.diff(runs, prepend=-1) != 0) | (np.diff(members, prepend=-1) != 0)
    return runs[new], members[new]
