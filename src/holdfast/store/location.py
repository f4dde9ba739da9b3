"""Where a workspace keeps its tables: a SQLite file in its folder, or a PostgreSQL database that a small file names.

`database.json` holds the URL, without a password, and the identity that the database has too. A database that moved is
named anew there by hand.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.errors import StoreError
from holdfast.store import sqlite
from holdfast.store.files import sync_folder

if TYPE_CHECKING:
    from holdfast.store.database import Database

_FILE: Final = "holdfast.db"
_NOTE: Final = "database.json"


def is_workspace(root: Path) -> bool:
    """Tells whether the folder is a workspace."""
    return (root / _FILE).is_file() or (root / _NOTE).is_file()


def create(root: Path, address: str | None) -> Database:
    """Returns a new database for the workspace in `root`, which is made: a file there, or the one at that URL."""
    if address is None:
        root.mkdir(parents=True, exist_ok=True)
        return sqlite.create(root / _FILE)
    from holdfast.store import postgres

    postgres.checked_url(address)
    root.mkdir(parents=True, exist_ok=True)
    identity = secrets.token_hex(16)
    # First, so that what a kill leaves is a folder to be deleted, and never a database that belongs to nobody.
    _write_note(root / _NOTE, {"url": address, "workspace": identity})
    try:
        return postgres.create(address, identity)
    except BaseException:
        (root / _NOTE).unlink()
        raise


def open_existing(root: Path) -> Database:
    """Returns the database of the workspace in `root`, migrated to this program's version."""
    note = root / _NOTE
    if not note.exists():
        return sqlite.open_existing(root / _FILE)
    if (root / _FILE).exists():
        raise StoreError(f"{root}: both {_FILE} and {_NOTE} are here. Take away the one that is not the workspace's.")
    from holdfast.store import postgres

    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        address, identity = found["url"], found["workspace"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{note}: cannot be read ({type(error).__name__}: {error}). Restore it from a copy.") from None
    return postgres.open_existing(str(address), str(identity))


def _write_note(note: Path, content: dict[str, str]) -> None:
    beside = note.with_name(f".{note.name}.{os.getpid()}")
    with beside.open("x", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, note)  # whoever is first wins; a link never replaces
    except FileExistsError:
        raise StoreError(f"{note.parent}: there is a workspace already. Open it, or choose another folder.") from None
    finally:
        beside.unlink()
    sync_folder(note.parent)
