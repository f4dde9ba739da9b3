"""Text that was damaged on its way: wrong encodings, control characters, odd spaces, Arabic letters in Persian."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from holdfast.data.check import Change, CheckSettings, Finding, text_of
from holdfast.data.checks.repair import MOJIBAKE, RepairSettings, is_json, repaired
from holdfast.data.checks.row_check import RowCheck
from holdfast.data.checks.wording import Tally, counted, listed, of_rows, shown_change
from holdfast.data.persian import has_arabic_script, is_persian

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example, Message

_MOST_PASSES = 8


@dataclass(frozen=True, slots=True)
class Repair:
    """A row after its repairs, and what was repaired; `is_damaged` where characters are lost for good (U+FFFD)."""

    example: Example
    repairs: tuple[str, ...] = ()
    is_damaged: bool = False


class TextRepairCheck(RowCheck[RepairSettings, Repair]):
    """Repairs the texts of every row: turns, document and privileged context.

    Labels, tool descriptions, arguments of tool calls, tool results in JSON and other columns stay as they are.
    """

    name: ClassVar[str] = "text_repair"
    Settings: ClassVar[type[CheckSettings]] = RepairSettings

    def __init__(self, settings: RepairSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._tally = Tally()
        self._num_damaged = 0

    def examine(self, row: Row) -> Repair:
        """Returns the row repaired."""
        return repaired_example(row.example, self.settings)

    def count(self, row: Row, found: Repair) -> None:
        """Counts the row under each of its repairs."""
        self._num_damaged += found.is_damaged
        note = ", ".join(found.repairs)
        self._tally.add(found.repairs, lambda _: shown_change(row, found.example, note))

    def verdict(self, row: Row, found: Repair) -> Decision:
        """Returns the repaired row."""
        return Change(found.example, f"repaired: {', '.join(found.repairs)}") if found.repairs else None

    def finding(self) -> Finding:
        """Returns how many rows hold what can be repaired."""
        num, kinds = self._tally.num_rows, self._tally.counts
        title = of_rows(num, self.num_seen, "hold", "holds")
        title += f" {next(iter(kinds))}" if len(kinds) == 1 else " text to repair"
        title += f": {listed(kinds)}" if len(kinds) > 1 else ""
        if self._num_damaged:
            lost = of_rows(self._num_damaged, self.num_seen, "have", "has")
            title += f"; {lost} lost characters for good (U+FFFD)"
        return Finding(
            self.name,
            title,
            level="problem" if kinds[MOJIBAKE] else "warning" if num or self._num_damaged else "ok",
            num_rows=num,
            remedy=f"repair {counted(num, 'row')}; code, addresses and JSON stay as they are" if num else None,
            figures={"rows": self.num_seen, "repairs": dict(kinds), "rows_with_lost_characters": self._num_damaged},
            shown=self._tally.shown(),
        )


def repaired_example(example: Example, settings: RepairSettings) -> Repair:
    """Returns an example whose texts need no more repairs; repairing it again changes nothing.

    A text that does not show its language is taken for Persian where the rest of the row is. Repairs that do not
    come to an end (none is known) are not made at all.
    """
    names: dict[str, None] = {}
    current = example
    for _ in range(_MOST_PASSES):
        after, found = _one_pass(current, settings)
        names.update(dict.fromkeys(found))
        if after == current:
            return Repair(current, tuple(names), "\ufffd" in text_of(current))
        current = after
    return Repair(example, (), "\ufffd" in text_of(example))


def _one_pass(example: Example, settings: RepairSettings) -> tuple[Example, list[str]]:
    whole = text_of(example)
    persian = has_arabic_script(whole) and bool(is_persian(whole))
    names: list[str] = []

    def fixed(text: str) -> str:
        after, found = repaired(text, settings, persian=persian)
        names.extend(found)
        return after

    turned = example.with_turns(lambda message: _message(message, fixed))
    document = None if example.document is None else fixed(example.document)
    privileged = None if example.privileged_context is None else fixed(example.privileged_context)
    if not names:
        return example, []
    return replace(turned, document=document, privileged_context=privileged), names


def _message(message: Message, fixed: Callable[[str], str]) -> Message:
    if message.role == "tool" and is_json(message.content):
        return message
    content = fixed(message.content)
    return message if content == message.content else replace(message, content=content)
