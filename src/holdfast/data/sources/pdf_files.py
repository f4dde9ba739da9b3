"""Passages of PDF documents, one a page, with the outline's title where there is an outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.sources.passage import Passage, named, readable
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pypdfium2 import PdfDocument, PdfPage

_MAX_NAMED = 20
_MAX_TITLES = 10_000


def pdf_passages(path: Path, notes: list[str]) -> Iterator[Passage]:
    """Yields the text of every page that has text; pages with pictures only (scans) are named in `notes`."""
    import pypdfium2

    document = _opened(path)
    scanned: list[int] = []
    damaged: list[int] = []
    try:
        titles = _titles(document)
        section = None
        for number in range(1, len(document) + 1):
            section = titles.get(number, section)
            try:
                page = document[number - 1]
                text = _text(page)
                picture = not text and _has_picture(page)
                page.close()
            except pypdfium2.PdfiumError:
                damaged.append(number)
                continue
            if text:
                yield Passage(text, f"{named(path)}:page {number}", number, section)
            elif picture:
                scanned.append(number)
        if scanned:
            notes.append(
                f"left out: {_pages(scanned)} hold pictures and no text, as scans do. Run text recognition (OCR) on "
                "the document and use its result"
            )
        if damaged:
            notes.append(f"left out: {_pages(damaged)} cannot be read. Print the document to a new PDF, if it opens")
    finally:
        document.close()


def _opened(path: Path) -> PdfDocument:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(path)
    except (pypdfium2.PdfiumError, OSError, ValueError) as error:
        advice = "Copy it again, or print it to a new PDF."
        if "password" in str(error).lower():
            advice = "It is protected by a password: save a copy without one."
        raise DataError(f"{named(path)}: this PDF cannot be read ({error}). {advice}", param="training_file") from error


def _text(page: PdfPage) -> str:
    text_page = page.get_textpage()
    try:
        text = text_page.get_text_bounded(errors="replace")
    finally:
        text_page.close()
    # Where a word was divided at the end of a line, pdfium writes U+FFFE (older ones U+0002) for its hyphen.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for hyphen in ("\ufffe", "\x02"):
        text = text.replace(hyphen + "\n", "").replace(hyphen, "")
    return readable(text).strip()


def _has_picture(page: PdfPage) -> bool:
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    return any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE], max_depth=4))


def _titles(document: PdfDocument) -> dict[int, str]:
    """The outline's title by the page where it begins; the path of titles, as headings are."""
    import pypdfium2

    titles: dict[int, str] = {}
    path: list[str] = []
    try:
        for number, item in enumerate(document.get_toc()):
            if number >= _MAX_TITLES:
                break
            path = [*path[: item.level], readable(item.get_title()).strip()]
            destination = item.get_dest()
            index = destination.get_index() if destination is not None else None
            if index is not None:
                titles[index + 1] = " > ".join(part for part in path if part)
    except (pypdfium2.PdfiumError, ValueError, UnicodeError):
        return {}  # an outline that is damaged names nothing
    return titles


def _pages(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_MAX_NAMED])) + (", …" if len(numbers) > _MAX_NAMED else "")
    return f"page{'s' if len(numbers) > 1 else ''} {shown} ({len(numbers)})" if len(numbers) > 1 else f"page {shown}"
