"""The folder of one run: every finished part is a file that appears whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from holdfast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.types import JSONValue

T = TypeVar("T")


class RunFolder:
    """What a run has finished so far, on disk.

    `once(name, make)` is the whole resume logic: a part that is there is read back, a part that is not
    is made and then written in one rename, so a process killed at any moment leaves no half part.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, make: Callable[[], JSONValue]) -> JSONValue:
        """Returns the part `name`, making and keeping it if it is not there yet."""
        found = self.read(name)
        if found is None:
            found = make()
            self.write(name, found)
        return found

    def read(self, name: str) -> JSONValue:
        """Returns the part `name`, or None if the run has not come that far."""
        path = self.path / f"{name}.json"
        if not path.exists():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}). Delete the run's folder {self.path} to start it anew.") from error

    def write(self, name: str, value: JSONValue) -> None:
        """Keeps `value` as the part `name`, replacing what was there."""
        write_atomically(self.path / f"{name}.json", json.dumps(value, ensure_ascii=False))


def write_atomically(path: Path, text: str) -> None:
    """Writes `text` so that a reader sees the old file or the new one, whatever happens in between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, or says that another process does; a killed process lets go by itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = "Another `holdfast learn` is running in this workspace. Wait for it, or stop it (its work is kept)."
            raise StoreError(f"{text} Lock: {path}.") from error
        yield
