"""Documents as passages of text, each with the page or the section where it stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.rejected import Rejected, visible
from holdfast.data.sources.marked_text import markdown_passages, text_passages
from holdfast.data.sources.opened import check_regular
from holdfast.data.sources.passage import Passage
from holdfast.data.sources.pdf_files import pdf_passages
from holdfast.data.sources.web_pages import html_passages
from holdfast.data.sources.word_files import docx_passages
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_READERS: dict[str, Callable[[Path, list[str]], Iterator[Passage]]] = {
    ".docx": docx_passages,
    ".htm": html_passages,
    ".html": html_passages,
    ".markdown": markdown_passages,
    ".md": markdown_passages,
    ".pdf": pdf_passages,
    ".txt": text_passages,
    ".xhtml": html_passages,
}


def is_document(path: str | Path) -> bool:
    """Whether a file is told by its name to be a document (PDF, DOCX, HTML, Markdown, plain text), not rows."""
    return os.path.splitext(path)[1].lower() in _READERS


def passages(path: str | Path, notes: list[str] | None = None) -> Iterator[Passage]:
    """Yields the text of a document, passage by passage, in order.

    A PDF gives a passage a page, what has headings one a section, plain text one for some pages of paragraphs; a long
    section comes in parts. What is left out (pages without text, damaged pages) and how bytes were read is added to
    `notes`. Raises `DataError` if the document cannot be read or has no text; without `notes`, also at its end if
    something was left out.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    place = visible(str(path))
    if reader is None:
        raise DataError(
            f"{place}: this kind of file is no document. Known are {', '.join(sorted(_READERS))}.",
            param="training_file",
        )
    check_regular(path)
    said: list[str] = []
    found = False
    for passage in reader(path, said):
        found = True
        yield passage
    if not found:
        why = f" ({'; '.join(said)})" if said else ""
        raise DataError(f"{place}: there is no text in this document{why}.", param="training_file")
    if notes is None:
        lost = [note for note in said if note.startswith("left out")]
        if lost:
            raise DataError(f"{place}: {'; '.join(lost)}", param="training_file")
        return
    notes.extend(f"{place}: {note}" for note in said)


def passages_of_all(paths: Sequence[Path], notes: list[str]) -> Iterator[Passage | Rejected]:
    """Yields the passages of several documents; one that cannot be read is a rejected row of kind `file`.

    A single document that cannot be read is a `DataError`, as in `passages`.
    """
    for path in paths:
        try:
            yield from passages(path, notes)
        except DataError as error:
            if len(paths) == 1:
                raise
            yield Rejected(visible(str(path)), 0, visible(error.message), "", "file")
