"""Rows on their way through the checks, in chunks: in memory while they are few, in a folder when they are many."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from holdfast.data.check import Row, text_of
from holdfast.data.rejected import Rejected

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from holdfast.types import Example

CHUNK_ROWS = 4096
CHUNK_CHARACTERS = 8 * 1024 * 1024
"""A chunk ends with whichever comes first."""
HELD_CHARACTERS = 128 * 1024 * 1024
"""So much text stays in memory; chunks beyond it lie in the folder."""


@dataclass(frozen=True, slots=True)
class Tracked:
    """A row with its history: as it came, where it was changed, and which checks changed it how.

    `held_out` rows were given as a test: they are repaired like all others, and never trained on.
    """

    row: Row
    before: Example | None = None
    by: tuple[str, ...] = ()
    what: tuple[str, ...] = ()
    held_out: bool = False

    @property
    def original(self) -> Example:
        """The example as it was read."""
        return self.row.example if self.before is None else self.before

    def changed(self, example: Example, check: str, what: str) -> Tracked:
        """Returns the row as one more check left it."""
        row = replace(self.row, example=example)
        return replace(self, row=row, before=self.original, by=(*self.by, check), what=(*self.what, what))


class Rows:
    """Chunks of rows that can be gone through again and again, and replaced one by one.

    What lies in `folder` was written by this process and is read by no other.
    """

    def __init__(self, folder: Path, held: int = HELD_CHARACTERS) -> None:
        self._folder = folder
        self._held = held
        self._chunks: list[list[Tracked] | Path] = []
        self._in_memory = 0
        self._num_files = 0

    def __len__(self) -> int:
        """Returns how many chunks there are."""
        return len(self._chunks)

    def append(self, chunk: Sequence[Tracked]) -> None:
        """Adds a chunk at the end."""
        self._chunks.append(self._kept(list(chunk)))

    def chunks(self) -> Iterator[tuple[int, list[Tracked]]]:
        """Yields every chunk with its place, for `replace`."""
        for place, chunk in enumerate(self._chunks):
            yield place, chunk if isinstance(chunk, list) else pickle.loads(chunk.read_bytes())  # noqa: S301 - our own

    def replace(self, place: int, chunk: Sequence[Tracked]) -> None:
        """Puts a chunk in the place of another."""
        old = self._chunks[place]
        if isinstance(old, list):
            self._in_memory -= _size(old)
        else:
            old.unlink()
        self._chunks[place] = self._kept(list(chunk))

    def tracked(self) -> Iterator[Tracked]:
        """Yields every row in reading order."""
        for _, chunk in self.chunks():
            yield from chunk

    def _kept(self, chunk: list[Tracked]) -> list[Tracked] | Path:
        size = _size(chunk)
        if self._in_memory + size <= self._held:
            self._in_memory += size
            return chunk
        self._num_files += 1
        path = self._folder / f"rows.{self._num_files}"
        path.write_bytes(pickle.dumps(chunk, protocol=pickle.HIGHEST_PROTOCOL))
        return path


def taken_in(
    stream: Iterable[Example | Rejected], rows: Rows, *, first: int = 0, held_out: bool = False
) -> Generator[Rejected, None, int]:
    """Puts the examples of `stream` into `rows`, numbered from `first` on, and yields those that are none.

    Returns the number that comes next.
    """
    chunk: list[Tracked] = []
    characters = 0
    number = first - 1
    for number, item in enumerate(stream, first):
        if isinstance(item, Rejected):
            yield item
            continue
        chunk.append(Tracked(Row(number, item), held_out=held_out))
        characters += _length(item)
        if len(chunk) >= CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            rows.append(chunk)
            chunk, characters = [], 0
    if chunk:
        rows.append(chunk)
    return number + 1


def _size(chunk: Sequence[Tracked]) -> int:
    return sum(_length(one.row.example) + (_length(one.before) if one.before else 0) for one in chunk)


def _length(example: Example) -> int:
    return 200 + len(text_of(example))  # about what the objects around the text take
