"""Labels for rows that have none, by labelling functions: `holdfast.data.making.weak_labels` as a check."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import model_validator

from holdfast.data.check import (
    MANY_SHOWN,
    Change,
    Check,
    CheckSettings,
    Context,
    Decision,
    Drop,
    Finding,
    Row,
    Shown,
    shown,
)
from holdfast.data.checks.wording import counted, listed, of_rows
from holdfast.data.formats import can_be_labelled
from holdfast.data.making.label_functions import Ballot, load_functions
from holdfast.data.making.label_model import ABSTAIN
from holdfast.data.making.weak_labels import Judged, Unlabelled, WeakLabelSettings, judge
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from holdfast.data.making.weak_labels import FunctionReport
    from holdfast.types import JSONValue

KINDS = {"no_vote": "no vote", "tie": "a tie", "unsure": "not sure enough"}
MANY_REMEMBERED = 50
"""Of so many different patterns of votes, the first ones, a row is remembered to be shown."""


class WeakLabelsSettings(WeakLabelSettings, CheckSettings):
    """Which functions vote, and how their votes become labels."""

    functions: str = ""
    """A Python file of labelling functions, which is run; without one, no row gets a label."""
    functions_sha256: str = ""
    """What the file must be, as sha256 in hex; a plan that is written says it, so that a replay notices another."""

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> WeakLabelsSettings:
        if not self.functions:
            names = ["functions_sha256", *WeakLabelSettings.model_fields]
            self.refuse_if_changed(names, "no labelling functions are given (functions)")
        return self

    def pinned(self) -> Self:
        """Returns the settings with the sha256 of the functions' file; raises DataError if it cannot be used."""
        if not (self.functions and self.enabled):
            return self
        load_functions(self.functions)
        return self.model_copy(update={"functions_sha256": self.digest()})

    def digest(self) -> str:
        """Returns the sha256 of the functions' file; raises DataError if it is not the one that is to be used."""
        found = hashlib.sha256(Path(self.functions).expanduser().read_bytes()).hexdigest()
        if self.functions_sha256 not in ("", found):
            raise DataError(
                f"{self.functions} is not the file that the plan was made with (sha256 {found[:12]} in place of "
                f"{self.functions_sha256[:12]}), so labels may be others. Give that file, or empty functions_sha256.",
                param="checks.weak_labels.functions_sha256",
            )
        return found


class WeakLabels(Check[WeakLabelsSettings]):
    """Rows with neither label nor answer get the label that labelling functions vote for, or are dropped.

    Rows that came with a label keep it, and the functions are measured on them; rows with an answer are left alone.
    """

    name: ClassVar[str] = "weak_labels"
    Settings: ClassVar[type[CheckSettings]] = WeakLabelsSettings
    training_only: ClassVar[bool] = True

    def __init__(self, settings: WeakLabelsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._names: list[str] = []
        self._ballot: Ballot | None = None
        if settings.functions and settings.enabled:
            functions = load_functions(settings.functions)
            settings.digest()
            self._names = list(functions)
            self._ballot = Ballot(functions, settings.labels)
        self._pattern_of = array("i")  # by the row's number; -1 where it was not seen or came with a label
        self._num_given = 0
        self._shown: dict[int, Shown] = {}

    def concerns(self, row: Row) -> bool:
        """Tells whether a row has a label, or nothing but a label to learn from."""
        return self._ballot is not None and (row.example.label is not None or can_be_labelled(row.example))

    def see(self, rows: Sequence[Row]) -> None:
        """Takes the votes on a chunk of rows."""
        if self._ballot is None:
            return
        concerned = [row for row in rows if self.concerns(row)]
        for row, pattern in zip(concerned, self._ballot.add(row.example for row in concerned), strict=True):
            if row.example.label is not None:
                self._num_given += 1
                continue
            self._pattern_of.extend([-1] * (row.number + 1 - len(self._pattern_of)))
            self._pattern_of[row.number] = pattern
            if pattern not in self._shown and len(self._shown) < MANY_REMEMBERED:
                self._shown[pattern] = shown(row)

    @cached_property
    def _counts(self) -> dict[int, int]:
        """How many rows without a label have each pattern of votes, in the order of the patterns."""
        if not self._pattern_of:
            return {}
        patterns, counts = np.unique(np.frombuffer(self._pattern_of, np.int32), return_counts=True)
        pairs = zip(patterns.tolist(), counts.tolist(), strict=True)
        return {pattern: count for pattern, count in pairs if pattern >= 0}

    @cached_property
    def _judged(self) -> Judged | None:
        """What the votes make of rows, None where there is no row to label."""
        if self._ballot is None or not self._counts:
            return None
        return judge(self._ballot.votes(), self._names, self.settings)

    def finding(self) -> Finding:
        """Returns how many rows get which label, and how each function does.

        Raises:
            DataError: the votes cannot become labels, such as those of functions that all vote for one label.
        """
        if self._ballot is None:
            return Finding(self.name, "No labelling functions are given, so no row gets a label from any")
        judged = self._judged
        if judged is None:
            return Finding(self.name, "No row lacks a label, so the labelling functions have nothing to do")
        labels, kinds = Counter[str](), Counter[str]()
        for pattern, count in self._counts.items():
            label, sure = judged.decided(pattern)
            (kinds if isinstance(sure, str) else labels)[label] += count
        num, num_left = labels.total(), kinds.total()
        voted, conflicts = self._shares(judged)
        title = of_rows(num, num + num_left, "get a label", "gets a label")
        title += f" from {counted(len(self._names), 'labelling function')}"
        title += f" ({listed(labels)})" if labels else ""
        if kinds:
            title += f"; {num_left:,} do not ({listed({KINDS[kind]: count for kind, count in kinds.items()})})"
        title += f"; of all rows {voted:.0%} have a vote and {conflicts:.0%} votes that contradict each other"
        title += "".join(f". {note}" for note in judged.notes)
        remedy = f"label {counted(num, 'row')}"
        remedy += f", leave out {num_left:,} that no function labels surely" if num_left else ""
        level: Literal["note", "warning"] = "warning" if judged.notes or num_left else "note"
        figures: dict[str, JSONValue] = {
            "method": judged.method,
            "labelled": num,
            "unlabelled": num_left,
            "given": self._num_given,
            "labels": dict(labels.most_common()),
            "reasons": dict(kinds.most_common()),
            "coverage": voted,
            "conflicts": conflicts,
            "functions": {report.name: _figures(report) for report in judged.functions},
            "notes": list(judged.notes),
        }
        return Finding(self.name, title, level, num + num_left, remedy, figures, self._examples(judged))

    def _shares(self, judged: Judged) -> tuple[float, float]:
        """The shares of the rows that have a vote, and votes that contradict each other."""
        votes = judged.votes
        total = votes.counts.sum()
        voted = (votes.patterns != ABSTAIN).any(1)
        return float(votes.counts[voted].sum() / total), float(votes.counts[votes.differ()].sum() / total)

    def _examples(self, judged: Judged) -> tuple[Shown, ...]:
        """How the functions do, then of each outcome the most frequent pattern of votes with its first row."""
        found: dict[str, Shown] = {}
        for pattern in sorted(self._shown, key=lambda pattern: -self._counts[pattern]):
            label, sure = judged.decided(pattern)
            votes = ", ".join(f"{name}: {vote}" for name, vote in judged.votes_for(pattern).items())
            note = sure if isinstance(sure, str) else f"label {label!r} ({sure:.0%} probable; {votes})"
            found.setdefault(f"{type(sure).__name__} {label}", replace(self._shown[pattern], note=note))
        how = "; ".join(map(_said, judged.functions))
        return (Shown(Path(self.settings.functions).name, how), *list(found.values())[: MANY_SHOWN - 1])

    def decide(self, row: Row) -> Decision:
        """Gives a row its label, or drops it with the reason."""
        pattern = self._pattern_of[row.number] if row.number < len(self._pattern_of) else -1
        if self._judged is None or pattern < 0:
            return None
        outcome = self._judged.outcome(row.example, pattern)
        if isinstance(outcome, Unlabelled):
            return Drop("unlabelled", f"has no label: {outcome.reason}")
        return Change(outcome, f"label {outcome.label!r} by labelling functions")


def _figures(report: FunctionReport) -> dict[str, JSONValue]:
    return {
        "coverage": report.coverage,
        "overlaps": report.overlaps,
        "conflicts": report.conflicts,
        "accuracy": report.accuracy,
        "learned": report.learned,
        "measured": report.measured,
        "num_measured": report.num_measured,
        "labels": dict(report.labels),
        "faults": dict(report.faults.counts),
    }


def _said(report: FunctionReport) -> str:
    """How one function does, in words: "thanks votes on 40%, right in 93% of them by estimate"."""
    said = f"{report.name} votes on {report.coverage:.0%}"
    if report.measured is not None:
        return f"{said}, right in {report.measured:.0%} of {counted(report.num_measured, 'row')} with a label"
    if report.accuracy is None:
        return said
    return f"{said}, right in {report.accuracy:.0%} by {'estimate' if report.learned else 'assumption'}"
