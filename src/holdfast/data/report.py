"""The report of one preparation: how many rows, kept and rejected, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, cast

from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.data.rejected import Rejected
    from holdfast.types import Example, JSONValue


@dataclass(frozen=True, slots=True)
class DataReport:
    """What became of every row: `num_rows` = `num_kept` + `num_rejected`; kept rows are split in train and test.

    `reasons` counts rejected rows by kind, `first_reasons` quotes the first of each kind with its
    place, `labels` counts the classes of kept examples. The hashes are those of the written parts.
    """

    format: str
    num_rows: int
    num_kept: int
    num_rejected: int
    num_train: int = 0
    num_test: int = 0
    train_hash: str = ""
    test_hash: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    first_reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, int] = field(default_factory=dict[str, int])
    notes: tuple[str, ...] = ()


def data_report(
    kept: Sequence[Example],
    rejected: Sequence[Rejected],
    *,
    format: str,
    notes: Sequence[str],
) -> DataReport:
    """Returns the report of `kept` and `rejected`, before any split."""
    first: dict[str, str] = {}
    for row in rejected:
        first.setdefault(row.kind, f"{row.source}:{row.line}: {row.reason}")
    labels = Counter(example.label for example in kept if example.label is not None)
    return DataReport(
        format=format,
        num_rows=len(kept) + len(rejected),
        num_kept=len(kept),
        num_rejected=len(rejected),
        reasons=dict(Counter(row.kind for row in rejected).most_common()),
        first_reasons=first,
        labels=dict(labels.most_common()),
        notes=tuple(notes),
    )


def report_to_json(report: DataReport) -> dict[str, JSONValue]:
    """Returns `report` as one JSON object."""
    return {**asdict(report), "notes": list(report.notes)}


def report_from_json(row: Mapping[str, JSONValue]) -> DataReport:
    """Returns the report that `report_to_json` wrote; raises `DataError` on anything else."""
    names = {item.name for item in fields(DataReport)}
    if set(row) != names:
        odd = ", ".join(sorted(set(row) ^ names))
        raise DataError(f"The data report has other fields than this version's ({odd}). Prepare the data again.")
    values = cast("dict[str, object]", {**row, "notes": tuple(cast("list[str]", row["notes"]))})
    return DataReport(**values)  # pyright: ignore[reportArgumentType] - written by report_to_json
