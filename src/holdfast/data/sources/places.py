"""What a source means: the files, tables and queries behind a path, a folder, a pattern or a name."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.rejected import visible
from holdfast.data.sources.csv_files import csv_rows
from holdfast.data.sources.databases import is_query, query_name, query_rows
from holdfast.data.sources.documents import is_document
from holdfast.data.sources.folders import files_like, files_under, is_pattern
from holdfast.data.sources.json_files import json_rows
from holdfast.data.sources.json_lines import jsonl_rows
from holdfast.data.sources.tables import dataset_rows, parquet_rows
from holdfast.data.sources.workbooks import split_sheet, workbook_rows
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.data.sources.rows import RawRow

TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
"""What `read` reads, and `learn` by it; text files also as `.gz`."""
ALL_SUFFIXES = (*SUFFIXES, ".xlsx")
_MANY_KINDS = 20
_SAMPLE = re.compile(r"^(?P<source>.+)#(?P<count>\d+)$", re.DOTALL)
_DATASET_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+){0,2}$")


@dataclass(frozen=True, slots=True)
class Place:
    """One file, table or query with its rows; `name` is what rows call their source.

    `found` says that a folder or a pattern led here, so that it is one of several and need not be readable.
    """

    name: str
    rows: Callable[[list[str]], Iterator[RawRow]]
    found: bool = False


def split_count(source: str) -> tuple[str, int | None]:
    """Returns the source without `#N` at its end, and N (None without it); `~` is written out."""
    match = _SAMPLE.match(source)
    if match is None or os.path.lexists(source):
        return os.path.expanduser(source), None
    count = int(match["count"][:18])
    if count == 0:
        raise DataError(f"{source}: #0 asks for no rows. Ask for at least one, or leave it out.", param="training_file")
    return os.path.expanduser(match["source"]), count


def shown(source: str) -> str:
    """Returns a source as people may see it: without a database's credentials."""
    return query_name(source) if is_query(source) else visible(source)


def places(source: str, notes: list[str], documents: list[Path]) -> Iterator[Place]:
    """Yields what a source means, in order; the documents in it are put into `documents` and not yielded."""
    if is_query(source):
        yield Place(shown(source), lambda said: query_rows(source, said))
    elif os.path.isdir(source):
        yield from _of_files(files_under(Path(source), notes), source, notes, documents)
    elif is_pattern(source) and not os.path.lexists(source):
        yield from _of_files(files_like(source, notes), source, notes, documents)
    elif is_document(source) and os.path.lexists(source):
        documents.append(Path(source))
    else:
        yield place_of(source, guess=True)


def place_of(source: str, *, guess: bool) -> Place:
    """Returns the file or data set that a name means; raises `DataError` if it means none.

    With `guess`, everything is read that can be; without, only what `read` vouches for.
    """
    path = Path(source)
    name = path.name.lower().removesuffix(".gz")
    if os.path.isfile(source):  # unlike Path.is_file, it answers for names that are too long to be one
        return Place(visible(source), _reader(path, guess=guess))
    file, sheet = split_sheet(source)
    if guess and sheet and os.path.isfile(file):
        return Place(visible(source), lambda notes: workbook_rows(Path(file), notes, sheet))
    if os.path.isdir(source):
        return Place(visible(source), lambda notes: dataset_rows(source, notes))
    if os.path.lexists(source):
        raise DataError(
            f"{visible(source)}: is not a regular file. Save the data to a file first.", param="training_file"
        )
    if name.endswith(ALL_SUFFIXES) or is_document(source) or not _DATASET_ID.match(source):
        raise DataError(f"{visible(source)}: there is no such file.{_near(path)}", param="training_file")
    return Place(visible(source), lambda notes: dataset_rows(source, notes))


def _reader(path: Path, *, guess: bool) -> Callable[[list[str]], Iterator[RawRow]]:
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".jsonl", ".ndjson")):
        return lambda notes: jsonl_rows(path, notes, guess=guess)
    if name.endswith(".json"):
        return lambda notes: json_rows(path, notes, guess=guess)
    if name.endswith((".csv", ".tsv")):
        return lambda notes: csv_rows(path, notes, guess=guess)
    if path.suffix.lower() == ".parquet":
        return lambda notes: parquet_rows(path)
    if guess and path.suffix.lower() == ".xlsx":
        return lambda notes: workbook_rows(path, notes)
    more = "" if guess else " `holdfast prepare` also reads .xlsx, documents and databases."
    raise DataError(
        f"{visible(str(path))}: this kind of file is not read. Use {', '.join(ALL_SUFFIXES if guess else SUFFIXES)} "
        f"(text files also with .gz).{more}",
        param="training_file",
    )


def _of_files(files: Iterator[Path], source: str, notes: list[str], documents: list[Path]) -> Iterator[Place]:
    num_places = -len(documents)
    others: Counter[str] = Counter()
    for path in files:
        name = path.name.lower()
        if is_document(path):
            documents.append(path)
        elif name.endswith(ALL_SUFFIXES) or name.removesuffix(".gz").endswith(TEXT_SUFFIXES):
            num_places += 1
            yield Place(visible(str(path)), _reader(path, guess=True), found=True)
        else:
            kind = path.suffix.lower()[:12] or "without a suffix"
            others[kind if kind in others or len(others) < _MANY_KINDS else "of other kinds"] += 1
    if others:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(others.items()))
        notes.append(visible(f"{source}: files that hold no rows were not read: {kinds}"))
    if not num_places + len(documents):
        raise DataError(
            f"{visible(source)}: there is no data here. Known are {', '.join(ALL_SUFFIXES)} and documents.",
            param="training_file",
        )


def _near(path: Path) -> str:
    folder = path.parent
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        return "" if os.path.isdir(folder) else visible(f" There is no folder {folder} either.")
    close = get_close_matches(path.name, names, n=1)
    return visible(f" Did you mean {folder / close[0]}?") if close else ""
