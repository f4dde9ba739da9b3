"""The distribution of one length over many rows: percentiles and a histogram, exact, in little memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.types import JSONValue

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


class Distribution:
    """Counts whole numbers >= 0 by value; data of N bytes holds at most about sqrt(2 N) different lengths."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, value: int) -> None:
        """Counts one value."""
        self._counts[value] += 1

    @property
    def total(self) -> int:
        """The sum of all values."""
        return sum(value * count for value, count in self._counts.items())

    def summary(self) -> dict[str, JSONValue]:
        """Returns count, sum, mean, extremes, percentiles and a histogram; empty where there was nothing.

        A percentile p is the smallest value that at least p % of the values do not exceed (nearest rank).
        """
        if not self._counts:
            return {}
        values = sorted(self._counts.items())
        count = sum(self._counts.values())
        percentiles: dict[str, JSONValue] = {}
        waiting, seen = list(PERCENTILES), 0
        for value, times in values:
            seen += times
            while waiting and seen * 100 >= waiting[0] * count:
                percentiles[f"p{waiting.pop(0)}"] = value
        return {
            "count": count,
            "total": self.total,
            "mean": round(self.total / count, 2),
            "min": values[0][0],
            "max": values[-1][0],
            **percentiles,
            "histogram": _histogram(values),
        }


def _histogram(values: list[tuple[int, int]]) -> dict[str, JSONValue]:
    """Bins that double in width: [0, 1), [1, 2), [2, 4), [4, 8) … up to the largest value."""
    counts = [0] * (values[-1][0].bit_length() + 1)
    for value, times in values:
        counts[value.bit_length()] += times
    edges: list[JSONValue] = [0, *(2**power for power in range(len(counts)))]
    return {"edges": edges, "counts": [*counts]}
