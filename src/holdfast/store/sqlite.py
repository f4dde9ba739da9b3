"""The workspace in one SQLite file: opened, checked, migrated.

Choices made here
- WAL with synchronous=FULL: readers never wait, and what a committed transaction wrote outlives a power cut.
- A write transaction takes the lock at its start (BEGIN IMMEDIATE), so that two processes queue instead of failing
  halfway; one waits up to 30 seconds for the other.
- Migrations are run each in one transaction with the number it leaves behind (PRAGMA user_version). Before an older
  database is changed, a copy of it is put beside it.
- Making ready is tried again while another process does the same: SQLite refuses the switch to WAL at once, without
  the wait it grants to transactions, when it meets another's lock.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event

from holdfast.errors import StoreError
from holdfast.store import database
from holdfast.store.database import Database, newer_problem, statements

_APPLICATION_ID = 0x48464153  # "HFAS": marks the file as one of ours
_BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.02


def create(path: Path) -> Database:
    """Returns a new database at `path`, where there must be none."""
    if path.exists():
        raise StoreError(f"{path}: there is a database already. Open it, or choose another folder.")
    return ready(path)


def open_existing(path: Path) -> Database:
    """Returns the database at `path`, migrated to this program's version."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no database here. Make a workspace with `holdfast init`.")
    return ready(path)


def ready(path: Path) -> Database:
    """Returns the database at `path`, made or migrated as it needs."""
    try:
        _migrate_waiting(path)
    except (sqlite3.DatabaseError, OSError) as error:
        raise StoreError(f"{path}: cannot be used as a workspace database ({error}).") from error
    engine = _engine(path)
    return Database(
        str(path),
        reading=engine,
        writing=engine.execution_options(holdfast_writes=True),
        silent="Is another run stuck?",
        broken="the database is damaged ({}). Restore a copy.",
    )


def _engine(path: Path) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        raw.isolation_level = None  # transactions begin where this file says, not where the driver guesses
        _configure(raw)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        writes = connection.get_execution_options().get("holdfast_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _configure(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA synchronous = FULL")


def _migrate_waiting(path: Path) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _migrate(path)
        except sqlite3.OperationalError as error:
            # The low byte is the primary code; a busy recovery or snapshot is the same busy.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_SECONDS)


def _migrate(path: Path) -> None:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        scripts = database.migrations()
        # Looked at before anything is changed: switching to WAL already writes to the file.
        found = _checked_version(connection, path, known=len(scripts))
        connection.execute("PRAGMA journal_mode = WAL")
        _configure(connection)
        if 0 < found < len(scripts):
            _copy(connection, path.with_name(f"{path.name}.version-{found}"))
        for number, script in scripts[found:]:
            _apply(connection, number, script)
    finally:
        connection.close()


def _checked_version(connection: sqlite3.Connection, path: Path, *, known: int) -> int:
    # One transaction: between two questions another process might make the tables.
    connection.execute("BEGIN")
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    connection.execute("COMMIT")
    if owner != _APPLICATION_ID and not empty:
        raise StoreError(f"{path}: this SQLite file was not made by Holdfast. Choose another folder.")
    if found > known:
        raise StoreError(newer_problem(str(path), found, known))
    return found


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        if int(connection.execute("PRAGMA user_version").fetchone()[0]) < number:
            for statement in statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    if target.exists():
        return
    beside = target.with_name(f"{target.name}.{os.getpid()}")
    copy = sqlite3.connect(beside)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    os.replace(beside, target)
