"""Passages of HTML pages, by section, without navigation and other boilerplate."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.data.rejected import visible
from holdfast.data.sources.blocks import Blocks
from holdfast.data.sources.encodings import likeliest
from holdfast.data.sources.marked_text import sections_of
from holdfast.data.sources.opened import opened
from holdfast.data.sources.passage import Sections, named, readable
from holdfast.data.sources.rows import MAX_ROW_BYTES
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.data.sources.passage import Passage

_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*["']?([\w.:-]{2,40})""", re.IGNORECASE)
_FAULTS = (
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    SyntaxError,
)
"""What trafilatura and lxml raise on damaged pages; their parse errors are SyntaxErrors."""


def html_passages(path: Path, notes: list[str]) -> Iterator[Passage]:
    """Yields the sections of a page's main text as trafilatura finds it; of a page too small for that, of all text."""
    try:
        from trafilatura import extract, load_html
    except ImportError as error:  # one of those that trafilatura stands on may be missing, too
        raise DataError(
            f"{named(path)}: HTML is read by trafilatura, which cannot be loaded ({str(error).splitlines()[0]}): "
            "pip install trafilatura lxml_html_clean.",
            param="training_file",
        ) from error
    html = _text(path, notes)
    try:
        tree = load_html(html)
        blocks = Blocks(Sections(named(path)))
        everything = [] if tree is None else list(_walked(tree, blocks))
        marked = None if tree is None else extract(html, output_format="markdown", include_comments=False)
    except _FAULTS as error:
        raise DataError(
            f"{named(path)}: this page cannot be read ({visible(str(error))[:200]}). Open it in a browser and save it "
            "again.",
            param="training_file",
        ) from error
    if marked and (re.search(r"^#+ ", marked, re.MULTILINE) or not blocks.num_headings):
        yield from sections_of(Sections(named(path)), readable(marked).split("\n"))
    else:
        if everything:
            notes.append("the main text could not be told from the rest, so all but navigation and footers was read")
        yield from everything


def _walked(tree: object, blocks: Blocks) -> Iterator[Passage]:
    """All blocks of a parsed page; without recursion, because pages nest deeper than Python may."""
    waiting: list[tuple[object, bool]] = [(tree, False)]
    while waiting:
        node, seen = waiting.pop()
        tag = getattr(node, "tag", None)
        if seen:
            yield from blocks.end(str(tag))
            blocks.text(getattr(node, "tail", None) or "")
        elif isinstance(tag, str):
            yield from blocks.start(tag)
            blocks.text(getattr(node, "text", None) or "")
            waiting.append((node, True))
            waiting.extend((child, False) for child in reversed(list(node)))  # pyright: ignore[reportArgumentType] - an lxml element
        else:  # a comment
            blocks.text(getattr(node, "tail", None) or "")
    yield from blocks.close()


def _text(path: Path, notes: list[str]) -> str:
    with opened(path, notes, guess=False) as file:
        content = file.read(MAX_ROW_BYTES + 1)
    if len(content) > MAX_ROW_BYTES:
        raise DataError(
            f"{named(path)}: a page of more than {MAX_ROW_BYTES} bytes is not read. Divide it.", param="training_file"
        )
    try:
        return content.decode()
    except UnicodeDecodeError:
        declared = _CHARSET.search(content[:4096])
        for encoding in (declared[1].decode("ascii") if declared else "", likeliest(content[: 1 << 16]) or ""):
            try:
                text = content.decode(encoding or "utf-8")
            except (LookupError, UnicodeDecodeError, ValueError):
                continue
            notes.append(f"the page is not UTF-8; it was read as {encoding}")
            return text
        notes.append("the page has bytes that are not UTF-8; they are shown as escapes (\\xff)")
        return content.decode("utf-8", "backslashreplace")
