"""What was measured of reflections, as shares with their intervals and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.evaluation.metrics import wilson

if TYPE_CHECKING:
    from holdfast.training.reflection_check import ReflectionReport
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval (Wilson)."""

    name: str
    passed: int
    total: int
    share: float
    low: float
    high: float


def shares(report: ReflectionReport) -> list[Share]:
    """Returns first try, second try, recovery, every control, and the groups that teach; without those of nothing."""
    counted = {"first try": report.first, "second try": report.second, "recovery": report.recovery}
    counted |= {f"control: {key}": value for key, value in report.controls.items()}
    counted |= {"groups that teach": report.informative}
    found: list[Share] = []
    for name, count in counted.items():
        if count.total:
            interval = wilson(count.passed, count.total)
            found.append(Share(name, count.passed, count.total, count.share, interval.lower, interval.upper))
    return found


def figures(report: ReflectionReport) -> dict[str, JSONValue]:
    """Returns the report as JSON."""
    return {
        "shares": {
            row.name: {"passed": row.passed, "total": row.total, "low": row.low, "high": row.high}
            for row in shares(report)
        },
        "gain_over_best_control": report.gain,
        "unique_reflections": report.unique,
        "reflection_tokens": report.length,
        "reflections_ended": report.ended,
        "reflections_with_the_answer": report.leaks,
        "not_graded": report.not_graded,
        "mistakes_at_first": dict(report.reasons),
        "mistakes_after": dict(report.reasons_after),
    }
