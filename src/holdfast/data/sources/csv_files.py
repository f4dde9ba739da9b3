"""Rows of CSV and TSV files, bad ones included, in the order of the file."""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError, visible
from holdfast.data.sources.opened import opened
from holdfast.data.sources.rows import MAX_ROW_BYTES, RawRow, start_of, visible_bytes
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any, BinaryIO

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def csv_rows(path: Path, notes: list[str], *, guess: bool = False) -> Iterator[RawRow]:
    """Yields a row for every record after the header; `line` is where the record starts."""
    with opened(path, notes, guess=guess) as file:
        lines = _Lines(file)
        delimiter = "\t" if ".tsv" in path.name.lower() else _delimiter(lines.peek())
        if delimiter != ",":
            notes.append(f"cells are separated by a {_DELIMITERS[delimiter]}")
        yield from _records(path, lines, csv.reader(lines, delimiter=delimiter, strict=True), notes)


def _delimiter(header: str) -> str:
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


class _TooLongError(Exception):
    """A record has more bytes than a row may have; `length` of them were passed over, from byte `start` on."""

    def __init__(self, start: int, length: int) -> None:
        super().__init__(f"{length} bytes from {start}")
        self.start = start
        self.length = length


class _Lines:
    """The physical lines of a file as text, one after another; remembers those taken since the last `take`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        self._first = self._file.readline(MAX_ROW_BYTES + 1)
        self._taken: list[str] = []
        self._num_taken = 0
        self._position = 0
        self.number = 0

    def peek(self) -> str:
        """Returns the first line, which stays to be read."""
        return self._first

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, self._first = self._first or self._file.readline(MAX_ROW_BYTES + 1), ""
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        self._num_taken += _num_bytes(line)
        if self._num_taken > MAX_ROW_BYTES:
            while not line.endswith(("\n", "\r")) and (line := self._file.readline(1 << 20)):
                self._num_taken += _num_bytes(line)
            raise _TooLongError(self._position + 1, self._num_taken)
        return line

    def take(self) -> str:
        """Returns the lines since the last `take`."""
        taken = "".join(self._taken)
        self._taken = []
        self._position += self._num_taken
        self._num_taken = 0
        return taken


def _num_bytes(line: str) -> int:
    return len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))


def _next_record(reader: Iterator[list[str]]) -> list[str]:
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses cells above 128 KB; it holds for the whole process
    try:
        return next(reader)
    finally:
        csv.field_size_limit(limit)


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    place = visible(str(path))
    try:
        header = [name.strip() for name in _next_record(reader)]
    except (csv.Error, _TooLongError) as error:
        raise DataError(f"{place}: the header line is not CSV ({error}).", param="training_file") from error
    except StopIteration:
        raise DataError(f"{place}: the file is empty.", param="training_file") from None
    twice = sorted({name for name in header if header.count(name) > 1 or not name}) if len(header) < 10_000 else ["…"]
    if twice or not header:
        raise DataError(
            f"{place}: column names must differ and not be empty; look at {visible(', '.join(map(repr, twice)))}.",
            param="training_file",
        )
    return header


def _records(path: Path, lines: _Lines, reader: Any, notes: list[str]) -> Iterator[RawRow]:  # noqa: ANN401 - csv names no type
    header = _header(path, reader)
    lines.take()
    num_empty = 0
    while True:
        start = lines.number + 1
        try:
            cells = _next_record(reader)
        except StopIteration:
            break
        except _TooLongError as error:
            yield RawRow(start, start_of(visible_bytes(lines.take())), problem=_length_problem(error, lines.number))
            continue
        except csv.Error as error:
            yield RawRow(start, visible_bytes(lines.take()), problem=_csv_problem(error, start, lines.number))
            continue
        raw = lines.take()
        if not cells:
            num_empty += 1
            continue
        yield _record(start, raw, cells, header)
    if num_empty:
        notes.append(f"{num_empty} empty lines were skipped")


def _record(start: int, raw: str, cells: list[str], header: list[str]) -> RawRow:
    text = raw.rstrip("\r\n")
    if not text.isascii():
        text = visible_bytes(text)
    if len(cells) != len(header):
        problem = RowError("columns", f"has {len(cells)} cells where the header has {len(header)}")
        return RawRow(start, text, problem=problem)
    if not raw.isascii() and any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return RawRow(start, text, problem=RowError("encoding", "has bytes that are not UTF-8"))
    return RawRow(start, text, dict(zip(header, cells, strict=True)))


def _length_problem(error: _TooLongError, end: int) -> RowError:
    return RowError(
        "too long",
        f"has {error.length} bytes, from byte {error.start} to the end of line {end}; a row may have {MAX_ROW_BYTES}. "
        "Only its start is kept (a quote that is never closed looks like this, too)",
    )


def _csv_problem(error: csv.Error, start: int, end: int) -> RowError:
    if "unexpected end" in str(error):
        return RowError("csv", f"a quote that opens here is never closed; lines {start} to {end} are left out")
    return RowError("csv", f"not CSV: {error}")
