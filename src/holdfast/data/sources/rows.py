"""A row as it stands in its source, before anything is made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.data.rejected import RowError
    from holdfast.types import JSONValue

MAX_ROW_BYTES = 16 * 1024 * 1024
"""A row of more bytes is rejected: so long a text fits no model, and one row must not fill the memory."""
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in its source: a value, or the problem that keeps it from being one.

    `raw` is its text; sources that have no text for a row leave it empty, and it is spelled as JSON when needed.
    """

    line: int
    raw: str
    value: JSONValue = None
    problem: RowError | None = None

    @property
    def text(self) -> str:
        """The row as it was read, as text."""
        return self.raw if self.raw or self.value is None else spelled(self.value)


def spelled(row: object) -> str:
    """Returns any row as JSON text; what JSON has no word for (a date, bytes) as Python shows it."""
    return json.dumps(row, ensure_ascii=False, default=str)


def visible_bytes(text: str) -> str:
    r"""Returns text whose bytes were not UTF-8 (read with `surrogateescape`) with those bytes as escapes (\xff)."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def start_of(text: str) -> str:
    """Returns the first characters of a row that is too long to be kept as a whole, with a mark that it goes on."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}… (shortened)"
