"""Rows that cannot be used: why, where, and the row itself, so that none is lost."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejected:
    """One input row that is not used. `line` counts from 1; `kind` groups reasons in reports.

    `line` is the line where a JSONL or CSV row starts, and the row's number in Parquet, in a JSON
    list, in a sheet, in a query's result and in a Hugging Face data set. It is 0 where a whole file
    of a folder cannot be read (kind `file`). `raw` is the row as it was read; bytes that are not
    UTF-8 are written as escapes, and of a row that is too long only the start is there.
    """

    source: str
    line: int
    reason: str
    raw: str
    kind: str = "other"


class RowError(Exception):
    """One row cannot be used. It never leaves this room: readers turn it into a `Rejected`."""

    def __init__(self, kind: str, reason: str, raw: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = visible(reason)
        self.raw = raw


def visible(text: str) -> str:
    """Returns `text` with everything that UTF-8 cannot hold (half surrogate pairs) written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
