"""Sheets as files: CSV as spreadsheets save it, or JSON lines; every line with its number."""

from __future__ import annotations

import csv
import io
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump, parse
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a sheet: where it starts (from 1), its cells by column, and what cannot be read of it, or nothing."""

    number: int
    cells: Mapping[str, str]
    fault: str = ""

    @property
    def raw(self) -> str:
        """The line as JSON."""
        return dump(dict(self.cells))


def write_csv(path: Path, columns: Sequence[str], lines: Sequence[Mapping[str, str]]) -> None:
    """Writes a CSV file that spreadsheets open as UTF-8: with a mark at its start, every cell in quotes."""
    with _whole(path, "utf-8-sig") as file:
        writer = csv.DictWriter(file, columns, quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(lines)


def write_jsonl(path: Path, lines: Sequence[Mapping[str, JSONValue]] | Sequence[Mapping[str, str]]) -> None:
    """Writes one JSON object a line."""
    with _whole(path, "utf-8") as file:
        file.writelines(dump(dict(line)) + "\n" for line in lines)


@contextmanager
def _whole(path: Path, encoding: str) -> Iterator[TextIO]:
    """A file that is there as a whole once the block ends, and as it was before if the block does not end."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("w", encoding=encoding, newline="") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_csv(path: Path, columns: Sequence[str]) -> list[Line]:
    """Returns the lines of a CSV file, whichever of , ; and tab its cells are parted by; empty lines are left out.

    Raises:
        DataError: the file is no UTF-8 or UTF-16 text, or has no heading with `columns`.
    """
    text = _text(path)
    heading = text.partition("\n")[0]
    delimiter = max(",;\t", key=heading.count)
    if csv.field_size_limit() < len(text):
        csv.field_size_limit(min(len(text), sys.maxsize))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines: list[Line] = []
    names: list[str] = []
    try:
        while True:
            start = reader.line_num + 1
            cells = next(reader)
            if not names:
                names = [cell.strip().casefold() for cell in cells]
                _check_heading(path, names, columns)
            elif any(cell.strip() for cell in cells):
                fault = "" if len(cells) <= len(names) else f"has {len(cells)} cells, the heading {len(names)}"
                lines.append(Line(start, dict(zip(names, cells, strict=False)), fault))
    except StopIteration:
        pass
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: is not CSV ({error}). Save the sheet as CSV again.") from None
    _check_heading(path, names, columns)
    return lines


def read_jsonl(path: Path, columns: Sequence[str]) -> list[Line]:
    """Returns the lines of a JSONL file; a line that is no object of texts has a fault."""
    lines: list[Line] = []
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = parse(line)
        except RowError as error:
            lines.append(Line(number, {"line": line}, error.reason))
            continue
        if not isinstance(value, dict) or not set(columns) <= set(value):
            lines.append(Line(number, {"line": line}, f"is not an object with {', '.join(columns)}"))
            continue
        cells = {
            key: item if isinstance(item, str) else "" if item is None else dump(item) for key, item in value.items()
        }
        lines.append(Line(number, cells))
    return lines


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: is not UTF-8 text. Save it as CSV in UTF-8 (in a spreadsheet: 'CSV UTF-8'), or as JSON lines."
        ) from None


def _check_heading(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in names]
    if missing:
        raise DataError(f"{path}:1: has no column {', '.join(missing)}. Keep the heading as it was written.")
