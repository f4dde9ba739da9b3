"""Groups of people in the data: how many rows each has, how often each label, and how often a prediction is wrong.

Nothing is changed: whether a difference is unjust is for people to decide.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, model_validator

from holdfast.data.check import Check, CheckSettings, Context, Finding, Row
from holdfast.data.labels.group_rates import Gap, gap, wilson
from holdfast.data.labels.out_of_fold import Sample, out_of_fold
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdfast.types import JSONValue

NO_VALUE = "(no value)"
OTHERS = "(others)"
MANY_VALUES = 1000
"""So many values of a column are told apart, in the order in which they come; all others are one group."""
MANY_LABELS = 20
"""So many labels, those with the most rows, are compared."""
MANY_SAID = 6
FOLDS = 5
BASELINE_ROWS = 20_000
"""The baseline judges a sample of so many rows."""


class BiasSettings(CheckSettings):
    """Which columns say what group a person is of, and which differences are reported."""

    sensitive: tuple[str, ...] = ()
    """The columns to audit (gender, age group, …); without one there is no audit."""
    favourable: tuple[str, ...] = ()
    """The labels that are good for a person (`approved`), together as one outcome; empty = every label by itself."""
    prediction_column: str | None = None
    """A column with what some model predicted, whose errors are compared; without it a cross-validated baseline's."""
    baseline: bool = True
    """Whether a simple classifier is trained to compare its errors, where no prediction column is named."""
    min_group: Count = 30
    """A group with fewer rows than this is reported as small, and not compared."""
    max_difference: Annotated[Share, Field(gt=0.0)] = 0.1
    """A difference of rates above this is a warning, if the intervals of the two groups do not overlap."""
    min_ratio: Share = 0.8
    """So is a lowest rate below this part of the highest (the four-fifths rule)."""

    @model_validator(mode="after")
    def _needs_a_column(self) -> BiasSettings:
        if not self.sensitive:
            names = ("favourable", "prediction_column", "baseline", "min_group", "max_difference", "min_ratio")
            self.refuse_if_changed(names, "no sensitive column is declared")
        if self.prediction_column is not None:
            self.refuse_if_changed(["baseline"], "the errors of prediction_column are compared")
        return self


@dataclass(frozen=True, slots=True)
class _Cell:
    """Rows that are alike to an audit: their group, label and prediction."""

    group: str
    label: str | None
    predicted: str | None


class Bias(Check[BiasSettings]):
    """Representation, label rates and error rates of the groups that declared columns name."""

    name: ClassVar[str] = "bias"
    Settings: ClassVar[type[CheckSettings]] = BiasSettings

    def __init__(self, settings: BiasSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._cells = {name: Counter[_Cell]() for name in settings.sensitive}
        self._values: dict[str, set[str]] = {}
        self._absent = Counter[str]()
        self._sample = Sample(BASELINE_ROWS, context.seed)
        self._num_rows = 0

    def see(self, rows: Sequence[Row]) -> None:
        """Counts the groups, labels and predictions."""
        self._num_rows += len(rows)
        for row in rows if self._cells else ():
            columns, settings = row.example.columns, self.settings
            label = self._value("label", row.example.label)
            predicted = columns.get(settings.prediction_column) if settings.prediction_column else None
            groups: list[str] = []
            for name, cells in self._cells.items():
                self._absent[name] += name not in columns
                groups.append(self._value(f"column {name}", columns.get(name)) or NO_VALUE)
                cells[_Cell(groups[-1], label, self._value("label", predicted))] += 1
            if label is not None and settings.baseline and settings.prediction_column is None:
                text = "\n".join(message.content for message in row.example.prompt)
                self._sample.add(row.number, label, text, row.example.source, tuple(groups))

    def _value(self, kind: str, value: JSONValue) -> str | None:
        """Returns a value as text, None for none, and `OTHERS` once there are too many."""
        text = " ".join(str(value).split()) if isinstance(value, str | int | float) else ""
        known = self._values.setdefault(kind, set())
        if not text or text in known:
            return text or None
        if len(known) >= MANY_VALUES:
            return OTHERS
        known.add(text)
        return text

    def finding(self) -> Finding:
        """Returns the audit of every declared column."""
        if not self._cells:
            return Finding(self.name, "No sensitive column is declared, so no groups were compared", "note")
        absent = [name for name in self._cells if self._absent[name] == self._num_rows]
        said = [f"no row has the column {name!r}" for name in absent]
        judged, judge = self._judged()
        columns: dict[str, JSONValue] = {}
        for place, (name, cells) in enumerate(self._cells.items()):
            if name in absent:
                continue
            columns[name], phrases = self._audit(cells, judged[place], judge)
            said += [f"{name}: {phrase}" for phrase in phrases]
        title = f"{len(columns)} sensitive columns in {self._num_rows} rows"
        more = f"; and {len(said) - MANY_SAID} more" if len(said) > MANY_SAID else ""
        title += "".join(f"; {phrase}" for phrase in said[:MANY_SAID]) + more
        figures: dict[str, JSONValue] = {"columns": columns, "said": [*said], "errors_of": judge}
        return Finding(self.name, title, "warning" if said else "note", figures=figures)

    def _audit(self, cells: Counter[_Cell], judged: Counter[_Cell], judge: str) -> tuple[JSONValue, list[str]]:
        """Returns the figures of one column, and what is to be said about them."""
        rows = _by_group(cells, cells)
        least = self.settings.min_group
        groups: dict[str, JSONValue] = {}
        for group, num in rows.most_common():
            share = wilson(num / self._num_rows, self._num_rows)
            groups[group] = {
                "rows": num, "share": share.share, "low": share.low, "high": share.high, "small": num < least,
            }  # fmt: skip
        phrases: list[str] = []
        small = [group for group, num in rows.items() if num < least]
        if small:
            phrases.append(f"{len(small)} of {len(rows)} groups have fewer than {least} rows and were not compared")
        gaps: dict[str, Gap] = {}
        for title, labels in self._outcomes(cells):
            known = [cell for cell in cells if cell.label is not None]
            hits = [cell for cell in known if cell.label in labels]
            gaps[title] = gap(_by_group(cells, hits), _by_group(cells, known), least)
        errors = self._errors(judged, judge)
        phrases += [_phrase(f"the label {title!r}", found) for title, found in gaps.items() if self._matters(found)]
        phrases += [_phrase(title, found) for title, found in errors.items() if self._matters(found)]
        figures: JSONValue = {
            "groups": groups,
            "labels": {title: found.figures() for title, found in gaps.items()},
            "errors": {title: found.figures() for title, found in errors.items()},
        }
        return figures, phrases

    def _outcomes(self, cells: Mapping[_Cell, int]) -> list[tuple[str, frozenset[str]]]:
        """Returns the outcomes whose rates are compared: the favourable one, or each label."""
        if self.settings.favourable:
            return [(" or ".join(self.settings.favourable), frozenset(self.settings.favourable))]
        counts = Counter[str]()
        for cell, num in cells.items():
            if cell.label is not None:
                counts[cell.label] += num
        return [(label, frozenset([label])) for label, _ in counts.most_common(MANY_LABELS)]

    def _errors(self, judged: Counter[_Cell], judge: str) -> dict[str, Gap]:
        """Returns how often predictions are wrong, and with a favourable outcome in which direction."""
        least, good = self.settings.min_group, frozenset(self.settings.favourable)
        both = [cell for cell in judged if cell.label is not None and cell.predicted is not None]
        if not both:
            return {}
        wrong = [cell for cell in both if cell.label != cell.predicted]
        found = {f"errors of {judge}": gap(_by_group(judged, wrong), _by_group(judged, both), least)}
        if good:
            deserving = [cell for cell in both if cell.label in good]
            others = [cell for cell in both if cell.label not in good]
            missed = [cell for cell in deserving if cell.predicted not in good]
            given = [cell for cell in others if cell.predicted in good]
            found["missed favourable labels"] = gap(_by_group(judged, missed), _by_group(judged, deserving), least)
            found["false favourable labels"] = gap(_by_group(judged, given), _by_group(judged, others), least)
        return found

    def _judged(self) -> tuple[list[Counter[_Cell]], str]:
        """Returns the cells of predictions for every column, and whose predictions they are."""
        if self.settings.prediction_column is not None:
            return list(self._cells.values()), f"the column {self.settings.prediction_column!r}"
        nothing = [Counter[_Cell]() for _ in self._cells]
        rows = self._sample.rows()
        counts = Counter(row.label for row in rows)
        rows = [row for row in rows if counts[row.label] >= FOLDS]
        names = sorted({row.label for row in rows})
        if len(names) < 2:
            return nothing, ""
        codes = np.array([names.index(row.label) for row in rows], dtype=np.int64)
        texts = [row.text for row in rows]
        guesses = out_of_fold(texts, codes, folds=FOLDS, seed=self.context.seed, embed=self.context.embed)
        for row, guess in zip(rows, guesses.argmax(axis=1), strict=True):
            for cells, group in zip(nothing, row.more, strict=True):
                cells[_Cell(group, row.label, names[guess])] += 1
        return nothing, f"a cross-validated baseline on {len(rows)} rows"

    def _matters(self, found: Gap) -> bool:
        if found.difference is None or found.ratio is None or not found.certain:
            return False
        return found.difference > self.settings.max_difference or found.ratio < self.settings.min_ratio

    def decide(self, row: Row) -> None:
        """Changes nothing."""


def _by_group(counts: Mapping[_Cell, int], cells: Iterable[_Cell]) -> Counter[str]:
    """Returns how many rows the cells have in each group."""
    found = Counter[str]()
    for cell in cells:
        found[cell.group] += counts[cell]
    return found


def _phrase(title: str, found: Gap) -> str:
    low, high = found.rates[found.lowest], found.rates[found.highest]
    return f"{title}: {low.share:.0%} of {found.lowest!r}, {high.share:.0%} of {found.highest!r}"
