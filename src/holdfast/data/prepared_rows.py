"""The rows of a prepared Parquet file: the columns they have, and how one becomes an Example again.

Tools, other columns and the rejected answer of a preference are JSON text: rows with different keys have no common
Arrow type that keeps them, and most data has no rejected answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from holdfast.data.example_json import from_json
from holdfast.data.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.types import Example, JSONValue

FORMAT = "prepared by Holdfast"
COLUMNS = (
    "id",
    "messages",
    "rejected",
    "tools",
    "label",
    "document",
    "privileged_context",
    "columns",
    "source",
    "changed_by",
    "synthetic",
)


def is_prepared(row: Mapping[str, JSONValue]) -> bool:
    """Returns whether a row has exactly the columns of a prepared file."""
    return len(row) == len(COLUMNS) and all(name in row for name in COLUMNS)


def prepared(row: Mapping[str, JSONValue]) -> Example:
    """Returns the Example of a prepared row, with the id, source and columns that it was written with.

    Raises `DataError` if the row is something else, and `RowError` where its JSON text is none.
    """
    values: dict[str, JSONValue] = {key: value for key, value in row.items() if value is not None}
    messages = values.get("messages")
    if isinstance(messages, list):
        values["messages"] = [_without_nulls(cast("dict[str, JSONValue]", message)) for message in messages]
    for name in ("tools", "columns", "rejected"):
        text = values.get(name)
        if isinstance(text, str):
            values[name] = parse(text)
    return from_json(values)


def _without_nulls(message: dict[str, JSONValue]) -> JSONValue:
    return {key: value for key, value in message.items() if value is not None}
