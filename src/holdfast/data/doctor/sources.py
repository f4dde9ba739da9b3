"""What the rows of a version came from, as its manifest says it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.output.prepared import Source
from holdfast.data.output.version import hash_file

if TYPE_CHECKING:
    from collections.abc import Mapping


def described(num_rows: Mapping[str, int]) -> list[Source]:
    """Returns each source with its rows; a file with its size and sha256, a query or data set by name alone.

    A page or sheet of a file (`handbook.pdf:page 3`) counts as that file.
    """
    by_place: Counter[str] = Counter()
    for name, count in num_rows.items():
        by_place[_file_of(name)] += count
    found: list[Source] = []
    for name, count in by_place.items():
        path = Path(name)
        if _is_file(path):
            known = hash_file(path)
            found.append(Source(name, known.num_bytes, known.sha256, count))
        else:
            found.append(Source(name, num_rows=count))
    return found


def _file_of(name: str) -> str:
    place = name
    while ":" in place and not _is_file(Path(place)):
        place = place.rpartition(":")[0]
    return place if _is_file(Path(place)) else name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # the name of a query may be too long for a path, or hold a NUL
        return False
