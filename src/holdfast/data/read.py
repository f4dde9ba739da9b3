"""A path or a Hugging Face data set in, Examples out, and every row that cannot be used with its reason."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.rejected import Rejected, visible
from holdfast.data.sources.conversion import Tally, Wanted
from holdfast.data.sources.places import SUFFIXES, place_of, split_count
from holdfast.data.sources.stream import drawn, rows_of
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from holdfast.types import Example

__all__ = ["ReadResult", "Rejected", "read"]


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

    Nothing is guessed here: files must be UTF-8, and a folder must say by its names which file is meant. `stream`
    reads more kinds of sources, several in a row, and never holds them.
    """
    named, count = split_count(source)
    notes: list[str] = []
    chosen = _file_in(named, notes) if os.path.isdir(named) else named
    place = place_of(chosen, guess=False)
    tally = Tally()
    examples: list[Example] = []
    rejected: list[Rejected] = []
    drawing: list[str] = []
    wanted = Wanted(columns or {}, need_demonstration, keep)
    rows = rows_of(place, wanted, tally, notes)
    for row in rows if count is None else drawn(rows, count, seed, drawing):
        if isinstance(row, Rejected):
            rejected.append(row)
        else:
            examples.append(row)
    tally.check_columns(place.name, wanted.columns)
    if not tally.num_rows:
        raise DataError(f"{place.name}: there are no rows.", param="training_file")
    said, *unused = tally.said(place.name)
    return ReadResult(
        examples=examples,
        rejected=rejected,
        format=tally.format,
        notes=[said, *notes, *unused, *drawing],
        num_rows=tally.num_rows,
        num_not_drawn=tally.num_usable - len(examples),
    )


def _file_in(folder: str, notes: list[str]) -> str:
    """The data file that a folder means: its only one, or its `train` file; else the folder as a data set."""
    files = sorted(item for item in Path(folder).iterdir() if item.name.lower().removesuffix(".gz").endswith(SUFFIXES))
    train = [item for item in files if item.name.split(".")[0] == "train"]
    chosen = train if len(train) == 1 else files
    if not files and not any(item.suffix in (*SUFFIXES, ".arrow", ".gz") for item in Path(folder).rglob("*")):
        raise DataError(
            f"{visible(folder)}: this folder holds no data. Give a {', '.join(SUFFIXES)} file, or a folder with one.",
            param="training_file",
        )
    if len(chosen) != 1:
        return folder
    others = ", ".join(item.name for item in files if item != chosen[0])
    notes.append(visible(f"of the folder, {chosen[0].name} was read" + (f" (not read: {others})" if others else "")))
    return str(chosen[0])
