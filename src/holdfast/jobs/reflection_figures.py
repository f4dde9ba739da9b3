"""What was measured of reflections, with intervals at 95 %, and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

from holdfast.evaluation.bound import lower_bound, share_interval, upper_bound
from holdfast.evaluation.metrics import Interval, accuracy, bootstrap, wilson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.training.reflection_check import ReflectionReport
    from holdfast.types import JSONValue

TAIL = 0.025
"""The chance that a true value lies beyond one end of its interval."""
MEANS = {
    "gain_over_best_control": ("recovery over the best control, points", 100.0),
    "reflection_tokens": ("reflection length, tokens", 1.0),
    "reflections_ended": ("reflections that ended, %", 100.0),
    "reflections_with_the_answer": ("reflections that hold the answer, %", 100.0),
}
"""What is measured of each failed task and averaged: its name for people, and what it is multiplied by for them."""

MISTAKES = {"mistakes_at_first": "mistake at the first try", "mistakes_after": "mistake at the retry"}
"""When the kinds of mistakes are counted: a name for people."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval (Wilson)."""

    name: str
    num: int
    total: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over so many failed tasks, with the 95 % interval."""

    value: float
    low: float
    high: float
    tasks: int


def shares(report: ReflectionReport) -> list[Share]:
    """Returns first try, second try, recovery, every control, and the groups that teach; without those of nothing."""
    counted = {"first try": report.first, "second try": report.second, "recovery": report.recovery}
    counted |= {f"control: {key}": value for key, value in report.controls.items()}
    counted |= {"groups that teach": report.informative}
    return [_share(name, count.passed, count.total) for name, count in counted.items() if count.total]


def mistakes(report: ReflectionReport) -> dict[str, list[Share]]:
    """Returns how many of the failed tasks failed by each kind of mistake, at the first try and at the retry."""
    num_failed = report.first.total - report.first.passed
    return {
        "mistakes_at_first": [_share(kind, num, num_failed) for kind, num in report.reasons.items()],
        "mistakes_after": [_share(kind, num, report.recovery.total) for kind, num in report.reasons_after.items()],
    }


def rows(report: ReflectionReport) -> list[Share]:
    """Returns all shares and mistakes, one below the other."""
    named = [
        replace(row, name=f"{MISTAKES[key]}: {row.name}") for key, kinds in mistakes(report).items() for row in kinds
    ]
    return [*shares(report), *named]


def means(report: ReflectionReport) -> dict[str, Mean]:
    """Returns the quantities of `MEANS`, each an average over the failed tasks; without those of nothing.

    The length's interval is a bootstrap over the tasks, and needs two of them. The other quantities are often alike
    in all tasks, where a bootstrap has no width, so theirs come from the bound that the gate uses.
    """
    found: dict[str, Mean] = {}
    if report.gains:
        interval = _least(list(report.gains.values()))
        num = min(map(len, report.gains.values()))
        found["gain_over_best_control"] = Mean(report.gain, interval.lower, interval.upper, num)
    if len(report.lengths) > 1:
        found["reflection_tokens"] = _mean(report.lengths, bootstrap(report.lengths))
    for key, values in {"reflections_ended": report.ended, "reflections_with_the_answer": report.leaks}.items():
        if values:
            found[key] = _mean(values, share_interval(values))
    return found


def figures(report: ReflectionReport) -> dict[str, JSONValue]:
    """Returns the report as JSON; None stands for what could not be measured."""
    measured, failed = means(report), mistakes(report)
    found = {
        "shares": {row.name: {"passed": row.num, **_placed(row)} for row in shares(report)},
        **{key: asdict(measured[key]) if key in measured else None for key in MEANS},
        "unique_reflections": report.unique,
        "not_graded": report.not_graded,
        **{key: {row.name: {"num": row.num, **_placed(row)} for row in kinds} for key, kinds in failed.items()},
    }
    return cast("dict[str, JSONValue]", found)


def spelled(key: str, mean: Mapping[str, float]) -> tuple[str, str]:
    """Returns one of `MEANS` and its interval as people read them."""
    value, low, high = (MEANS[key][1] * mean[part] for part in ("value", "low", "high"))
    return f"{value:.1f}", f"{low:.1f} to {high:.1f}"


def _placed(row: Share) -> dict[str, float]:
    return {"total": row.total, "share": row.share, "low": row.low, "high": row.high}


def _share(name: str, num: int, total: int) -> Share:
    interval = wilson(num, total)
    return Share(name, num, total, num / total, interval.lower, interval.upper)


def _mean(values: Sequence[float], interval: Interval) -> Mean:
    return Mean(accuracy(values), interval.lower, interval.upper, len(values))


def _least(gains: Sequence[Sequence[float]]) -> Interval:
    """Returns the interval of the least of several true mean differences, of which the data say which it is.

    The least lower end is not above that of the least difference, whichever it is. The least upper end may be that of
    any of them, so each is taken at its share of the tail.
    """
    lower = min(lower_bound(each, 1 - TAIL) for each in gains)
    return Interval(lower, min(upper_bound(each, 1 - TAIL / len(gains)) for each in gains))
