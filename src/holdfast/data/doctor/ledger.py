"""The rows that are not used, written down as they leave, and counted."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import Rejected
from holdfast.data.strict_json import dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Ledger:
    """Rejected rows in a file of their own: added one by one, read back as often as wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kinds: Counter[str] = Counter()
        """How many rows of each kind."""
        self.first: dict[str, str] = {}
        """The first row of each kind, as a sentence."""
        path.touch()

    def add(self, rows: Iterable[Rejected]) -> None:
        """Writes rows down, one after another as they come."""
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(dump(asdict(row)) + "\n")
                self.kinds[row.kind] += 1
                self.first.setdefault(row.kind, f"{row.source}:{row.line}: {row.reason}")

    def __len__(self) -> int:
        """Returns how many rows were written down."""
        return self.kinds.total()

    def __iter__(self) -> Iterator[Rejected]:
        """Yields every row in the order in which they were added."""
        with self._path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                yield Rejected(**cast("dict[str, str]", json.loads(line)))  # pyright: ignore[reportArgumentType]
