"""Rows of JSONL, JSON, CSV and TSV files (also gzipped), bad ones included, in the order of the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import parse, parse_at
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.types import JSONValue

_BOM = b"\xef\xbb\xbf"
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it stands in its source: a value, or the problem that keeps it from being one."""

    line: int
    raw: str
    value: JSONValue = None
    problem: RowError | None = None


def jsonl_rows(path: Path, notes: list[str]) -> Iterator[RawRow]:
    """Yields a row for every line that is not empty. Lines end at LF only, so no other character splits one."""
    content = read_bytes(path, notes)
    num_empty = 0
    start = 0
    number = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        number += 1
        line = content[start:end].rstrip(b"\r")
        start = end + 1
        if not line.strip():
            num_empty += 1
            continue
        yield _json_row(line, number)
    if num_empty:
        notes.append(f"{num_empty} empty lines were skipped")


def json_rows(path: Path, notes: list[str]) -> Iterator[RawRow]:
    """Yields the items of a JSON list, of an object's `data` list, or of a file that is really JSONL."""
    content = read_bytes(path, notes)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start + 1} is not UTF-8. Save the file as UTF-8 and try again."
        ) from error
    if text.lstrip().startswith("["):
        yield from _list_items(text, text.index("[") + 1)
        return
    try:
        value = parse(text)
    except RowError:
        notes.append("the file is not one JSON value, so it was read line by line (JSONL)")
        yield from jsonl_rows(path, [])
        return
    items = value.get("data") if isinstance(value, dict) else None
    if isinstance(items, list):
        notes.append("the rows were taken from the list under `data`")
        yield from (RawRow(number, _spelled(item), item) for number, item in enumerate(items, start=1))
    else:
        yield RawRow(1, text.strip(), value)


def csv_rows(path: Path, notes: list[str]) -> Iterator[RawRow]:
    """Yields a row for every record after the header; `line` is where the record starts."""
    text = read_bytes(path, notes).decode("utf-8", "surrogateescape")
    delimiter = "\t" if ".tsv" in path.name else _delimiter(text)
    if delimiter != ",":
        notes.append(f"cells are separated by a {_DELIMITERS[delimiter]}")
    limit = csv.field_size_limit(sys.maxsize)  # the default refuses cells above 128 KB
    try:
        yield from _records(path, text, delimiter, notes)
    finally:
        csv.field_size_limit(limit)


def read_bytes(path: Path, notes: list[str]) -> bytes:
    """Returns the file's bytes, unzipped, without a byte order mark; raises `DataError` if that cannot be."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: the gzip file is damaged or cut off ({error}). Copy it again.") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the file is UTF-16. Save it as UTF-8 and try again.")
    if not content.strip(b"\r\n\t \xef\xbb\xbf"):
        raise DataError(f"{path}: the file is empty.")
    if content.startswith(_BOM):
        notes.append("a byte order mark at the start was removed")
        return content[len(_BOM) :]
    return content


def _json_row(line: bytes, number: int) -> RawRow:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        problem = RowError("encoding", f"byte {error.start + 1} (0x{line[error.start]:02x}) is not UTF-8")
        return RawRow(number, line.decode("utf-8", "backslashreplace"), problem=problem)
    try:
        return RawRow(number, text, parse(text))
    except RowError as error:
        return RawRow(number, text, problem=error)


def _list_items(text: str, position: int) -> Iterator[RawRow]:
    number = 0
    while True:
        position = _after(text, position, " \t\r\n")
        if text[position : position + 1] == "]":
            break
        number += 1
        try:
            value, end = parse_at(text, position)
        except RowError as error:
            end = _end_of_item(text, position)
            if end is None:
                reason = f"{error.reason}; nothing after it can be read, so this and all later items are left out"
                yield RawRow(number, text[position:], problem=RowError("json", reason))
                return
            yield RawRow(number, text[position:end], problem=error)
        else:
            yield RawRow(number, text[position:end], value)
        position = _after(text, end, " \t\r\n")
        if text[position : position + 1] not in (",", "]"):
            problem = RowError("json", f"no comma or closing bracket after item {number}; the rest is left out")
            yield RawRow(number + 1, text[position:], problem=problem)
            return
        position += text[position] == ","
    rest = text[position + 1 :].strip()
    if rest:
        yield RawRow(number + 1, rest, problem=RowError("json", "text after the end of the list"))


def _end_of_item(text: str, position: int) -> int | None:
    """Where an item ends that is JSON but not usable JSON (a key twice, NaN); None if it is no JSON."""
    try:
        return json.JSONDecoder().raw_decode(text, position)[1]
    except (ValueError, RecursionError):
        return None


def _after(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _spelled(value: JSONValue) -> str:
    return json.dumps(value, ensure_ascii=False)


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


class _Lines:
    """The physical lines of a text; remembers those taken since the last `take`."""

    def __init__(self, text: str) -> None:
        self._lines = io.StringIO(text, newline="")
        self._taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.number += 1
            self._taken.append(line)
            yield line

    def take(self) -> str:
        taken, self._taken = "".join(self._taken), []
        return taken


def _records(path: Path, text: str, delimiter: str, notes: list[str]) -> Iterator[RawRow]:
    lines = _Lines(text)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
    except csv.Error as error:
        raise DataError(f"{path}: the header line is not CSV ({error}).") from error
    twice = sorted({name for name in header if header.count(name) > 1 or not name})
    if twice:
        raise DataError(f"{path}: column names must differ and not be empty; look at {', '.join(map(repr, twice))}.")
    lines.take()
    num_empty = 0
    while True:
        start = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            yield RawRow(start, _visible(lines.take()), problem=_csv_problem(error, start, lines.number))
            continue
        raw = lines.take()
        if not cells:
            num_empty += 1
            continue
        yield _record(start, raw, cells, header)
    if num_empty:
        notes.append(f"{num_empty} empty lines were skipped")


def _record(start: int, raw: str, cells: list[str], header: list[str]) -> RawRow:
    visible = _visible(raw).rstrip("\r\n")
    if len(cells) != len(header):
        problem = RowError("columns", f"has {len(cells)} cells where the header has {len(header)}")
        return RawRow(start, visible, problem=problem)
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return RawRow(start, visible, problem=RowError("encoding", "has bytes that are not UTF-8"))
    return RawRow(start, visible, dict(zip(header, cells, strict=True)))


def _csv_problem(error: csv.Error, start: int, end: int) -> RowError:
    if "unexpected end" in str(error):
        return RowError("csv", f"a quote that opens here is never closed; lines {start} to {end} are left out")
    return RowError("csv", f"not CSV: {error}")


def _visible(text: str) -> str:
    """Returns `text` with bytes that were not UTF-8 written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
