"""Rows through the checks: each sees them all, says what it found, and decides about each row if that is approved.

Checks that need nothing but the row, and whose remedy needs no question, go through the data in one pass together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol, cast

from holdfast.data.check import Change, Drop, LookingCheck
from holdfast.data.example_json import example_id, reject
from holdfast.data.output.prepared import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from holdfast.data.check import Check, Finding, Row
    from holdfast.data.doctor.rows import Rows, Tracked
    from holdfast.data.rejected import Rejected


class Elsewhere(Protocol):
    """Looks at chunks of rows in other processes or on other machines."""

    def is_worth_it(self, num_chunks: int) -> bool:
        """Returns whether so many chunks are looked at there; else this process does."""
        ...

    def looks(
        self, checks: Sequence[Check], deciding: Sequence[bool], chunks: Iterable[Sequence[Tracked]]
    ) -> Iterator[Sequence[Any]]:
        """Yields, for every chunk in order, what `look` of each check returns for the rows that it concerns.

        None stands for a check that does not look. Rows go through the checks in order; a check that is `deciding`
        leaves them as its remedy does.
        """
        ...


@dataclass(slots=True)
class Examination:
    """Goes through checks in order; keeps the rows as they are now, and yields those that a check dropped.

    `approve` is asked about a finding with a remedy whose settings say `ask`. `progress` is told which check is at
    work, how many chunks are done and how many there are.
    """

    rows: Rows
    approve: Callable[[int, Finding], bool]
    progress: Callable[[str, int, int], None] = lambda name, done, total: None
    asks: bool = True
    """Whether `approve` is a person: without one, what is proposed is done and no pass is made only to ask."""
    first: int = 1
    """The number of the first finding."""
    among: Callable[[Tracked], bool] | None = None
    """Which rows are looked at and decided about; None: all."""
    found: Callable[[Check], None] = lambda check: None
    """Told of each check when it has seen all rows, which are still as it saw them."""
    elsewhere: Elsewhere | None = None
    """Looks at rows in place of this process, for checks that can be computed row by row; None: all is done here."""
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    decisions: dict[str, bool] = field(default_factory=dict[str, bool])
    _effects: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def run(self, checks: Sequence[Check]) -> Iterator[Rejected]:
        """Makes all checks, and yields every row that one of them drops."""
        for group in self._passes([check for check in checks if check.settings.enabled]):
            yield from self._pass(group)

    def _passes(self, checks: Sequence[Check]) -> Iterator[list[Check]]:
        """Yields runs of checks that need one pass: all but the last decide as they see."""
        group: list[Check] = []
        for check in checks:
            group.append(check)
            if not self._decides_at_once(check):
                yield group
                group = []
        if group:
            yield group

    def _decides_at_once(self, check: Check) -> bool:
        return check.local and (check.settings.remedy == "apply" or (check.settings.remedy == "ask" and not self.asks))

    def _pass(self, group: Sequence[Check]) -> Iterator[Rejected]:
        title = ", ".join(check.name.replace("_", " ") for check in group)
        self.progress(title, 0, len(self.rows))
        for (place, chunk), looks in zip(self.rows.chunks(), self._looks(group), strict=True):
            now = chunk
            for check, look in zip(group, looks, strict=True):
                concerned = [one.row for one in now if self._concerns(check, one)]
                take_in(check, concerned, look)
                if self._decides_at_once(check):
                    now = yield from self._treated(check, now)
            if now is not chunk:
                self.rows.replace(place, now)
            self.progress(title, place + 1, len(self.rows))
        for check in group:
            finding = check.finding()
            self.found(check)
            number = self.first + len(self.outcomes)
            if self._decides_at_once(check):
                self.decisions[check.name] = True
            elif finding.remedy is not None:
                self.decisions[check.name] = self._approved(check, number, finding)
                if self.decisions[check.name]:
                    yield from self._treat_all(check)
            changed, dropped = self._effects[check.name, "changed"], self._effects[check.name, "dropped"]
            self.outcomes.append(Outcome(finding, changed + dropped > 0, changed, dropped))

    def _looks(self, group: Sequence[Check]) -> Iterator[Sequence[Any]]:
        """Yields for every chunk what is known of it for each check: nothing, if all looking is done here."""
        if (
            self.elsewhere is None
            or self.among is not None
            or not self.elsewhere.is_worth_it(len(self.rows))
            or not any(isinstance(check, LookingCheck) for check in group)
        ):
            return repeat([None] * len(group), len(self.rows))
        deciding = [self._decides_at_once(check) for check in group]
        return self.elsewhere.looks(group, deciding, (chunk for _, chunk in self.rows.chunks()))

    def _approved(self, check: Check, number: int, finding: Finding) -> bool:
        wanted = check.settings.remedy
        if wanted == "ask":
            return self.approve(number, finding) if self.asks else True
        return wanted == "apply"

    def _treat_all(self, check: Check) -> Iterator[Rejected]:
        title = f"{check.name.replace('_', ' ')}: remedy"
        self.progress(title, 0, len(self.rows))
        for place, chunk in self.rows.chunks():
            now = yield from self._treated(check, chunk)
            if now is not chunk:
                self.rows.replace(place, now)
            self.progress(title, place + 1, len(self.rows))

    def _concerns(self, check: Check, one: Tracked) -> bool:
        return concerns(check, one) and (self.among is None or self.among(one))

    def _treated(self, check: Check, chunk: list[Tracked]) -> Generator[Rejected, None, list[Tracked]]:
        """Yields what `check` drops and returns the chunk as it leaves it; the same list if nothing changed."""
        kept: list[Tracked] = []
        untouched = True
        for one in chunk:
            left = after(check, one) if self._concerns(check, one) else one
            untouched &= left is one
            if isinstance(left, Drop):
                self._effects[check.name, "dropped"] += 1
                yield dropped(one, left)
                continue
            self._effects[check.name, "changed"] += left is not one
            kept.append(left)
        return chunk if untouched else kept


def concerns(check: Check, one: Tracked) -> bool:
    """Tells whether a check looks at a row."""
    return not (check.training_only and one.held_out) and check.concerns(one.row)


def take_in(check: Check, rows: Sequence[Row], looked: object) -> None:
    """Shows a check one chunk of rows, with what its `look` returned for them where that was done before."""
    if looked is not None and isinstance(check, LookingCheck):
        cast("LookingCheck[Any, Any]", check).take(rows, looked)
    else:
        check.see(rows)


def after(check: Check, one: Tracked) -> Tracked | Drop:
    """Returns a row as the remedy of a check leaves it, which is the same object where it does nothing."""
    decision = check.decide(one.row)
    if isinstance(decision, Change):
        return one.changed(decision.example, check.name, decision.what)
    return one if decision is None else decision


def dropped(one: Tracked, drop: Drop) -> Rejected:
    """Returns a dropped row as it was read, with the reason."""
    return reject(replace(one.original, id=example_id(one.original)), drop.kind, drop.reason)
