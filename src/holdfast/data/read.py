"""A path or a Hugging Face data set in, Examples out, and every row that cannot be used with its reason."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.formats import convert
from holdfast.data.rejected import Rejected, RowError, visible
from holdfast.data.strict_json import kind_of
from holdfast.data.tables import dataset_rows, parquet_rows
from holdfast.data.text_files import csv_rows, json_rows, jsonl_rows
from holdfast.errors import DataError
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Set

    from holdfast.data.text_files import RawRow
    from holdfast.types import Example, JSONValue

__all__ = ["ReadResult", "Rejected", "read"]

_SAMPLE = re.compile(r"^(?P<source>.+)#(?P<count>\d+)$", re.DOTALL)
_DATASET_ID = re.compile(r"^[\w.-]+(/[\w.-]+)?(:[\w.-]+){0,2}$")
_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What a source holds: usable Examples, rejected rows, the format found, and notes to say aloud.

    `num_rows` rows were there: as many as examples, rejected and `num_not_drawn` (left out by `#N`).
    """

    examples: list[Example]
    rejected: list[Rejected]
    format: str
    notes: list[str]
    num_rows: int = 0
    num_not_drawn: int = 0


@dataclass(slots=True)
class _Found:
    examples: list[Example] = field(default_factory=list["Example"])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    formats: Counter[str] = field(default_factory=Counter[str])
    unused: Counter[str] = field(default_factory=Counter[str])
    mapped: set[str] = field(default_factory=set[str])
    columns: set[str] = field(default_factory=set[str])


def read(
    source: str,
    *,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    need_demonstration: bool = True,
    keep: Set[str] = frozenset(),
) -> ReadResult:
    """Returns all Examples in `source`, and all rows that cannot be used, each with line and reason.

    `source` is a path (.jsonl, .json, .csv, .tsv, .parquet; text files also as .gz), a folder or a
    Hugging Face data set id; `#N` at its end draws N usable rows at random with `seed`. `columns`
    maps Holdfast's column names to the source's (`{"label": "sentiment"}`). Rows without an answer
    are rejected unless `need_demonstration` is False. The columns `keep` ("*" for all) go with the
    examples as they are, for a grader that reads them. Raises `DataError` if nothing can be read.
    """
    named, count = _split_count(source)
    notes: list[str] = []
    found = _Found()
    place = _file_in(named, notes) if os.path.isdir(named) else named
    rows = _rows(place, notes)
    place = visible(place)
    for row in rows:
        _take(row, place, columns or {}, found, need_demonstration=need_demonstration, keep=keep)
    _check_columns(place, columns or {}, found)
    num_rows = len(found.examples) + len(found.rejected)
    if not num_rows:
        raise DataError(f"{place}: there are no rows.", param="training_file")
    names = [name for name, _ in found.formats.most_common()]
    notes = [_said(place, found, num_rows), *notes]
    if found.unused:
        notes.append(visible("not used: " + ", ".join(f"{name} ({n})" for name, n in sorted(found.unused.items()))))
    examples = found.examples
    if count is not None:
        examples = _draw(examples, count, seed, notes)
    return ReadResult(
        examples=examples,
        rejected=found.rejected,
        format=" / ".join(names) or "unknown",
        notes=notes,
        num_rows=num_rows,
        num_not_drawn=len(found.examples) - len(examples),
    )


def _split_count(source: str) -> tuple[str, int | None]:
    match = _SAMPLE.match(source)
    if match is None or os.path.exists(source):
        return os.path.expanduser(source), None
    count = int(match["count"][:18])
    if count == 0:
        raise DataError(f"{source}: #0 asks for no rows. Ask for at least one, or leave it out.", param="training_file")
    return os.path.expanduser(match["source"]), count


def _file_in(folder: str, notes: list[str]) -> str:
    """The data file that a folder means: its only one, or its `train` file; else the folder as a data set."""
    files = sorted(item for item in Path(folder).iterdir() if item.name.lower().removesuffix(".gz").endswith(_SUFFIXES))
    train = [item for item in files if item.name.split(".")[0] == "train"]
    chosen = train if len(train) == 1 else files
    if not files and not any(item.suffix in (*_SUFFIXES, ".arrow", ".gz") for item in Path(folder).rglob("*")):
        raise DataError(
            f"{folder}: this folder holds no data. Give a {', '.join(_SUFFIXES)} file, or a folder with one.",
            param="training_file",
        )
    if len(chosen) != 1:
        return folder
    others = ", ".join(item.name for item in files if item != chosen[0])
    notes.append(f"of the folder, {chosen[0].name} was read" + (f" (not read: {others})" if others else ""))
    return str(chosen[0])


def _rows(place: str, notes: list[str]) -> Iterator[RawRow]:
    path = Path(place)
    name = path.name.lower().removesuffix(".gz")
    if os.path.isdir(place):
        return dataset_rows(place, notes)
    if os.path.isfile(place):  # unlike Path.is_file, it answers for names that are too long to be one
        if name.endswith((".jsonl", ".ndjson")):
            return jsonl_rows(path, notes)
        if name.endswith(".json"):
            return json_rows(path, notes)
        if name.endswith((".csv", ".tsv")):
            return csv_rows(path, notes)
        if path.suffix.lower() == ".parquet":
            return parquet_rows(path)
        raise DataError(
            f"{place}: this kind of file is not read. Use {', '.join(_SUFFIXES)} (text files also with .gz).",
            param="training_file",
        )
    if os.path.exists(place):
        raise DataError(f"{place}: is not a regular file. Save the data to a file first.", param="training_file")
    if name.endswith(_SUFFIXES) or not _DATASET_ID.match(place):
        raise DataError(f"{place}: there is no such file.{_near(path)}", param="training_file")
    return dataset_rows(place, notes)


def _near(path: Path) -> str:
    folder = path.parent
    names = os.listdir(folder) if os.path.isdir(folder) else []
    close = get_close_matches(path.name, names, n=1)
    if close:
        return f" Did you mean {folder / close[0]}?"
    return "" if os.path.isdir(folder) else f" There is no folder {folder} either."


def _take(
    row: RawRow, place: str, columns: Mapping[str, str], found: _Found, *, need_demonstration: bool, keep: Set[str]
) -> None:
    try:
        if row.problem is not None:
            raise row.problem
        if not isinstance(row.value, dict):
            raise RowError("json", f"is {kind_of(row.value)}, not an object with columns")
        value = _renamed(row.value, columns, found)
        converted = convert(value, f"{place}:{row.line}", need_demonstration=need_demonstration, keep=keep)
    except RowError as error:
        found.rejected.append(Rejected(place, row.line, error.reason, row.raw, error.kind))
        return
    found.examples.append(converted.example)
    found.formats[converted.format] += 1
    found.unused.update(converted.unused)


def _renamed(row: dict[str, JSONValue], columns: Mapping[str, str], found: _Found) -> dict[str, JSONValue]:
    found.columns.update(row)
    if not columns:
        return row
    taken = set(columns.values()) & set(row)
    found.mapped |= taken
    # A column that gives its name to another meaning loses its own: {"label": "sentiment"} hides an old `label`.
    renamed = {key: value for key, value in row.items() if key not in taken and key not in columns}
    return renamed | {ours: row[theirs] for ours, theirs in columns.items() if theirs in row}


def _check_columns(place: str, columns: Mapping[str, str], found: _Found) -> None:
    for ours, theirs in columns.items():
        if theirs not in found.mapped:
            close = get_close_matches(theirs, found.columns, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(sorted(found.columns))}."
            raise DataError(f"{place}: no row has the column {theirs!r}, given for {ours!r}.{hint}", param="columns")


def _said(place: str, found: _Found, num_rows: int) -> str:
    shapes = ", ".join(f"{n} as {name}" for name, n in found.formats.most_common()) or "none usable"
    return f"{place}: {num_rows} rows, {shapes}, {len(found.rejected)} rejected"


def _draw(examples: list[Example], count: int, seed: int, notes: list[str]) -> list[Example]:
    if count >= len(examples):
        notes.append(f"{count} rows were asked for and {len(examples)} are usable: all of them are taken")
        return examples
    chosen = sorted(random.Random(derive_seed(seed, "sample rows")).sample(range(len(examples)), count))
    notes.append(f"{count} of {len(examples)} usable rows were drawn at random (seed {seed}); the others are not used")
    return [examples[index] for index in chosen]
