"""A passage of a document, and how passages are gathered under headings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.data.rejected import visible

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_CHARACTERS = 20_000
"""A section longer than this comes in parts, which end where a paragraph ends."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document's text with its place.

    `source` names the place for people (`handbook.pdf:page 3`, `guide.md:## Returns`), `page` counts from 1 where
    there are pages, `section` is the path of headings above the text (`Guide > Returns`).
    """

    text: str
    source: str
    page: int | None = None
    section: str | None = None


@dataclass(slots=True)
class Sections:
    """Gathers blocks of text under the headings before them; `name` is the document's."""

    name: str
    _path: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    _blocks: list[str] = field(default_factory=list[str])
    _length: int = 0
    _part: int = 0
    _names: Counter[str] = field(default_factory=Counter[str])
    _open: bool = False

    def heading(self, level: int, title: str) -> Iterator[Passage]:
        """Ends the section before and begins another of level 1 to 6."""
        # A heading with nothing under it is text itself, unless what follows belongs to it.
        yield from self.end(below=bool(self._path) and level > self._path[-1][0])
        self._path = [(above, name) for above, name in self._path if above < level] + [(level, title)]
        self._open = True

    def block(self, text: str) -> Iterator[Passage]:
        """Takes a paragraph, a list item or a table row; yields a part of the section if it has become long."""
        text = text.strip()
        if not text:
            return
        self._blocks.append(text)
        self._length += len(text)
        if self._length > MAX_CHARACTERS:
            yield self._passage()

    def end(self, *, below: bool = False) -> Iterator[Passage]:
        """Yields what is left of the section; `below`: the next section stands under this one's heading."""
        if not self._blocks and self._open and not self._part and not below:
            self._blocks.append(self._path[-1][1])
        if self._blocks:
            yield self._passage()
        self._part = 0
        self._open = False

    def _passage(self) -> Passage:
        place = self.name
        if self._path:
            level, title = self._path[-1]
            place = f"{self.name}:{'#' * level} {title}"
        if not self._part:
            self._names[place] += 1
        number = self._names[place]
        place += f" ({number})" if number > 1 else ""
        self._part += 1
        place += f", part {self._part}" if self._part > 1 else ""
        text = "\n\n".join(self._blocks)
        self._blocks, self._length = [], 0
        section = " > ".join(title for _, title in self._path) or None
        return Passage(text, place, section=section)


def named(path: Path) -> str:
    """Returns a path as sources name it."""
    return visible(str(path))


def readable(text: str) -> str:
    """Returns text without what only machines read: NULs and other controls, half surrogate pairs as escapes."""
    return visible(text.translate(_CONTROLS))


_CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n"} | {0x7F: None}
