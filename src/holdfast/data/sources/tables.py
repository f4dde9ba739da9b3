"""Rows of Parquet files and Hugging Face data sets. pyarrow and datasets load when they are needed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError, visible
from holdfast.data.sources.cells import plain
from holdfast.data.sources.opened import check_regular
from holdfast.data.sources.rows import RawRow, spelled
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pyarrow import Array, ChunkedArray, RecordBatch, Table
    from pyarrow.parquet import FileMetaData

_BATCH_ROWS = 1000
_BATCH_BYTES = 32 << 20
_BUFFER_BYTES = 1 << 20


def parquet_rows(path: Path) -> Iterator[RawRow]:
    """Yields every row; class numbers become class names where the file's metadata knows them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_regular(path)
    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            names = _class_names(file.schema_arrow.metadata or {})
            for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
                for row in _batch_rows(batch):
                    number += 1
                    yield _raw_row(number, row, names)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, DataError):
            raise
        where = f"after row {number}" if number else "from the start"
        raise DataError(
            f"{visible(str(path))}: this Parquet file cannot be read {where} ({visible(str(error))[:300]}). Write it "
            "again.",
            param="training_file",
        ) from error


def _rows_at_once(metadata: FileMetaData) -> int:
    """So many rows that a batch stays small, by the sizes that the file declares."""
    size = sum(metadata.row_group(index).total_byte_size for index in range(min(metadata.num_row_groups, 1000)))
    num_rows = sum(metadata.row_group(index).num_rows for index in range(min(metadata.num_row_groups, 1000)))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES * max(1, num_rows) // max(1, size)))


def dataset_rows(name: str, notes: list[str]) -> Iterator[RawRow]:
    """Yields the rows of a data set: a hub id (`NAME`, `NAME:SPLIT`, `NAME:CONFIG:SPLIT`) or a local folder."""
    import datasets
    from datasets.exceptions import DatasetsError

    path, config, split = _parts(name)
    try:
        loaded = datasets.load_dataset(path, config, split=split)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise DataError(
            f"{name}: there is no such file here, and the Hugging Face data set could not be loaded "
            f"({type(error).__name__}: {error}). Check the name; a split or a configuration is given "
            "as NAME:SPLIT or NAME:CONFIG:SPLIT."
        ) from error
    if isinstance(loaded, datasets.DatasetDict):
        chosen = "train" if "train" in loaded else next(iter(loaded)) if len(loaded) == 1 else None
        if chosen is None:
            raise DataError(
                f"{name}: say which split to read, as {path}:SPLIT. There are: {', '.join(map(str, loaded))}."
            )
        others = [str(other) for other in loaded if other != chosen]
        notes.append(f"the split `{chosen}` was read" + (f" (not read: {', '.join(others)})" if others else ""))
        loaded = loaded[chosen]
    if not isinstance(loaded, datasets.Dataset):
        raise DataError(f"{name}: a {type(loaded).__name__} came back, where a table was expected.")
    names = {
        column: list(feature.names)
        for column, feature in loaded.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    number = 0
    for batch in loaded.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        for row in _batch_rows(batch):
            number += 1
            yield _raw_row(number, row, names)


def _parts(name: str) -> tuple[str, str | None, str | None]:
    if os.path.isdir(name):
        return name, None, None
    path, *rest = name.split(":")
    return path, rest[0] if len(rest) > 1 else None, rest[-1] if rest else None


def _batch_rows(batch: RecordBatch | Table) -> Iterator[dict[str, object] | RowError]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            yield _row_with_bad_text(batch, index)


def _row_with_bad_text(batch: RecordBatch | Table, index: int) -> dict[str, object] | RowError:
    row: dict[str, object] = {}
    bad: list[str] = []
    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        try:
            row[column] = values[index].as_py()
        except UnicodeDecodeError:
            bad.append(column)
            row[column] = _bytes_shown(values, index)
    if not bad:
        return row
    return RowError("encoding", f"the text in {', '.join(bad)} is not UTF-8", raw=spelled(row))


def _bytes_shown(values: Array | ChunkedArray, index: int) -> str:
    import pyarrow as pa

    try:
        content = values.slice(index, 1).cast(pa.binary())[0].as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return "(text inside a nested value, not UTF-8)"
    return bytes(content).decode("utf-8", "backslashreplace")


def _raw_row(number: int, row: dict[str, object] | RowError, names: Mapping[str, list[str]]) -> RawRow:
    if isinstance(row, RowError):
        return RawRow(number, row.raw, problem=row)
    for column, classes in names.items():
        value = row.get(column)
        if isinstance(value, int):
            if not 0 <= value < len(classes):
                problem = RowError("label", f"{column} is {value}, which is none of the {len(classes)} classes")
                return RawRow(number, spelled(row), problem=problem)
            row[column] = classes[value]
    # Arrow gives every object the keys of all others, as nulls; `plain` takes those out, which were never in the data.
    return RawRow(number, "", {column: plain(value) for column, value in row.items()})


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The class names that `datasets` writes into a Parquet file's metadata; none if it did not."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
