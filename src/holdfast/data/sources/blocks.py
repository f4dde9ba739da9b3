"""The text blocks of HTML: headings, paragraphs, list items and table rows, without scripts and navigation."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING

from holdfast.data.sources.passage import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.data.sources.passage import Passage, Sections

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SILENT = frozenset({"aside", "footer", "head", "nav", "noscript", "script", "style", "svg", "template"})
_BREAKING = frozenset({
    "address", "article", "blockquote", "body", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption", "figure",
    "form", "header", "hr", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "thead",
    "tr", "ul", *_HEADINGS,
})  # fmt: skip


class Blocks:
    """Takes the tags and texts of an HTML document in order, and hands its blocks to `sections`."""

    def __init__(self, sections: Sections) -> None:
        self.num_headings = 0
        self._sections = sections
        self._texts: list[str] = []
        self._silent: list[str] = []
        self._in_row = 0

    def start(self, tag: str) -> Iterator[Passage]:
        """A tag opens."""
        if tag in _SILENT:
            self._silent.append(tag)
        elif tag == "br":
            self._texts.append("\n")
        elif tag in ("td", "th"):
            self._texts.append(" | " if "".join(self._texts).strip() else "")
        elif tag in _BREAKING and not self._in_row:
            yield from self._end_block()
        self._in_row += tag == "tr"

    def text(self, content: str) -> None:
        """Text stands here."""
        if not self._silent:
            self._texts.append(content)

    def end(self, tag: str) -> Iterator[Passage]:
        """A tag closes."""
        if self._silent:
            if tag == self._silent[-1]:
                self._silent.pop()
            return
        if tag == "tr":
            self._in_row = max(0, self._in_row - 1)
        if tag in _HEADINGS and not self._in_row:
            title = self._taken()
            if title:
                self.num_headings += 1
                yield from self._sections.heading(_HEADINGS[tag], " ".join(title.split()))
        elif tag in _BREAKING and not self._in_row:
            yield from self._end_block()
        elif tag == "p":
            self._texts.append(" ")

    def close(self) -> Iterator[Passage]:
        """The document ends."""
        yield from self._end_block()
        yield from self._sections.end()

    def _end_block(self) -> Iterator[Passage]:
        yield from self._sections.block(self._taken())

    def _taken(self) -> str:
        lines = readable("".join(self._texts)).split("\n")
        self._texts = []
        return "\n".join(line for line in (" ".join(part.split()) for part in lines) if line)


class _Tags(HTMLParser):
    def __init__(self, blocks: Blocks) -> None:
        super().__init__(convert_charrefs=True)
        self._blocks = blocks
        self.found: list[Passage] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.extend(self._blocks.start(tag))

    def handle_endtag(self, tag: str) -> None:
        self.found.extend(self._blocks.end(tag))

    def handle_data(self, data: str) -> None:
        self._blocks.text(data)


def passages_of_clean_html(html: str, sections: Sections) -> list[Passage]:
    """Returns the sections of HTML that a program wrote; for what people wrote, see `web_pages`."""
    blocks = Blocks(sections)
    tags = _Tags(blocks)
    tags.feed(html)
    tags.close()
    return [*tags.found, *blocks.close()]
