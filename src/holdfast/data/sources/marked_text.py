"""Passages of Markdown, by section, and of plain text, by paragraphs."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from holdfast.data.sources.opened import opened
from holdfast.data.sources.passage import MAX_CHARACTERS, Passage, Sections, named, readable
from holdfast.data.sources.rows import visible_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?[ \t]*#*[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_LINE_CHARACTERS = 1 << 20
"""Longer lines come in pieces."""


def markdown_passages(path: Path, notes: list[str]) -> Iterator[Passage]:
    """Yields the sections of a Markdown file; headings inside fenced code are code."""
    yield from sections_of(Sections(named(path)), _lines(path, notes))


def sections_of(sections: Sections, lines: Iterable[str]) -> Iterator[Passage]:
    """Yields the sections of Markdown lines."""
    block: list[str] = []
    fence = ""
    front = False
    for number, line in enumerate(lines):
        if number == 0 and line.strip() == "---":
            front = True  # metadata, up to the next such line
        elif front:
            block.append(line)
            front = line.strip() != "---"
        elif fence or _FENCE.match(line):
            fence = _after(line, fence)
            block.append(line)
        elif match := _HEADING.fullmatch(line):
            yield from sections.block("\n".join(block))
            block = []
            yield from sections.heading(len(match[1]), (match[2] or "").strip())
        elif block and (match := _UNDERLINE.fullmatch(line)):
            title = block.pop()
            yield from sections.block("\n".join(block))
            block = []
            yield from sections.heading(1 if match[1][0] == "=" else 2, title.strip())
        elif line.strip():
            block.append(line)
        else:
            yield from sections.block("\n".join(block))
            block = []
        if sum(map(len, block[-1:])) + 80 * len(block) > MAX_CHARACTERS:
            yield from sections.block("\n".join(block))
            block = []
    yield from sections.block("\n".join(block))
    yield from sections.end()


def _after(line: str, fence: str) -> str:
    """The fence that is open after a line: one is closed by another of the same kind that is at least as long."""
    if not fence:
        opening = _FENCE.match(line)
        return opening[1] if opening else ""
    stripped = line.strip()
    closes = stripped.startswith(fence) and not stripped.strip(fence[0])
    return "" if closes else fence


def text_passages(path: Path, notes: list[str]) -> Iterator[Passage]:
    """Yields some pages of paragraphs at a time, with the line where they begin."""
    blocks: list[str] = []
    length, start = 0, 1
    for number, line in enumerate(_lines(path, notes), start=1):
        if length > (MAX_CHARACTERS if line.strip() else MAX_CHARACTERS // 2):
            yield from _text_passage(path, blocks, start)
            blocks, length = [], 0
        if not blocks:
            start = number
        if blocks or line.strip():
            blocks.append(line)
            length += len(line) + 1
    yield from _text_passage(path, blocks, start)


def _text_passage(path: Path, lines: list[str], start: int) -> Iterator[Passage]:
    text = "\n".join(lines).strip()
    if text:
        yield Passage(text, f"{named(path)}:line {start}")


def _lines(path: Path, notes: list[str]) -> Iterator[str]:
    with opened(path, notes, guess=True) as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape")
        num_bad = 0
        while line := text.readline(_LINE_CHARACTERS):
            shown = line if line.isascii() else visible_bytes(line)
            num_bad += shown != line
            yield readable(shown).rstrip("\n")
    if num_bad:
        notes.append(f"{num_bad} lines have bytes that are not UTF-8; they are shown as escapes (\\xff)")
