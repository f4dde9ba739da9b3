"""What a worker does when the disk is full: it has kept some space for itself, so that it can say so."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_BYTES = 4 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SAID = ("disk is full", os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""How SQLite, PostgreSQL and safetensors say it, whose errors have no number."""
MESSAGE = (
    "The disk is full. Free some space and order the same again: it goes on from the last checkpoint, and everything "
    "from before is kept."
)


def is_full(error: BaseException) -> bool:
    """Tells whether an error, or what caused it, is a full disk."""
    cause: BaseException | None = error
    while cause is not None:
        if (isinstance(cause, OSError) and cause.errno in _FULL) or any(words in str(cause) for words in _SAID):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class Reserve:
    """A file that only takes space, given up when there is no other left for the last words."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "reserve"

    def fill(self) -> None:
        """Takes the space, if there is any and it is not taken yet."""
        if self._path.exists() and self._path.stat().st_size == RESERVE_BYTES:
            return
        try:
            with self._path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """Frees the space."""
        self._path.unlink(missing_ok=True)
