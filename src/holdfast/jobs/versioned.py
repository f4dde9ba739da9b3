"""A version of prepared data as what an order learns from: its parts are taken as they are, nothing is divided anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.output.version import MANIFEST, load
from holdfast.data.read import ReadResult
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.data.output.version import DataVersion


def version_at(source: str, columns: Mapping[str, str] | None = None) -> DataVersion | None:
    """Returns the version that lies in the folder `source`, with every file compared with its hash, or None.

    Raises DataError where the folder was edited, and where `columns` are mapped: a version's have their names.
    """
    folder = Path(source)
    if not (folder / MANIFEST).is_file():
        return None
    if columns:
        raise DataError(
            f"{source}: this data is prepared, so its columns have their names. Leave --column out, or map the columns "
            "when you prepare it.",
            param="columns",
        )
    return load(folder)


def part_of(version: DataVersion, part: str) -> ReadResult:
    """Returns one part as what reading a file gives."""
    examples = list(version.examples(part))
    note = f"{version.folder}: {len(examples)} rows to {'learn from' if part == 'train' else 'test on'}."
    return ReadResult(examples, [], "prepared data", [note], num_rows=len(examples))
