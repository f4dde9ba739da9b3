"""Rows that belong together: prompts joined by the groups and owners they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def joined(num_prompts: int, links: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> NDArray[np.int64]:
    """Returns the component of every prompt, numbered from 0.

    A link is a pair of arrays: prompt `link[0][i]` belongs to the group `link[1][i]` (any integers); prompts of one
    group are in one component.
    """
    links = [(prompts, groups) for prompts, groups in links if len(prompts)]
    if not links:
        return np.arange(num_prompts)
    # Heavy, and not needed where nothing is grouped.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends: list[NDArray[np.int64]] = []
    total = num_prompts
    for _, groups in links:
        names, inverse = np.unique(groups, return_inverse=True)
        ends.append(inverse + total)
        total += len(names)
    starts = np.concatenate([prompts for prompts, _ in links])
    edges = coo_array((np.ones(len(starts), np.int8), (starts, np.concatenate(ends))), shape=(total, total))
    _, components = connected_components(edges, directed=False)
    _, numbered = np.unique(components[:num_prompts], return_inverse=True)
    return numbered.astype(np.int64)
