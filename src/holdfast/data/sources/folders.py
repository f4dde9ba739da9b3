"""The files under a folder or like a pattern: in sorted order, each once, and none from outside.

Hidden files and folders are left out. A link is followed only if it leads to a file or folder inside, and a file that
has two names is read once. What is no regular file (a pipe, a socket, a device) is never opened. All of that is said.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.rejected import visible
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAGIC = re.compile(r"[*?\[]")
_HIDDEN = (".", "~$")  # the second are the locks of office programs
_MAX_NAMED = 20
_MAX_DEPTH = 64


def is_pattern(source: str) -> bool:
    """Whether a source is a pattern of file names (`data/*.jsonl`, `**` for any folders)."""
    return bool(_MAGIC.search(source)) and "://" not in source


def files_under(folder: Path, notes: list[str]) -> Iterator[Path]:
    """Yields the regular files under a folder, names sorted, each folder's own before those of the folders in it."""
    yield from _Walk(folder, notes).files()


def files_like(pattern: str, notes: list[str]) -> Iterator[Path]:
    """Yields the regular files whose path is like a pattern; raises `DataError` if its fixed part is no folder."""
    parts = Path(pattern).parts
    num_fixed = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    folder = Path(*parts[:num_fixed])
    wanted = parts[num_fixed:]
    if not folder.is_dir():
        raise DataError(f"{visible(pattern)}: there is no folder {visible(str(folder))}.", param="training_file")
    depth = _MAX_DEPTH if "**" in wanted else len(wanted)
    like = re.compile(_translated(wanted), re.DOTALL)
    for path in _Walk(folder, notes, depth).files():
        if like.fullmatch(path.relative_to(folder).as_posix()):
            yield path


def _translated(parts: tuple[str, ...]) -> str:
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += "(?:.*/)?[^/]*" if last else "(?:.*/)?"
        else:
            expression += _of_one_name(part) + ("" if last else "/")
    return expression


def _of_one_name(part: str) -> str:
    """`*`, `?` and `[…]` as the shell means them, none of which matches a slash."""
    tokens = re.findall(r"\[!?\]?[^\]]*\]|.", part, re.DOTALL)
    known = {"*": "[^/]*", "?": "[^/]"}
    expression = ""
    for token in tokens:
        if len(token) > 1:
            inside = token[1:-1].replace("\\", r"\\").replace("[", r"\[").replace("/", "")
            inside = "^" + inside[1:] if inside.startswith("!") else inside
            expression += f"[{inside}]"
        else:
            expression += known.get(token) or re.escape(token)
    return expression


class _Walk:
    def __init__(self, folder: Path, notes: list[str], depth: int = _MAX_DEPTH) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)
        self._notes = notes
        self._depth = depth
        self._seen: set[tuple[int, int]] = set()
        self._folders: set[str] = set()
        self._skipped: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {}

    def files(self) -> Iterator[Path]:
        yield from self._under(self._folder, self._depth)
        for reason, number in sorted(self._skipped.items()):
            named = ", ".join(self._named[reason]) + (", …" if number > len(self._named[reason]) else "")
            self._notes.append(visible(f"{self._folder}: left out, {reason}: {named}"))

    def _under(self, folder: Path, depth: int) -> Iterator[Path]:
        if not self._enter(folder, depth):
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, f"not readable ({error.strerror or error})")
            return
        deeper: list[Path] = []
        for entry in entries:
            path = folder / entry.name
            mode = self._mode(entry, path)
            if mode is None:
                continue
            if stat.S_ISDIR(mode):
                deeper.append(path)
            elif self._may_be_read(path, mode):
                yield path
        for path in deeper:
            yield from self._under(path, depth - 1)

    def _enter(self, folder: Path, depth: int) -> bool:
        real = os.path.realpath(folder)
        if depth == 0:
            if self._depth == _MAX_DEPTH:  # else the pattern asks for no more
                self._skip(folder, f"folders more than {_MAX_DEPTH} deep")
            return False
        if real in self._folders:
            self._skip(folder, "folders that were read under another name")
            return False
        self._folders.add(real)
        return True

    def _may_be_read(self, path: Path, mode: int) -> bool:
        if not stat.S_ISREG(mode):
            self._skip(path, "no regular files (pipes, sockets, devices)")
            return False
        return self._first_time(path)

    def _mode(self, entry: os.DirEntry[str], path: Path) -> int | None:
        """What kind of thing stands there; None for what is not to be followed, which is noted."""
        if entry.name.startswith(_HIDDEN):
            self._skip(path, "hidden")
            return None
        try:
            if entry.is_symlink():
                real = os.path.realpath(path)
                if os.path.commonpath([real, self._root]) != self._root:
                    self._skip(path, "links that lead out of the folder")
                    return None
            return os.stat(path).st_mode
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._skip(path, f"not readable ({why})")
            return None

    def _first_time(self, path: Path) -> bool:
        found = os.stat(path)
        key = (found.st_dev, found.st_ino)
        if key in self._seen:
            self._skip(path, "files that were read under another name")
            return False
        self._seen.add(key)
        return True

    def _skip(self, path: Path, reason: str) -> None:
        self._skipped[reason] += 1
        named = self._named.setdefault(reason, [])
        if len(named) < _MAX_NAMED:
            named.append(path.relative_to(self._folder).as_posix())
