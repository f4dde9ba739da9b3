"""Public benchmarks as items to look for in training data, whatever their columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from holdfast.data.read import read
from holdfast.errors import DataError
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.data.rejected import Rejected
    from holdfast.types import JSONValue


def benchmark_items(path: str) -> list[Example]:
    """Returns what is asked in every row of a benchmark's file.

    A row of a format that is known gives its prompt. Of any other row all texts count, nested ones too, in the order in
    which they stand. Raises `DataError` if no row has a text.
    """
    result = read(path, need_demonstration=False)
    items = [*result.examples, *(item for row in result.rejected for item in _all_texts(row))]
    if not items:
        raise DataError(f"{path}: no row has a text that could be looked for in training data.", param="benchmarks")
    return items


def _all_texts(row: Rejected) -> Iterator[Example]:
    if row.kind != "columns":
        return
    try:
        texts = list(_texts(json.loads(row.raw)))
    except (ValueError, RecursionError):
        return
    if texts:
        yield Example("", (Message("user", "\n".join(texts)),), source=f"{row.source}:{row.line}")


def _texts(value: JSONValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
