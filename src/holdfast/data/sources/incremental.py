"""Only the rows that a database table has got since the last load, by the ingestion library dlt (extra `data`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.sources.databases import database_name, engine_of, reason_of
from holdfast.errors import DataError

if TYPE_CHECKING:
    from sqlalchemy import Engine

_DATASET = "loaded"
_BATCH_ROWS = 10_000
"""Rows that are asked of the database at once."""


def load_new_rows(url: str, table: str, *, cursor: str, state: Path) -> list[Path]:
    """Returns the JSONL files of the rows that are new in a table since the last load, for `stream` to read.

    `cursor` is a column that grows from row to row (a number, a time of creation or change); rows whose value is
    above the largest one loaded are new, and so are those equal to it that were not there before. What has been
    loaded and how far is kept in the folder `state`, one folder for one table: its `rows` hold all loads so far. A
    load that fails is made again as a whole by the next one. Raises `DataError` if the table cannot be read.
    """
    try:
        os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"  # read when dlt starts; it would report every load
        import dlt  # noqa: F401 - whether it is there
    except ImportError as error:
        raise DataError(
            f"Loading only new rows needs dlt: pip install 'holdfast[data]' ({error.name} is missing)."
        ) from error
    name = table_name(url, table)
    state = state.absolute()
    _check_same(state, name, cursor)
    engine = engine_of(url, name)
    try:
        _check_cursor(engine, name, table, cursor)
        return _load(engine, name, table, cursor, state)
    finally:
        engine.dispose()


def table_name(url: str, table: str) -> str:
    """Returns what a table is called in messages: its database without user and password, and its name."""
    return f"{database_name(url)}::{table}"


def loads_of(table: str, state: Path) -> list[Path]:
    """Returns the JSONL files of all loads of a table into the folder `state`, the oldest first."""
    return sorted((state / "rows" / _DATASET / table.rpartition(".")[2]).glob("*.jsonl*"))


def _check_same(state: Path, name: str, cursor: str) -> None:
    """One folder belongs to one table and cursor: with another, it would say of old rows that they are known."""
    known = state / "source.txt"
    said = f"{name}\n{cursor}\n"
    if known.exists() and known.read_text() != said:
        raise DataError(
            f"{state}: holds the loads of {', by '.join(known.read_text().split(chr(10))[:2])}. Give another folder "
            f"for {name} by {cursor}."
        )
    state.mkdir(parents=True, exist_ok=True)
    known.write_text(said)


def _check_cursor(engine: Engine, name: str, table: str, cursor: str) -> None:
    from sqlalchemy import MetaData, Table, func, select
    from sqlalchemy.exc import SQLAlchemyError

    schema, _, bare = table.rpartition(".")
    try:
        found = Table(bare, MetaData(), schema=schema or None, autoload_with=engine)
        if cursor not in found.columns:
            there = ", ".join(found.columns.keys())
            raise DataError(f"{name}: has no column {cursor!r} to tell new rows by. There are: {there}.")
        with engine.connect() as connection:
            missing = connection.scalar(select(func.count()).select_from(found).where(found.columns[cursor].is_(None)))
    except SQLAlchemyError as error:
        raise DataError(f"{name}: cannot be read ({reason_of(error, engine.url)}).") from None
    if missing:
        raise DataError(
            f"{name}: {missing} rows have no value in {cursor!r}, so nobody can say whether they are new. Fill them "
            "in, or choose another column."
        )


def _load(engine: Engine, name: str, table: str, cursor: str, state: Path) -> list[Path]:
    import dlt
    from dlt.pipeline.exceptions import PipelineStepFailed
    from dlt.sources.sql_database import sql_table

    schema, _, bare = table.rpartition(".")
    rows = state / "rows"
    try:
        pipeline = dlt.pipeline(
            "holdfast_rows",
            pipelines_dir=str(state / "pipeline"),
            # "direct": columns keep their names. The warning is about folders that hold several tables.
            destination=dlt.destinations.filesystem(
                bucket_url=rows.as_uri(), naming_convention="direct", warn_unsafe_layout_separators=False
            ),
            dataset_name=_DATASET,
        )
        resource = sql_table(
            engine,
            bare,
            schema=schema or None,
            chunk_size=_BATCH_ROWS,
            incremental=dlt.sources.incremental(cursor),
            write_disposition="append",
        )
        resource.max_table_nesting = 0  # a column of JSON stays one column
        done = pipeline.run(resource, loader_file_format="jsonl")
        done.raise_on_failed_jobs()
    except PipelineStepFailed as error:
        raise DataError(f"{name}: the load failed ({reason_of(error, engine.url)}). It can be made again.") from None
    loads = {package.load_id for package in done.load_packages}
    return [path for path in loads_of(table, state) if path.name.startswith(tuple(loads))] if loads else []
