"""Checks whose decision needs only the row: each is looked at once, and what was seen is kept for its chunk."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from holdfast.data.check import CheckSettings, LookingCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example

S = TypeVar("S", bound=CheckSettings)
V = TypeVar("V")


class RowCheck(LookingCheck[S, "Sequence[V]"], Generic[S, V]):
    """A check in one pass: `examine` says what is in a row, `count` adds it up, `verdict` decides.

    What `examine` returned is kept until the next chunk, so that `decide` on a row just seen costs nothing.
    """

    local: ClassVar[bool] = True

    def __init__(self, settings: S, context: Context) -> None:
        super().__init__(settings, context)
        self.num_seen = 0
        self._chunk: dict[int, tuple[Example, V]] = {}

    @abstractmethod
    def examine(self, row: Row) -> V:
        """Returns what is in the row; a pure function of it."""

    @abstractmethod
    def count(self, row: Row, found: V) -> None:
        """Adds what was found in a row to what the finding says."""

    @abstractmethod
    def verdict(self, row: Row, found: V) -> Decision:
        """Returns what the remedy does to a row in which `found` was found."""

    def look(self, rows: Sequence[Row]) -> Sequence[V]:
        """Returns what is in each row of a chunk; for checks that are faster on many rows than on one."""
        return [self.examine(row) for row in rows]

    def take(self, rows: Sequence[Row], looked: Sequence[V]) -> None:
        """Adds up what is in the rows of a chunk, and remembers it."""
        self._chunk = {}
        for row, found in zip(rows, looked, strict=True):
            self._chunk[row.number] = (row.example, found)
            self.num_seen += 1
            self.count(row, found)

    def decide(self, row: Row) -> Decision:
        """Returns the verdict on a row, without looking at it again where its chunk is the last one seen."""
        remembered = self._chunk.get(row.number)
        if remembered is not None and remembered[0] is row.example:
            return self.verdict(row, remembered[1])
        return self.verdict(row, self.examine(row))
