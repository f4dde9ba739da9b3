"""Passages of DOCX documents, by section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.rejected import visible
from holdfast.data.sources.archives import check_archive
from holdfast.data.sources.blocks import passages_of_clean_html
from holdfast.data.sources.passage import Sections, named
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.data.sources.passage import Passage

_MAX_XML_BYTES = 32 << 20
"""The whole document is in memory while it is read, at some fifty times the size of its XML."""
_FAULTS = (
    ValueError, TypeError, AttributeError, LookupError, ArithmeticError, OSError, SyntaxError, AssertionError,
    RecursionError,
)  # fmt: skip
"""What mammoth raises on damaged documents."""


def docx_passages(path: Path, notes: list[str]) -> Iterator[Passage]:
    """Yields the sections of a Word document, told by its heading styles; pictures are left out and said."""
    from xml.parsers.expat import ExpatError

    import mammoth

    check_archive(path, "DOCX", max_xml_bytes=_MAX_XML_BYTES)
    num_pictures = 0

    def no_picture(image: object) -> dict[str, str]:
        nonlocal num_pictures
        num_pictures += 1
        return {"src": ""}

    try:
        with path.open("rb") as file:
            converted = mammoth.convert_to_html(
                file, convert_image=mammoth.images.img_element(no_picture), external_file_access=False
            )
        found = passages_of_clean_html(converted.value, Sections(named(path)))
    except (*_FAULTS, ExpatError) as error:
        raise DataError(
            f"{named(path)}: this DOCX file is damaged or is none ({visible(str(error))[:200]}). Open it in a word "
            "processor and save it again.",
            param="training_file",
        ) from error
    if num_pictures:
        notes.append(f"left out: {num_pictures} pictures; what is written in them was not read")
    yield from found
