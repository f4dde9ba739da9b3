"""Of database tables only the rows that no earlier preparation took.

Loads are kept beside the versions, so a row has a place that stays; a load counts as taken when the version that it
went into is written, and not before: what a preparation loaded and then failed on is given to the next one.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.data.sources.incremental import load_new_rows, loads_of, table_name
from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.jobs.folder import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TABLE = re.compile(r"(?P<url>[a-zA-Z][\w+.-]*://.*)::(?P<table>\w+(?:\.\w+)?)")
_LOADS = ".loads"
_TAKEN = "taken.json"


@dataclass(frozen=True, slots=True)
class NewRows:
    """The sources to read in place of those that were named, and the loads that are new by the folder of each table."""

    sources: list[str]
    loads: dict[Path, list[Path]] = field(default_factory=dict["Path", "list[Path]"])

    def taken(self) -> None:
        """Notes that the loads are in a version now."""
        for state, files in self.loads.items():
            known = _taken(state) | {file.name for file in files}
            write_atomically(state / _TAKEN, json.dumps(sorted(known)))


def new_rows(sources: Sequence[str], cursor: str | None, root: Path) -> NewRows:
    """Loads what is new in every table among the sources (`URL::TABLE`), told by the column `cursor` that grows.

    Raises:
        ConfigError: a table without a cursor, or a cursor without a table.
        NothingToLearnError: no table has new rows, and there is no other source.
        DataError: a table cannot be read.
    """
    tables = {
        source: (found["url"], found["table"], table_name(found["url"], found["table"]))
        for source in sources
        if (found := _TABLE.fullmatch(source))
    }
    if cursor is None:
        for _, _, name in tables.values():
            raise ConfigError(
                f"{name} is a table. Name the column that grows from row to row (--new-by id) to take its new rows, "
                "or give a query: URL::SELECT …",
                param="new_by",
            )
        return NewRows(list(sources))
    if not tables:
        raise ConfigError(f"--new-by {cursor} has no effect: no source is a table (URL::TABLE).", param="new_by")
    found = NewRows([])
    for source in sources:
        if source not in tables:
            found.sources.append(source)
            continue
        url, table, name = tables[source]
        state = root / _LOADS / hashlib.sha256(f"{name} {cursor}".encode()).hexdigest()[:16]
        load_new_rows(url, table, cursor=cursor, state=state)
        known = _taken(state)
        found.loads[state] = [file for file in loads_of(table, state) if file.name not in known]
        found.sources.extend(str(file) for file in found.loads[state])
    if not found.sources:
        names = ", ".join(name for _, _, name in tables.values())
        raise NothingToLearnError(f"{names}: no row is new since the last preparation.")
    return found


def _taken(state: Path) -> set[str]:
    try:
        return set(json.loads((state / _TAKEN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()
