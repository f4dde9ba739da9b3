"""One part of a version as a typed Parquet file, written and read row group by row group."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from holdfast.data.example_json import to_json
from holdfast.data.output.content import ContentHash
from holdfast.data.output.prepared import PreparedRow
from holdfast.data.prepared_rows import COLUMNS, prepared
from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pyarrow import RecordBatch, Schema

    from holdfast.types import Example, JSONValue, Message

GROUP_ROWS = 8192
"""So many rows are in a row group at most."""
GROUP_CHARACTERS = 32 << 20
"""A row group ends early at so many characters, so that long rows need no more memory than short ones."""
_BATCH_ROWS = 512


@dataclass(slots=True)
class PartSummary:
    """What one written part holds; `content_hash` is that of `example_json.content_hash`."""

    num_rows: int = 0
    num_changed: int = 0
    num_synthetic: int = 0
    content_hash: str = ""
    labels: Counter[str] = field(default_factory=Counter[str])


def schema() -> Schema:
    """Returns the Arrow schema of every part: chat rows in OpenAI's shape, with lineage beside them."""
    import pyarrow as pa

    text = pa.string()
    function = pa.struct([("name", text), ("arguments", text)])
    call = pa.struct([("id", text), ("type", text), ("function", function)])
    message = pa.struct(
        [
            ("role", text),
            ("content", text),
            ("tool_calls", pa.list_(call)),
            ("weight", pa.float64()),
            ("tool_call_id", text),
        ]
    )
    kinds = {"messages": pa.list_(message), "changed_by": pa.list_(text), "synthetic": pa.bool_()}
    needed = {"id", "messages", "source", "changed_by", "synthetic"}
    return pa.schema([pa.field(name, kinds.get(name, text), nullable=name not in needed) for name in COLUMNS])


def write_part(path: Path, rows: Iterable[PreparedRow]) -> PartSummary:
    """Writes rows to a new Parquet file that is on disk when this returns; ids become content ids.

    Holds one row group and 32 bytes a row in memory. Raises `DataError` for a row that cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    summary, content = PartSummary(), ContentHash()
    columns = schema()
    with path.open("wb") as file:
        with pq.ParquetWriter(file, columns, compression="zstd") as writer:
            for group in _groups(_counted(rows, content, summary)):
                writer.write_table(pa.Table.from_pylist(group, schema=columns), row_group_size=len(group))
        file.flush()
        os.fsync(file.fileno())
    summary.content_hash = content.hexdigest()
    return summary


def read_part(path: Path) -> Iterator[PreparedRow]:
    """Yields the rows that `write_part` wrote, in their order; raises `DataError` if the file is something else."""
    for batch in batches(path):
        for row in batch.to_pylist():
            yield _row(row, path)


def read_at(path: Path, positions: Sequence[int]) -> dict[int, PreparedRow]:
    """Returns the rows at some positions (from 0), reading only the row groups that hold them."""
    import pyarrow.parquet as pq

    wanted, found, start = sorted(set(positions)), dict[int, PreparedRow](), 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = [position for position in wanted if start <= position < end]
            if here:
                table = file.read_row_group(group)
                for position in here:
                    found[position] = _row(table.slice(position - start, 1).to_pylist()[0], path)
            start = end
    return found


def batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[RecordBatch]:
    """Yields a part's rows in batches, of all columns or some; raises `DataError` if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns) if columns else None)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: this part cannot be read ({error}). Prepare the data again.") from error


def _counted(rows: Iterable[PreparedRow], content: ContentHash, summary: PartSummary) -> Iterator[dict[str, object]]:
    for row in rows:
        example = replace(row.example, id=content.add(row.example))
        summary.num_rows += 1
        summary.num_changed += bool(row.changed_by)
        summary.num_synthetic += row.synthetic
        if example.label is not None:
            summary.labels[example.label] += 1
        yield _values(example, row)


def _groups(rows: Iterable[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    group: list[dict[str, object]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += _size(row)
        if len(group) >= GROUP_ROWS or size >= GROUP_CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _values(example: Example, row: PreparedRow) -> dict[str, object]:
    return {
        "id": example.id,
        "messages": [_message(message) for message in example.messages],
        "rejected": None if example.rejected is None else dump(to_json(example)["rejected"]),
        "tools": dump([dict(tool) for tool in example.tools]) if example.tools else None,
        "label": example.label,
        "document": example.document,
        "privileged_context": example.privileged_context,
        "columns": dump(dict(example.columns)) if example.columns else None,
        "source": example.source,
        "changed_by": list(row.changed_by),
        "synthetic": row.synthetic,
    }


def _message(message: Message) -> dict[str, object]:
    calls = [
        {"id": call.id or None, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    return {
        "role": message.role,
        "content": message.content,
        "tool_calls": calls or None,
        # Only the assistant's turns are trained; OpenAI refuses a weight on others.
        "weight": message.weight if message.role == "assistant" or message.weight != 1.0 else None,
        "tool_call_id": message.tool_call_id or None,
    }


def _row(values: dict[str, object], path: Path) -> PreparedRow:
    try:
        example = prepared(cast("dict[str, JSONValue]", values))
        changed_by = cast("list[str]", values["changed_by"])
        return PreparedRow(example, tuple(changed_by), synthetic=bool(values["synthetic"]))
    except (RowError, DataError, KeyError, TypeError) as error:
        reason = error.reason if isinstance(error, RowError) else error
        raise DataError(f"{path}: a row is not of a prepared part ({reason}). Prepare the data again.") from error


def _size(row: dict[str, object]) -> int:
    messages = cast("list[dict[str, object]]", row["messages"])
    said = sum(len(cast("str", message["content"])) + 64 for message in messages)
    calls = sum(len(str(message["tool_calls"])) for message in messages if message["tool_calls"])
    return said + calls + sum(len(value) for value in row.values() if isinstance(value, str))
