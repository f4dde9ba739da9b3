"""The rows of a query on any database that SQLAlchemy knows: read only, streamed, and without showing credentials."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError, visible
from holdfast.data.sources.cells import plain
from holdfast.data.sources.rows import RawRow, spelled, visible_bytes
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

_QUERY = re.compile(r"([a-zA-Z][\w+.-]*://.*?)::\s*((?:SELECT|WITH|VALUES|TABLE)\b.*)", re.DOTALL | re.IGNORECASE)
_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_ON_THE_NETWORK = re.compile(r"(https?|ftp|s3|gs|az|hf|file)://", re.IGNORECASE)
_SHOWN_CHARACTERS = 60
_BATCH_ROWS = 500


def is_query(source: str) -> bool:
    """Whether a source is a database with a query (`sqlite:///shop.db::SELECT …`), or was meant as one."""
    return "://" in source and not os.path.lexists(source)


def query_name(source: str) -> str:
    """Returns what a query is called in sources and messages: the database without user, password and options."""
    match = _QUERY.fullmatch(source)
    if match is None:
        return database_name(source.partition("::")[0])
    query = " ".join(match[2].split())
    shown = query if len(query) <= _SHOWN_CHARACTERS else query[:_SHOWN_CHARACTERS] + "…"
    return f"{database_name(match[1])}::{visible(shown)}"


def query_rows(source: str, notes: list[str]) -> Iterator[RawRow]:
    """Yields every row of a query, numbered from 1; the database is only read, and rows come as they are asked for."""
    from sqlalchemy.exc import SQLAlchemyError

    name = query_name(source)
    match = _QUERY.fullmatch(source)
    if match is None and _ON_THE_NETWORK.match(source):
        raise DataError(f"{name}: nothing is downloaded. Save it to a file first.", param="training_file")
    if match is None:
        raise DataError(
            f"{name}: a database is given with a query that reads: URL::SELECT … (or WITH, VALUES, TABLE).",
            param="training_file",
        )
    query = match[2].strip().rstrip(";")
    if ";" in _QUOTED.sub("", query):
        raise DataError(f"{name}: give one statement, not several.", param="training_file")
    number = 0
    with reading(match[1], name) as connection:
        try:
            # As it stands: neither colons nor percent signs are places for parameters.
            result = connection.execution_options(
                stream_results=True, yield_per=_BATCH_ROWS, no_parameters=True
            ).exec_driver_sql(query)
            if not result.returns_rows:
                raise DataError(f"{name}: the statement returns no rows; only queries are read.", param="training_file")
            columns = list(result.keys())
            _check_names(name, columns)
            rows = iter(result)
            while some := list(islice(rows, _BATCH_ROWS)):
                for row in some:
                    number += 1
                    yield _raw_row(number, dict(zip(columns, row, strict=True)))
        except SQLAlchemyError as error:
            where = f"after row {number}" if number else "at the start"
            raise DataError(
                f"{name}: the query failed {where} ({reason_of(error, match[1])}).", param="training_file"
            ) from None  # the cause shows the connection's parameters
    if not number:
        notes.append("the query returned no rows")


@contextmanager
def reading(address: str, name: str) -> Iterator[Connection]:
    """Opens a connection that can only read, as far as the database has a way to promise that."""
    from sqlalchemy.exc import SQLAlchemyError

    engine = engine_of(address, name)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
            elif engine.dialect.name in ("mysql", "mariadb"):
                connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
            elif engine.dialect.name == "oracle":
                connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection
            connection.rollback()
    except SQLAlchemyError as error:
        raise DataError(
            f"{name}: the database cannot be reached ({reason_of(error, address)}).", param="training_file"
        ) from None
    finally:
        engine.dispose()


def engine_of(address: str, name: str) -> Engine:
    """Returns an engine for an address; SQLite files must exist and cannot be written. Raises `DataError`."""
    from sqlalchemy import create_engine, event, make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(address)
        if url.get_backend_name() == "sqlite":
            url = _only_reading(url, name)
        engine = create_engine(url)
    except (SQLAlchemyError, ValueError, TypeError) as error:
        raise DataError(
            f"{name}: is no database address ({reason_of(error, address)}).", param="training_file"
        ) from None
    except ImportError as error:
        raise DataError(
            f"{name}: the driver for this database is not installed ({error.name}): pip install {error.name}.",
            param="training_file",
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _as_bytes_allow)
    return engine


def _as_bytes_allow(connection: object, _record: object) -> None:
    """Text that is not UTF-8 would end the query; so it becomes one bad row."""
    connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")  # pyright: ignore[reportAttributeAccessIssue] - a DBAPI connection of sqlite3


def _only_reading(url: URL, name: str) -> URL:
    from urllib.parse import quote

    path = url.database or ""
    if path.startswith("file:"):
        return url.update_query_dict({"mode": "ro", "uri": "true"})
    if not path or path == ":memory:" or not os.path.isfile(path):
        raise DataError(f"{name}: there is no such SQLite file.", param="training_file")
    return url.set(database=f"file:{quote(os.path.abspath(path))}").update_query_dict({"mode": "ro", "uri": "true"})


def _raw_row(number: int, row: dict[str, object]) -> RawRow:
    values = {column: plain(value) for column, value in row.items()}
    bad = [
        column
        for column, value in values.items()
        if isinstance(value, str) and not value.isascii() and value != visible_bytes(value)
    ]
    if bad:
        problem = RowError("encoding", f"the text in {', '.join(bad)} is not UTF-8")
        return RawRow(number, visible_bytes(spelled(row)), problem=problem)
    return RawRow(number, "", values)


def _check_names(name: str, columns: list[str]) -> None:
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(
            f"{name}: the query returns the columns {', '.join(twice)} twice. Rename them with AS.",
            param="training_file",
        )


def database_name(address: str) -> str:
    """Returns a database's address without user, password and options; of what is none, only its first word."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        return f"{address.partition('://')[0]}://…"
    host = f"{url.host}:{url.port}" if url.host and url.port else url.host or ""
    return visible(f"{url.drivername}://{host}/{url.database or ''}")


def reason_of(error: Exception, address: str | URL) -> str:
    """Returns what went wrong in the database's words, without its user, password and options."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    text = str(getattr(error, "orig", None) or error).split("\n")[0]
    try:
        url = make_url(address)
        secrets = [url.password, url.username, *(value for value in url.query.values() if isinstance(value, str))]
    except (ArgumentError, ValueError):
        secrets = [str(address)]
    for secret in secrets:
        if secret:
            text = text.replace(str(secret), "…")
    return visible(text)[:300]
