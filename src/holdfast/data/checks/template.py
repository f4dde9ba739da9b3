"""Rows that the chosen model cannot learn, by the reason its chat template, loss mask or length gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from holdfast.data.check import CheckSettings, Drop, Finding, shown
from holdfast.data.checks.row_check import RowCheck
from holdfast.data.checks.wording import Tally, counted, listed, of_rows, without_numbers

if TYPE_CHECKING:
    from holdfast.data.check import Context, Decision, Row

_MANY_REASONS = 1000
_OTHER = "other reasons"


class TemplateSettings(CheckSettings):
    """Whether rows that the model cannot learn are left out."""


class TemplateCheck(RowCheck[TemplateSettings, "str | None"]):
    """Asks `context.problem_of` about every row and groups what it says; the remedy drops the row with the reason.

    Reasons that differ only in their numbers ("has 5,120 tokens", "has 7,001 tokens") are one group.
    """

    name: ClassVar[str] = "template"
    Settings: ClassVar[type[CheckSettings]] = TemplateSettings

    def __init__(self, settings: TemplateSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._tally = Tally()

    def examine(self, row: Row) -> str | None:
        """Returns why the model cannot learn the row, or None."""
        return None if self.context.problem_of is None else self.context.problem_of(row.example)

    def count(self, row: Row, found: str | None) -> None:
        """Counts the row under its reason."""
        if found is None:
            return
        kind = without_numbers(found)
        if len(self._tally.counts) >= _MANY_REASONS and kind not in self._tally.counts:
            kind = _OTHER
        self._tally.add([kind], lambda _: shown(row, note=found))

    def verdict(self, row: Row, found: str | None) -> Decision:
        """Returns a drop with the model's own words."""
        return None if found is None else Drop("model", found)

    def finding(self) -> Finding:
        """Returns the rows by reason; says so where no model was given to ask."""
        if self.context.problem_of is None:
            return Finding(
                self.name,
                "No model was chosen, so whether its chat template can render each row was not checked",
                level="note",
                figures={"made": False},
            )
        num = self._tally.num_rows
        title = f"The chosen model can learn all of {counted(self.num_seen, 'row')}: template, loss mask, end of turn"
        if num:
            title = of_rows(num, self.num_seen, "cannot", "cannot") + " be learned by the chosen model"
            title += f": {listed(self._tally.counts, 3)}"
        return Finding(
            self.name,
            title,
            level="problem" if num else "ok",
            num_rows=num,
            remedy=f"drop {counted(num, 'row')}, each with the reason" if num else None,
            figures={"made": True, "rows": self.num_seen, "reasons": dict(self._tally.counts)},
            shown=self._tally.shown(),
        )
