"""A folder of sheets that can be read without its sources: the rows lie beside the sheets, and gold rows come out.

FOLDER/annotator-1.csv, …   to be filled in           FOLDER/rows.jsonl       the rows that the sheets show
FOLDER/sheets.json          whose items are whose      FOLDER/rejected.jsonl   rows of the sources that are not used
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from holdfast.data.example_json import from_json, to_json
from holdfast.data.folder import flush_folder, replace_folder, write_lines
from holdfast.data.making.sheets import write_sheets
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.data.making.sheets import Sheets, SheetSettings
    from holdfast.data.rejected import Rejected
    from holdfast.types import Example, JSONValue

ROWS = "rows.jsonl"
REJECTED = "rejected.jsonl"
_READ = frozenset(
    (
        "messages",
        "output_text",
        "tools",
        "functions",
        "privileged_context",
        "document",
        "label",
        "rejected",
        "source",
        "columns",
    )
)
"""What a row of `row_json` holds besides its columns, or would be read as."""


def check_place(folder: Path) -> None:
    """Raises `DataError` where `folder` holds files: they may be sheets with answers."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder}: is not an empty folder, and what it holds may be sheets with answers. Choose another place, or "
            f"read the sheets that are there: holdfast data collect {folder}",
            param="to",
        )


def write_folder(
    rows: Sequence[Example], rejected: Sequence[Rejected], folder: Path, settings: SheetSettings
) -> Sheets:
    """Writes sheets, rows and rejected rows, all or nothing, and returns what is on the sheets."""
    check_place(folder)
    folder = folder.resolve()
    new = folder.parent / f".{folder.name}.new"
    shutil.rmtree(new, ignore_errors=True)  # left behind by a run that was killed here
    try:
        sheets = write_sheets(rows, new, settings)
        write_lines(new / ROWS, (to_json(row) for row in rows))
        write_lines(new / REJECTED, (asdict(row) for row in rejected))
        flush_folder(new)
        replace_folder(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return sheets


def load_rows(folder: Path) -> list[Example]:
    """Returns the rows that the sheets of a folder show; raises `DataError` if they are missing or damaged."""
    path = folder / ROWS
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DataError(
            f"{folder}: has no {ROWS} ({error.strerror}). Give the folder that `holdfast data annotate` wrote.",
            param="folder",
        ) from None
    return [_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line]


def row_json(example: Example) -> dict[str, JSONValue]:
    """Returns a row as a source that is read again as the same example: its columns stand beside its turns.

    Columns that would be read as something else stay together under `columns`.
    """
    row = to_json(example)
    del row["id"]
    columns = dict(example.columns)
    aside = {name: columns.pop(name) for name in _READ & set(columns)}
    row.pop("columns", None)
    return {**row, **columns, **({"columns": aside} if aside else {})}


def _row(line: bytes, place: str) -> Example:
    try:
        return from_json(json.loads(line))
    except ValueError as error:
        raise DataError(
            f"{place}: is damaged ({error}). Write the sheets again with the same settings and copy those that are "
            "filled in into the new folder: items keep their ids.",
            param="folder",
        ) from None
