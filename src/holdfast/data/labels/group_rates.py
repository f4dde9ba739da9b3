"""Rates of groups of people, with intervals and the gaps between groups, by fairlearn's MetricFrame.

Intervals are Wilson's for a share (1927), 95 %. Gaps are between the highest and the lowest rate of the groups that are
large enough to compare: for the rate of a label, demographic parity difference and ratio (Agarwal et al. 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.types import JSONValue

Z = 1.959963984540054
INSTALL = "pip install 'holdfast[govern]'"


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of `num` rows, with its 95 % interval."""

    share: float
    num: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Gap:
    """The rates of all groups, and the distance of the highest from the lowest of those with enough rows.

    `ratio` is the lowest by the highest (1 where all are 0). `certain` is True where the intervals of the two do not
    overlap. Without two groups of enough rows, difference and ratio are None.
    """

    rates: Mapping[str, Rate]
    difference: float | None
    ratio: float | None
    lowest: str = ""
    highest: str = ""
    certain: bool = False

    def figures(self) -> dict[str, JSONValue]:
        """Returns the gap as JSON."""
        rates: dict[str, JSONValue] = {
            name: {"share": rate.share, "rows": rate.num, "low": rate.low, "high": rate.high}
            for name, rate in self.rates.items()
        }
        return {
            "rates": rates,
            "difference": self.difference,
            "ratio": self.ratio,
            "lowest": self.lowest,
            "highest": self.highest,
            "certain": self.certain,
        }


def wilson(share: float, num: int) -> Rate:
    """Returns a share of `num` rows with Wilson's interval; of no rows it is 0 to 1.

    >>> rate = wilson(0.5, 10)
    >>> round(rate.low, 4), round(rate.high, 4)
    (0.2366, 0.7634)
    """
    if not num:
        return Rate(0.0, 0, 0.0, 1.0)
    middle = (share + Z * Z / (2 * num)) / (1 + Z * Z / num)
    half = Z / (1 + Z * Z / num) * math.sqrt(share * (1 - share) / num + Z * Z / (4 * num * num))
    return Rate(share, num, max(0.0, middle - half), min(1.0, middle + half))


def gap(events: Mapping[str, int], rows: Mapping[str, int], min_group: int) -> Gap:
    """Returns how often an event happened in each group, of `events[group]` times in `rows[group]` rows.

    Raises `DataError` if fairlearn is not installed.
    """
    try:
        from fairlearn.metrics import MetricFrame, selection_rate
    except ImportError:
        raise DataError(
            f"Groups are compared with fairlearn, which is not installed: {INSTALL}, or set bias.enabled = false.",
            param="bias",
        ) from None
    rates = {name: wilson(events.get(name, 0) / num, num) for name, num in rows.items() if num}
    large = [name for name, rate in rates.items() if rate.num >= min_group]
    if len(large) < 2:
        return Gap(rates, None, None)
    # One row for the events of a group and one for its other rows, weighed by their numbers: rows in the millions need
    # not be laid out.
    happened = [1, 0] * len(large)
    frame = MetricFrame(
        metrics=selection_rate,
        y_true=happened,
        y_pred=happened,
        sensitive_features=[name for name in large for _ in range(2)],
        sample_params={"sample_weight": [w for name in large for w in _weights(events.get(name, 0), rows[name])]},
    )
    lowest, highest = min(large, key=lambda name: rates[name].share), max(large, key=lambda name: rates[name].share)
    ratio = _number(frame.ratio()) if rates[highest].share else 1.0
    certain = rates[lowest].high < rates[highest].low
    return Gap(rates, _number(frame.difference()), ratio, lowest, highest, certain)


def _number(value: object) -> float:
    """Returns what fairlearn declares as a number or a table; of one metric it is a number."""
    assert isinstance(value, float)  # numpy's is one too
    return float(value)


def _weights(events: int, rows: int) -> tuple[float, float]:
    return float(events), float(rows - events)
