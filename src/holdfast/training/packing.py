"""Which sequences are computed together: padded micro-batches of like length, or rows packed to the brim.

Both return lists of indices into `lengths`, every index exactly once, and depend on nothing but
their arguments, so that a resumed run forms the same batches.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from holdfast.errors import ConfigError


def token_budget_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Returns batches of sequences of like length whose padded size (rows x longest) fits `budget` tokens.

    Longest first, so that a batch too large for memory fails at once and not an hour later. Nothing
    is ever cut or dropped: a sequence longer than the budget gets a batch of its own.

    >>> token_budget_batches([3, 9, 4, 2], budget=9)
    [[1], [2, 0], [3]]
    """
    if budget < 1:
        raise ConfigError(f"the token budget must be at least 1, not {budget}.", param="budget")
    batches: list[list[int]] = []
    longest = 0
    for index in _longest_first(lengths):
        if batches and longest * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def least_padding_batches(lengths: Sequence[int], budget: int, call_cost: int) -> list[list[int]]:
    """Returns batches of like length within `budget` padded tokens whose whole cost is least.

    The cost is the padded tokens plus `call_cost` tokens for every batch: what one more pass through the
    model takes, expressed in tokens (small on a CPU, thousands on a GPU). Found exactly, by dynamic
    programming over the sorted lengths; longest first.

    >>> least_padding_batches([10, 2, 2, 2], budget=100, call_cost=5)
    [[0], [1, 2, 3]]
    >>> least_padding_batches([10, 2, 2, 2], budget=100, call_cost=50)
    [[0, 1, 2, 3]]
    """
    if budget < 1:
        raise ConfigError(f"the token budget must be at least 1, not {budget}.", param="budget")
    order = _longest_first(lengths)
    total = len(order)
    best, cut = [0] + [0] * total, [0] * (total + 1)
    for end in range(1, total + 1):
        costs = []
        for start in range(end - 1, -1, -1):
            padded = lengths[order[start]] * (end - start)
            if padded > budget and end - start > 1:
                break
            costs.append((best[start] + padded + call_cost, start))
        best[end], cut[end] = min(costs)
    batches: list[list[int]] = []
    end = total
    while end:
        batches.append(order[cut[end] : end])
        end = cut[end]
    return batches[::-1]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Returns bins of sequences whose lengths add up to at most `capacity` (best fit, longest first).

    Best-fit decreasing needs at most 11/9 of the optimal number of bins, plus one. O(n log n) searches.

    >>> pack([6, 5, 4, 3, 2], capacity=10)
    [[0, 2], [1, 3, 4]]
    """
    bins: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens free, bin), ascending: the tightest bin that fits is found by bisection
    for index in _longest_first(lengths):
        length = lengths[index]
        if length > capacity:
            raise ConfigError(
                f"sequence {index} has {length} tokens and does not fit a pack of {capacity}. "
                "Raise the token budget, or leave the example out.",
                param="capacity",
            )
        at = bisect_left(free, (length, -1))
        if at == len(free):
            bins.append([])
            room, target = capacity, len(bins) - 1
        else:
            room, target = free.pop(at)
        bins[target].append(index)
        insort(free, (room - length, target))
    return bins


def _longest_first(lengths: Sequence[int]) -> list[int]:
    for index, length in enumerate(lengths):
        if length < 1:
            raise ConfigError(f"sequence {index} has {length} tokens. Leave empty sequences out.", param="lengths")
    return sorted(range(len(lengths)), key=lambda index: -lengths[index])
