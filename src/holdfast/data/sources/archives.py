"""Whether a zip of XML parts (XLSX, DOCX) can be given to a parser: real, not too large, without entities."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import TYPE_CHECKING

from holdfast.data.rejected import visible
from holdfast.data.sources.opened import check_regular
from holdfast.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_OLE = b"\xd0\xcf\x11\xe0"
MAX_BYTES = 1 << 30
"""What all parts may unpack to."""
MAX_PARTS = 10_000
_MAX_RATIO = 200
_SMALL = 64 << 20
_DECLARED = re.compile(rb"""^(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*["']([^"']*)""")
_KNOWN_ENCODINGS = (b"utf-8", b"utf8", b"us-ascii", b"ascii", b"utf-16")
_FORBIDDEN = tuple(
    word.encode(encoding) for word in ("<!DOCTYPE", "<!ENTITY") for encoding in ("ascii", "utf-16-le", "utf-16-be")
)
_NOT_READ = (".bmp", ".emf", ".gif", ".htm", ".html", ".jpeg", ".jpg", ".mht", ".png", ".svg", ".tif", ".tiff", ".wmf")
_BLOCK = 1 << 20


def check_archive(path: Path, kind: str, *, max_xml_bytes: int = MAX_BYTES) -> None:
    """Raises `DataError` unless a file is a zip whose parts unpack to what they declare and define no entities.

    The sizes that the parts declare are checked before anything is unpacked; Python's zip reader never gives more
    than is declared. No part of these formats has a document type, so one that has is an attack or no such file.
    """
    check_regular(path)
    name = visible(str(path))
    try:
        with path.open("rb") as file:
            if file.read(4) == _OLE:
                raise DataError(
                    f"{name}: is protected by a password, or of the format before {kind}. Save it as {kind} without a "
                    "password.",
                    param="training_file",
                )
        with zipfile.ZipFile(path) as archive:
            _check_sizes(name, archive, max_xml_bytes)
            for part in archive.infolist():
                if _is_read(part):
                    _check_xml(name, archive, part)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{name}: this {kind} file is damaged or is none ({visible(str(error))}). Save it again.",
            param="training_file",
        ) from error


def _is_read(part: zipfile.ZipInfo) -> bool:
    return not part.filename.lower().endswith(_NOT_READ)


def _check_sizes(name: str, archive: zipfile.ZipFile, max_xml_bytes: int) -> None:
    parts = archive.infolist()
    if len(parts) > MAX_PARTS:
        raise DataError(
            f"{name}: has {len(parts)} parts; no document has more than {MAX_PARTS}.", param="training_file"
        )
    total = sum(part.file_size for part in parts)
    num_xml = sum(part.file_size for part in parts if _is_read(part))
    ratio = total / max(1, sum(part.compress_size for part in parts))
    if total > MAX_BYTES or num_xml > max_xml_bytes or (total > _SMALL and ratio > _MAX_RATIO):
        raise DataError(
            f"{name}: would unpack to {total} bytes, {ratio:.0f} for each of its own. That is a zip bomb, or too "
            "large to be read so; divide it, or save its rows as CSV or JSONL.",
            param="training_file",
        )


def _check_xml(name: str, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    before = b""
    with archive.open(part) as file:
        while block := file.read(_BLOCK):
            if not before and (declared := _DECLARED.match(block[:200])) and not _is_known(declared[1]):
                raise DataError(
                    f"{name}: its part {visible(part.filename)} is in the encoding "
                    f"{visible(declared[1].decode('ascii', 'backslashreplace'))}, which this format does not have.",
                    param="training_file",
                )
            if any(word in before + block for word in _FORBIDDEN):
                raise DataError(
                    f"{name}: its part {visible(part.filename)} defines a document type or entities, which no such "
                    "file does; it is not read, because entities can unfold without end.",
                    param="training_file",
                )
            before = block[-32:]


def _is_known(encoding: bytes) -> bool:
    return encoding.lower() in _KNOWN_ENCODINGS
