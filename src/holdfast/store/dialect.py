"""What SQLite and PostgreSQL do differently, said once: rows that are written in place of others, and text.

Choices made here
- PostgreSQL's text cannot hold the character 0, which a model may well write. There it is written as two characters,
  behind the "data link escape" (16), which is doubled where it occurs itself; so every text comes back as it was.
- A text column is given text and nothing else: SQLite would take anything and hand it back as something else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Dialect, Table

_ESCAPE = "\x10"
_SPELLED = {"\x00": f"{_ESCAPE}0", _ESCAPE: f"{_ESCAPE}{_ESCAPE}"}
_MEANT = {spelled: character for character, spelled in _SPELLED.items()}


class Text(TypeDecorator[str]):
    """A column of text that comes back as it was given, whichever characters it holds."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Returns the text as the database takes it."""
        assert value is None or isinstance(value, str), f"{value!r:.80} is no text"
        return value if value is None or dialect.name != "postgresql" else escaped(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Returns the text as it was given."""
        return value if value is None or dialect.name != "postgresql" else unescaped(value)


def escaped(text: str) -> str:
    r"""Returns the text without the character 0.

    >>> escaped("a\x00b")
    'a\x100b'
    """
    return re.sub(f"[\x00{_ESCAPE}]", lambda found: _SPELLED[found[0]], text)


def unescaped(text: str) -> str:
    r"""Returns the text that `escaped` wrote.

    >>> unescaped(escaped("\x10\x000"))
    '\x10\x000'
    """
    return re.sub(f"{_ESCAPE}[0{_ESCAPE}]", lambda found: _MEANT[found[0]], text)


def upsert(
    connection: Connection,
    table: Table,
    key: Mapping[str, object],
    values: Mapping[str, object],
    *,
    only_new: Mapping[str, object] | None = None,
) -> None:
    """Writes the row of that key: `values` in place of what it had, or a new row, which gets `only_new` too."""
    make = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[connection.dialect.name]
    row = make(table).values(**key, **values, **(only_new or {}))
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=dict(values)))
