"""The database file: opened, checked, migrated; read and write transactions.

Choices made here
- WAL with synchronous=FULL: readers never wait, and what a committed transaction wrote outlives a power cut.
- A write transaction takes the lock at its start (BEGIN IMMEDIATE), so that two processes queue instead of failing
  halfway; one waits up to 30 seconds for the other.
- Migrations are numbered files, each run in one transaction with the number it leaves behind (PRAGMA user_version).
  Before an older database is changed, a copy of it is put beside it.
- Making ready is tried again while another process does the same: SQLite refuses the switch to WAL at once, without
  the wait it grants to transactions, when it meets another's lock.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError

from holdfast.errors import StoreError

_APPLICATION_ID = 0x48464153  # "HFAS": marks the file as one of ours
_BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.02


class Database:
    """One SQLite file. Open with `Database.create` or `Database.open`; close when done."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine

    @classmethod
    def create(cls, path: Path) -> Database:
        """Returns a new database at `path`, where there must be none."""
        if path.exists():
            raise StoreError(f"{path}: there is a database already. Open it, or choose another folder.")
        return cls._ready(path)

    @classmethod
    def open(cls, path: Path) -> Database:
        """Returns the database at `path`, migrated to this program's version."""
        if not path.is_file():
            raise StoreError(f"{path}: there is no database here. Make a workspace with `holdfast init`.")
        return cls._ready(path)

    @classmethod
    def _ready(cls, path: Path) -> Database:
        try:
            _migrate_waiting(path)
        except (sqlite3.DatabaseError, OSError) as error:
            raise StoreError(f"{path}: cannot be used as a workspace database ({error}).") from error
        return cls(path, _engine(path))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection that sees one unchanging state and never blocks a writer."""
        with self._told(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yields a connection whose changes are all kept, and on disk, when the block ends, or none of them."""
        engine = self._engine.execution_options(holdfast_writes=True)
        with self._told(), engine.begin() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise StoreError(
                f"{self.path}: the database did not answer ({error.orig}). Is another run stuck?"
            ) from error
        except IntegrityError as error:
            raise StoreError(f"{self.path}: refused by the database ({error.orig}); nothing was changed.") from error
        except DatabaseError as error:
            raise StoreError(f"{self.path}: the database is damaged ({error.orig}). Restore a copy.") from error

    def close(self) -> None:
        """Closes every connection; the database can be opened again."""
        self._engine.dispose()


def migrations() -> list[tuple[int, str]]:
    """Returns the numbered SQL scripts in order, checked to be 1, 2, 3, ... without a gap."""
    folder = resources.files("holdfast.store") / "migrations"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    numbered = [(int(name.split("_")[0]), entry.read_text(encoding="utf-8")) for name, entry in found]
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1)), "migrations are numbered 1, 2, ..."
    return numbered


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
        scripts = migrations()
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
        raise StoreError(
            f"{path}: the workspace has version {found}, but this program knows versions up to {known}. "
            "Upgrade Holdfast, or open the workspace with the program that made it."
        )
    return found


def _apply(connection: sqlite3.Connection, number: int, script: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have migrated while this one waited for the lock.
        if int(connection.execute("PRAGMA user_version").fetchone()[0]) < number:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """Returns the script's statements; `executescript` cannot be used, because it commits first."""
    without_comments = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in without_comments.split(";") if statement.strip()]


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
