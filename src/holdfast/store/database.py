"""What the store asks of a database: transactions that read or write, our words for its errors, and its migrations.

`sqlite.py` (a file, the default) and `postgres.py` (a server, by URL) each make a `Database`; all else sees only that.

Choices made here
- Migrations are numbered SQL scripts, one set for both. They are written for SQLite, from INTEGER, REAL, TEXT and BLOB,
  `INTEGER PRIMARY KEY AUTOINCREMENT` and `WITHOUT ROWID`; `postgres.py` translates just that. What else is in a script
  must mean the same to both. No text in a script holds `;` or `--`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from holdfast.errors import StoreError

_FULL = ("disk is full", "No space left on device")
# what databases say of it


class Database:
    """One database, made ready; close when done.

    `reading` and `writing` are engines over the same connections: every transaction of the first sees one unchanging
    state, and those of the second run one after the other, across all processes.
    """

    def __init__(self, name: str, *, reading: Engine, writing: Engine, silent: str, broken: str) -> None:
        self.name = name
        self._reading, self._writing = reading, writing
        self._silent, self._broken = silent, broken

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yields a connection that sees one unchanging state and never blocks a writer."""
        with self._told(), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yields a connection whose changes are all kept, and on disk, when the block ends, or none of them."""
        with self._told(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            if any(words in reason(error) for words in _FULL):
                text = f"{self.name}: the disk is full, so nothing was changed. Free some space and try again."
                raise StoreError(text) from error
            raise StoreError(f"{self.name}: the database did not answer ({reason(error)}). {self._silent}") from error
        except NoConnectionError as error:
            raise StoreError(
                f"{self.name}: every connection was in use for too long. Try again in a moment. {self._silent}"
            ) from error
        except IntegrityError as error:
            raise StoreError(f"{self.name}: refused by the database ({reason(error)}); nothing was changed.") from error
        except DatabaseError as error:
            raise StoreError(f"{self.name}: {self._broken.format(reason(error))}") from error

    def close(self) -> None:
        """Closes every connection; the database can be opened again."""
        self._reading.dispose()


def migrations() -> list[tuple[int, str]]:
    """Returns the numbered SQL scripts in order, checked to be 1, 2, 3, ... without a gap."""
    folder = resources.files("holdfast.store") / "migrations"
    found = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    numbered = [(int(name.split("_")[0]), entry.read_text(encoding="utf-8")) for name, entry in found]
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1)), "migrations are numbered 1, 2, ..."
    return numbered


def statements(script: str) -> list[str]:
    """Returns the script's statements; a driver's own way to run a whole script commits in between."""
    without_comments = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in without_comments.split(";") if statement.strip()]


def newer_problem(name: str, found: int, known: int) -> str:
    """Returns what is said of a database that a newer program has migrated."""
    return (
        f"{name}: the workspace has version {found}, but this program knows versions up to {known}. "
        "Upgrade Holdfast, or open the workspace with the program that made it."
    )


def reason(error: DBAPIError) -> str:
    """Returns what the database said, in one line."""
    return " ".join(str(error.orig).split())
