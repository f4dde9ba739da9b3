"""From a row to an Example or a rejected row, with a tally of what was there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from holdfast.data.formats import convert
from holdfast.data.rejected import Rejected, RowError, visible
from holdfast.data.strict_json import kind_of
from holdfast.data.unlabelled import as_unlabelled
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from holdfast.data.sources.rows import RawRow
    from holdfast.types import Example, JSONValue

_LOADED_BY = ("_dlt_id", "_dlt_load_id")
"""Columns that dlt adds: they are other at every load and say nothing."""
_MANY_NAMES = 1000
"""So many column names are remembered; more than that are no columns but data."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What rows are to become: `columns` by Holdfast's names, whether answers are needed, the columns to `keep`.

    `unlabelled` takes rows that are to be labelled yet: without a label or an answer, also a text alone.
    """

    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    need_demonstration: bool = True
    keep: Set[str] = frozenset()
    unlabelled: bool = False


@dataclass(slots=True)
class Tally:
    """What was there: how many rows of which format, what was not used, and the columns seen."""

    num_usable: int = 0
    num_rejected: int = 0
    formats: Counter[str] = field(default_factory=Counter[str])
    unused: Counter[str] = field(default_factory=Counter[str])
    mapped: set[str] = field(default_factory=set[str])
    columns: set[str] = field(default_factory=set[str])

    @property
    def num_rows(self) -> int:
        """Usable and rejected rows together."""
        return self.num_usable + self.num_rejected

    @property
    def format(self) -> str:
        """The formats found, the most frequent first."""
        return " / ".join(name for name, _ in self.formats.most_common()) or "unknown"

    def add(self, other: Tally) -> None:
        """Takes the numbers of another tally into this one."""
        self.num_usable += other.num_usable
        self.num_rejected += other.num_rejected
        self.formats.update(other.formats)
        self.unused.update(other.unused)
        self.mapped |= other.mapped
        self.columns |= other.columns

    def check_columns(self, place: str, columns: Mapping[str, str]) -> None:
        """Raises `DataError` for a column that was named and that no row has."""
        for ours, theirs in columns.items():
            if theirs not in self.mapped:
                close = get_close_matches(theirs, self.columns, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(sorted(self.columns))}."
                raise DataError(
                    f"{place}: no row has the column {theirs!r}, given for {ours!r}.{hint}", param="columns"
                )

    def said(self, place: str) -> list[str]:
        """Returns the notes: how many rows became what, and which columns were not used."""
        shapes = ", ".join(f"{n} as {name}" for name, n in self.formats.most_common()) or "none usable"
        notes = [f"{place}: {self.num_rows} rows, {shapes}, {self.num_rejected} rejected"]
        if self.unused:
            notes.append(visible("not used: " + ", ".join(f"{name} ({n})" for name, n in sorted(self.unused.items()))))
        return notes


def converted(row: RawRow, place: str, wanted: Wanted, tally: Tally) -> Example | Rejected:
    """Returns the Example that a row is, or the row as rejected with the reason; counts it in `tally`."""
    try:
        if row.problem is not None:
            raise row.problem
        if not isinstance(row.value, dict):
            raise RowError("json", f"is {kind_of(row.value)}, not an object with columns")
        plain = {name: value for name, value in row.value.items() if name not in _LOADED_BY}
        value = _renamed(plain, wanted.columns, tally)
        value = as_unlabelled(value) if wanted.unlabelled else value
        rules = {"need_demonstration": wanted.need_demonstration, "unlabelled": wanted.unlabelled}
        done = convert(value, f"{place}:{row.line}", **rules, keep=wanted.keep)
    except RowError as error:
        tally.num_rejected += 1
        return Rejected(place, row.line, error.reason, visible(row.text), error.kind)
    tally.num_usable += 1
    tally.formats[done.format] += 1
    if len(tally.unused) < _MANY_NAMES:
        tally.unused.update(done.unused)
    return done.example


def _renamed(row: dict[str, JSONValue], columns: Mapping[str, str], tally: Tally) -> dict[str, JSONValue]:
    if len(tally.columns) < _MANY_NAMES:
        tally.columns.update(row)
    if not columns:
        return row
    taken = set(columns.values()) & set(row)
    tally.mapped |= taken
    # A column that gives its name to another meaning loses its own: {"label": "sentiment"} hides an old `label`.
    renamed = {key: value for key, value in row.items() if key not in taken and key not in columns}
    return renamed | {ours: row[theirs] for ours, theirs in columns.items() if theirs in row}
