"""Files as a stream of UTF-8: unzipped, without a byte order mark, never whole in memory, regular files only."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from holdfast.data.rejected import visible
from holdfast.data.sources.encodings import AsUtf8, mark_of
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

BLOCK = 1 << 20
"""Bytes that are read at once."""
_BOMB_BYTES = 1 << 30
_BOMB_RATIO = 1000
_BOM = b"\xef\xbb\xbf"
_BLANK = b"\r\n\t " + _BOM
_MAX_BLANK = 8 * BLOCK


@contextmanager
def opened(path: Path, notes: list[str], *, guess: bool) -> Iterator[BinaryIO]:
    """Opens a file for reading as UTF-8, unzipped, without its byte order mark; raises `DataError` if that cannot be.

    With `guess`, files in UTF-16, UTF-32 or another encoding are decoded, and a note says which was taken. Without,
    bytes come as they are, and UTF-16 is refused.
    """
    with _raw(path) as file:
        source = _Guarded(path, file)
        head = source.block()
        while not head.strip(_BLANK) and len(head) < _MAX_BLANK and (more := source.block()):
            head += more
        if not head.strip(_BLANK) and len(head) < _MAX_BLANK:
            raise DataError(f"{visible(str(path))}: the file is empty.", param="training_file")
        marked = mark_of(head)
        if marked == "utf-8":
            notes.append("a byte order mark at the start was removed")
            head = head[len(_BOM) :]
        elif marked and not guess:
            raise DataError(
                f"{path}: the file is {marked.upper()}. Save it as UTF-8 and try again, or let `holdfast prepare` "
                "decode it.",
                param="training_file",
            )
        source.put_back(head)
        yield io.BufferedReader(AsUtf8(source.block, marked, notes) if guess else source, BLOCK)


def check_regular(path: Path) -> os.stat_result:
    """Returns what the system says of a regular file; raises `DataError` for anything else, which is never opened."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{visible(str(path))}: cannot be read ({_why(error)}).", param="training_file") from error
    if not stat.S_ISREG(found.st_mode):
        raise DataError(
            f"{visible(str(path))}: is not a regular file. Save the data to a file first.", param="training_file"
        )
    return found


@contextmanager
def _raw(path: Path) -> Iterator[BinaryIO]:
    small = check_regular(path).st_size <= BLOCK
    try:
        # A small file is read at once, so that it cannot change under the reader.
        file = io.BytesIO(path.read_bytes()) if small else path.open("rb")
    except OSError as error:
        raise DataError(f"{visible(str(path))}: cannot be read ({_why(error)}).", param="training_file") from error
    with file:
        yield file


def _why(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class _Guarded(io.RawIOBase):
    """The bytes of a file, unzipped if it is a `.gz`; what goes wrong while reading is a `DataError`."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._zipped = path.suffix.lower() == ".gz"
        self._stream = gzip.GzipFile(fileobj=file) if self._zipped else file
        self._num_bytes = 0
        self._waiting = b""

    def put_back(self, content: bytes) -> None:
        """Takes bytes back, which come first when reading goes on."""
        self._waiting = content + self._waiting

    def block(self) -> bytes:
        """Returns the next bytes, `BLOCK` of them where there are so many; none at the end."""
        if self._waiting:
            content, self._waiting = self._waiting, b""
            return content
        name = visible(str(self._path))
        try:
            content = self._stream.read(BLOCK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{name}: the gzip file is damaged or cut off ({error}). Copy it again.", param="training_file"
            ) from error
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({_why(error)}).", param="training_file") from error
        self._num_bytes += len(content)
        if self._zipped and self._num_bytes > _BOMB_BYTES and self._num_bytes > _BOMB_RATIO * self._file.tell():
            raise DataError(
                f"{name}: {self._file.tell()} bytes of gzip have become {self._num_bytes} bytes, more than "
                f"{_BOMB_RATIO} for one. No real data is so; the file is not read further.",
                param="training_file",
            )
        return content

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills a buffer as far as there are bytes and returns their number."""
        view = memoryview(buffer).cast("B")
        content = self.block()
        self._waiting = content[len(view) :]
        content = content[: len(view)]
        view[: len(content)] = content
        return len(content)
