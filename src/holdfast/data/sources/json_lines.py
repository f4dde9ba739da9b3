"""Rows of JSONL files, bad ones included, in the order of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError
from holdfast.data.sources.opened import opened
from holdfast.data.sources.rows import MAX_ROW_BYTES, RawRow, start_of
from holdfast.data.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO


def jsonl_rows(path: Path, notes: list[str], *, guess: bool = False) -> Iterator[RawRow]:
    """Yields a row for every line that is not empty. Lines end at LF only, so no other character splits one."""
    num_empty = 0
    start = 0
    with opened(path, notes, guess=guess) as file:
        for number, (line, length) in enumerate(_lines(file), start=1):
            if length > MAX_ROW_BYTES:
                yield _too_long(line, length, start, number)
            elif line.strip():
                yield _json_row(line.rstrip(b"\r\n"), number)
            else:
                num_empty += 1
            start += length
    if num_empty:
        notes.append(f"{num_empty} empty lines were skipped")


def _lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Lines with their length in bytes; of one that is too long only the start comes."""
    while line := file.readline(MAX_ROW_BYTES + 1):
        length = len(line)
        if length > MAX_ROW_BYTES:
            line, last = line[:1000], line[-1:]
            while last != b"\n" and (more := file.readline(1 << 20)):
                length += len(more)
                last = more[-1:]
        yield line, length


def _too_long(line: bytes, length: int, start: int, number: int) -> RawRow:
    reason = (
        f"is a line of {length} bytes, from byte {start + 1} on; a row may have {MAX_ROW_BYTES}. Only its start is kept"
    )
    return RawRow(number, start_of(line.decode("utf-8", "backslashreplace")), problem=RowError("too long", reason))


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
