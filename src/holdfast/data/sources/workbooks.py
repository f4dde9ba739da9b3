"""Rows of XLSX workbooks: the values of one sheet, whose first row with anything in it names the columns.

Formulas count by the value that was stored with them. A row with an error (#N/A), with a formula that was never
calculated or with a cell that is damaged is rejected with the cell's name.
"""

from __future__ import annotations

import re
import warnings
from itertools import islice
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import RowError, visible
from holdfast.data.sources.archives import check_archive
from holdfast.data.sources.cells import plain
from holdfast.data.sources.rows import RawRow, spelled
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any
    from xml.etree.ElementTree import Element

    from openpyxl import Workbook

    from holdfast.types import JSONValue

    Cells = dict[int, JSONValue | RowError]

_SHEETS = re.compile(r"(.+\.xlsx):([^/\\:]+)", re.DOTALL | re.IGNORECASE)
_FAULTS = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, OSError, SyntaxError, AssertionError)
"""What openpyxl raises on damaged workbooks; a parse error of XML is a SyntaxError."""


def split_sheet(source: str) -> tuple[str, str | None]:
    """Returns the file and the sheet of `book.xlsx:SHEET`; None for the sheet where none is named."""
    match = _SHEETS.fullmatch(source)
    return (match[1], match[2]) if match else (source, None)


def workbook_rows(path: Path, notes: list[str], sheet: str | None = None) -> Iterator[RawRow]:
    """Yields a row for every row of a sheet below its header that is not empty; `line` is its number in the sheet."""
    check_archive(path, "XLSX")
    number = 0
    rows = _sheet_rows(path, notes, sheet)
    try:
        header: dict[int, str] = {}
        num_empty = 0
        while some := _next_rows(rows):
            for number, cells in some:
                if not cells:
                    num_empty += 1
                elif not header:
                    header = _header(path, number, cells)
                else:
                    yield _row(number, cells, header)
        if num_empty:
            notes.append(f"{num_empty} empty rows were skipped")
    except _FAULTS as error:
        if isinstance(error, DataError):
            raise
        where = f"after row {number}" if number else "from the start"
        raise DataError(
            f"{visible(str(path))}: this workbook cannot be read {where} ({visible(str(error))[:200]}). Save it again.",
            param="training_file",
        ) from error
    if not header:
        raise DataError(f"{visible(str(path))}: the sheet is empty.", param="training_file")


def _next_rows(rows: Iterator[tuple[int, Cells]]) -> list[tuple[int, Cells]]:
    with warnings.catch_warnings():  # about styles and extensions, which hold no data
        warnings.simplefilter("ignore")
        return list(islice(rows, 200))


def _sheet_rows(path: Path, notes: list[str], sheet: str | None) -> Iterator[tuple[int, Cells]]:
    from openpyxl import load_workbook
    from openpyxl.worksheet._reader import WorkSheetParser  # the public reader drops rows that have a number twice

    class Parser(WorkSheetParser):
        def parse_row(self, row: Element) -> tuple[int, Cells]:  # pyright: ignore[reportIncompatibleMethodOverride] - cells by column
            self.row_counter = int(row.get("r") or self.row_counter + 1)
            self.col_counter = 0
            cells: Cells = {}
            for element in row:
                column, value = self._value(element)
                if value is not None:
                    cells[column] = value
            return self.row_counter, cells

        def _value(self, element: Element) -> tuple[int, JSONValue | RowError]:
            try:
                cell = self.parse_cell(element)
            except _FAULTS as error:
                self.col_counter += 1
                return self.col_counter, RowError("cell", f"its cell {element.get('r')} is damaged ({error})")
            return cell["column"], _problem(cell, element) or plain(cell["value"])

    workbook = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        names = workbook.sheetnames
        chosen = sheet if sheet is not None else _first_sheet(path, workbook, notes)
        if chosen not in names:
            raise DataError(
                f"{visible(str(path))}: has no sheet {chosen!r}. There are: {visible(', '.join(names))}.",
                param="training_file",
            )
        found: Any = workbook[chosen]
        book: Any = workbook
        with found._get_source() as source:
            parser = Parser(
                source,
                found._shared_strings,
                data_only=True,
                epoch=book.epoch,
                date_formats=book._date_formats,
                timedelta_formats=book._timedelta_formats,
            )
            yield from cast("Iterator[tuple[int, Cells]]", parser.parse())
    finally:
        workbook.close()


def _first_sheet(path: Path, workbook: Workbook, notes: list[str]) -> str:
    names = [sheet.title for sheet in workbook.worksheets]
    if not names:
        raise DataError(f"{visible(str(path))}: the workbook has no sheet with cells.", param="training_file")
    if len(names) > 1:
        notes.append(
            visible(f"the sheet {names[0]!r} was read (not read: {', '.join(names[1:])}; name one as FILE:SHEET)")
        )
    return names[0]


def _problem(cell: Mapping[str, object], element: Element) -> RowError | None:
    name = element.get("r") or f"in column {cell['column']}"
    if cell["data_type"] == "e":
        return RowError("cell", f"its cell {name} is the error {cell['value']}")
    if cell["value"] is None and any(child.tag.endswith("}f") for child in element):
        return RowError(
            "cell",
            f"its cell {name} is a formula without a stored value; open the workbook in a spreadsheet program, save it",
        )
    return None


def _header(path: Path, number: int, cells: Cells) -> dict[int, str]:
    header = {column: str(value).strip() for column, value in cells.items()}
    names = list(header.values())
    twice = sorted({name for name in names if names.count(name) > 1 or not name})
    wrong = twice or [str(value) for value in cells.values() if isinstance(value, RowError)]
    if wrong:
        raise DataError(
            f"{visible(str(path))}: the first row with anything in it (row {number}) must name the columns; names must "
            f"differ. Look at {visible(', '.join(map(repr, wrong)))}.",
            param="training_file",
        )
    return header


def _row(number: int, cells: Cells, header: dict[int, str]) -> RawRow:
    named = {header.get(column, f"column {column}"): value for column, value in cells.items()}
    problems = [value for value in named.values() if isinstance(value, RowError)]
    unknown = [column for column in cells if column not in header]
    if unknown and not problems:
        problems = [RowError("columns", f"has a value in column {unknown[0]}, which the header does not name")]
    if problems:
        return RawRow(number, visible(spelled(named)), problem=problems[0])
    values = cast("dict[str, JSONValue]", named)
    return RawRow(number, "", {name: values.get(name) for name in header.values()})
