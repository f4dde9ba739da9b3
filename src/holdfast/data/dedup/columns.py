"""Columns of numbers and texts that grow on disk, so that millions of rows need no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray


class Column:
    """Numbers of one type in one file: appended in reading order, then read as a memory map."""

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self._file = path.open("wb")
        self._length = 0
        self._read: NDArray | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, values: NDArray) -> None:
        """Adds `values` at the end."""
        values = np.ascontiguousarray(values, dtype=self.dtype)
        self._file.write(values.data)
        self._length += len(values)

    def read(self) -> NDArray:
        """Returns all numbers so far, read from disk as they are touched."""
        if self._read is None or len(self._read) != self._length:
            self._file.flush()
            self._read = mapped(self.path, self.dtype, (self._length,))
        return self._read


class TextColumn:
    """Texts in one file, each found by its number in the order of appending."""

    def __init__(self, folder: Path, name: str) -> None:
        self._bytes = Column(folder / f"{name}.txt", np.uint8)
        self._stops = Column(folder / f"{name}.stops", np.int64)

    def __len__(self) -> int:
        return len(self._stops)

    def append(self, texts: Sequence[str]) -> None:
        """Adds `texts` at the end."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        stops = np.cumsum([len(text) for text in encoded], dtype=np.int64) + len(self._bytes)
        self._bytes.append(np.frombuffer(b"".join(encoded), dtype=np.uint8))
        self._stops.append(stops)

    def read(self, indices: NDArray | Sequence[int]) -> list[str]:
        """Returns the texts at `indices`."""
        stops, data = self._stops.read(), self._bytes.read()
        starts = [int(stops[i - 1]) if i else 0 for i in indices]
        return [
            data[start : int(stops[i])].tobytes().decode("utf-8", "surrogatepass")
            for start, i in zip(starts, indices, strict=True)
        ]


def mapped(path: Path, dtype: DTypeLike, shape: tuple[int, ...], *, new: bool = False) -> NDArray:
    """Returns the numbers in a file as an array that lives on disk; `new` makes the file, to be written to."""
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    # A plain array over the map: single numbers are read many times faster.
    return np.asarray(np.memmap(path, dtype=dtype, mode="w+" if new else "r", shape=shape))
