"""The folder of one run: every finished part is a file that appears whole or not at all."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from holdfast.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.types import JSONValue


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
            raise StoreError(
                f"{path} is damaged ({error}). Delete the run's folder {self.path} to start it anew."
            ) from error

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
