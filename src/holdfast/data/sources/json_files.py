"""Rows of JSON files: the items of a list, of an object's `data` list, one object, or JSONL under another name.

Lists are read item by item, so that only one item has to fit into the memory.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING

from holdfast.data.rejected import RowError, visible
from holdfast.data.sources.json_lines import jsonl_rows
from holdfast.data.sources.opened import BLOCK, opened
from holdfast.data.sources.rows import MAX_ROW_BYTES, RawRow, start_of, visible_bytes
from holdfast.data.strict_json import after_space, parse, parse_at
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

_BAD_BYTE = re.compile("[\udc80-\udcff]")
_CLOSED_BY = {"[": "]", "{": "}"}
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[\[\]{}]', re.DOTALL)


def json_rows(path: Path, notes: list[str], *, guess: bool = False) -> Iterator[RawRow]:
    """Yields the items of a JSON list, of an object's `data` list, or of a file that is really JSONL."""
    said: list[str] = []
    with opened(path, said, guess=guess) as file:
        window = _Window(path, file, strict=not guess)
        first = window.next_character()
        if first == "[":
            notes.extend(said)
            window.position += 1
            yield from _items(window)
            return
        if first == "{" and not _is_lines(window) and _enter_data_list(window):
            notes.extend([*said, "the rows were taken from the list under `data`"])
            yield from _items(window, inside=True)
            return
    yield from _whole(path, notes, guess=guess)


class _Window:
    """The part of a file's text that is in memory, from `position` on the part not yet used."""

    def __init__(self, path: Path, file: BinaryIO, *, strict: bool) -> None:
        self._path = path
        self._file = file
        self._strict = strict
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._num_bytes = 0
        self.text = ""
        self.position = 0
        self.bad = False
        self.at_end = False

    @property
    def num_left(self) -> int:
        """Characters in memory that are not yet used."""
        return len(self.text) - self.position

    def fill(self) -> bool:
        """Reads on, about as much as is not yet used; returns whether anything came."""
        if self.at_end:
            return False
        content = self._file.read(max(BLOCK, self.num_left))
        text = self._decoder.decode(content, final=not content)
        if not text.isascii() and (match := _BAD_BYTE.search(text)):
            self.bad = True
            if self._strict:
                place = self._num_bytes + len(text[: match.start()].encode("utf-8", "surrogateescape")) + 1
                raise DataError(
                    f"{visible(str(self._path))}: byte {place} is not UTF-8. Save the file as UTF-8 and try again.",
                    param="training_file",
                )
        self._num_bytes += len(content)
        self.text = self.text[self.position :] + text
        self.position = 0
        self.at_end = not content
        return bool(content)

    def next_character(self) -> str:
        """Goes to the next character that is no space and returns it, or nothing at the end."""
        while True:
            self.position = after_space(self.text, self.position)
            if self.num_left or not self.fill():
                return self.text[self.position : self.position + 1]

    def rest(self) -> str:
        """Returns all that is left, shortened where it is longer than a row may be, and is at the end then."""
        while self.num_left <= MAX_ROW_BYTES and self.fill():
            pass
        text = self.text[self.position :]
        self.position = len(self.text)
        if self.at_end:
            return visible_bytes(text)
        length = len(text)
        while self.fill():
            length += len(self.text)
            self.position = len(self.text)
        return f"{start_of(visible_bytes(text[:1000]))} ({length} characters)"


def _items(window: _Window, *, inside: bool = False) -> Iterator[RawRow]:
    """The items of the list that the window stands in; `inside`: the list stands in an object."""
    number = 0
    while window.next_character() != "]":
        number += 1
        row, end = _item(window, number)
        if end is None:
            reason = f"{row.problem}; nothing after it can be read, so this and all later items are left out"
            yield RawRow(number, window.rest(), problem=RowError("json", reason))
            return
        yield row
        window.position = end
        if window.next_character() not in (",", "]"):
            problem = RowError("json", f"no comma or closing bracket after item {number}; the rest is left out")
            yield RawRow(number + 1, window.rest(), problem=problem)
            return
        window.position += window.text[window.position] == ","
    window.position += 1
    if inside:
        yield from _after_data_list(window, number + 1)
    elif window.next_character():
        yield RawRow(number + 1, window.rest().strip(), problem=RowError("json", "text after the end of the list"))


def _item(window: _Window, number: int) -> tuple[RawRow, int | None]:
    """The item at the window's position and where it ends; None where that cannot be said."""
    while True:
        value, problem, start = None, None, window.position
        try:
            value, end = parse_at(window.text, start, origin=start)
        except RowError as error:
            problem, end = error, _end_of_item(window.text, start)
        following = after_space(window.text, end or 0)
        complete = end is not None and window.text[following : following + 1] in (",", "]")
        # What looks wrong may only be cut off where the window ends.
        if complete or window.num_left > MAX_ROW_BYTES or not window.fill():
            break
    start = window.position
    text = window.text[start:end] if end is not None else ""
    if len(text) > MAX_ROW_BYTES:
        problem = RowError("too long", f"has {len(text)} characters; a row may have {MAX_ROW_BYTES}")
        return RawRow(number, start_of(visible_bytes(text)), problem=problem), end
    if problem is None and window.bad and _BAD_BYTE.search(text):
        problem = RowError("encoding", "has bytes that are not UTF-8")
    return RawRow(number, visible_bytes(text) if window.bad else text, value if problem is None else None, problem), end


def _end_of_item(text: str, position: int) -> int | None:
    """Where an item ends that is JSON but not usable JSON (a key twice, NaN, too deep); None if it is no JSON."""
    try:
        # Numbers stay text: one of more than 4,300 digits is an error, too.
        return json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(text, position)[1]
    except RecursionError:
        return _end_of_nested(text, position)
    except ValueError:
        return None


def _end_of_nested(text: str, position: int) -> int | None:
    """Where the brackets that open at `position` are closed again; None if they are not, or not in their order."""
    open_brackets: list[str] = []
    for match in _BRACKETS.finditer(text, position):
        found = match[0]
        if found in _CLOSED_BY:
            open_brackets.append(_CLOSED_BY[found])
        elif found in ("]", "}") and open_brackets.pop() != found:
            return None
        if not open_brackets:
            return match.end()
    return None


def _is_lines(window: _Window) -> bool:
    """Whether the first line is a JSON value and something follows it: JSONL."""
    while (end := window.text.find("\n", window.position)) < 0 and window.num_left <= MAX_ROW_BYTES:
        if not window.fill():
            return False
    try:
        parse(window.text[window.position : end])
    except RowError:
        return False
    following = after_space(window.text, end)
    return following < len(window.text) or not window.at_end


def _enter_data_list(window: _Window) -> bool:
    """Goes into the list under the key `data` of the object that starts here; stays where it is if none is near."""
    text, position = window.text, window.position + 1
    while True:
        try:
            key, position = parse_at(text, after_space(text, position))
            position = after_space(text, position)
            if text[position : position + 1] != ":":
                return False
            position = after_space(text, position + 1)
            if key == "data":
                break
            _, position = parse_at(text, position)
        except RowError:
            return False
        position = after_space(text, position)
        if text[position : position + 1] != ",":
            return False
        position += 1
    if text[position : position + 1] != "[":
        return False
    window.position = position + 1
    return True


def _after_data_list(window: _Window, number: int) -> Iterator[RawRow]:
    rest = window.rest()
    try:
        parse('{"data": 0' + rest)
    except RowError as error:
        reason = f"what follows the list under `data` is {error.reason}"
        yield RawRow(number, start_of(rest), problem=RowError("json", reason))


def _whole(path: Path, notes: list[str], *, guess: bool) -> Iterator[RawRow]:
    """The file as one value, or line by line if it is not one."""
    said: list[str] = []
    with opened(path, said, guess=guess) as file:
        window = _Window(path, file, strict=not guess)
        while window.num_left <= MAX_ROW_BYTES and window.fill():
            pass
    text = visible_bytes(window.text) if window.bad else window.text
    if window.num_left > MAX_ROW_BYTES and not any(map(_is_object, text.split("\n", 20)[:20])):
        raise DataError(
            f"{visible(str(path))}: more than {MAX_ROW_BYTES} characters of JSON, neither a list nor an object with "
            "the list `data` near its start. Save the rows as a list, or one a line (JSONL).",
            param="training_file",
        )
    try:
        if window.bad or window.num_left > MAX_ROW_BYTES:
            raise RowError("json", "not one value")
        value = parse(text)
    except RowError:
        notes.append("the file is not one JSON value, so it was read line by line (JSONL)")
        yield from jsonl_rows(path, notes, guess=guess)
        return
    notes.extend(said)
    yield RawRow(1, text.strip(), value)


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse(line), dict)
    except RowError:
        return False
