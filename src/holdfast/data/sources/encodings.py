"""Which encoding a file is in, and its bytes as UTF-8.

UTF-8 is believed as long as it can be. A file is read in another encoding if a byte order mark says so, if every other
byte is NUL (UTF-16, UTF-32), or if several of its lines are not UTF-8 while little else that is not ASCII is valid
UTF-8, and charset-normalizer finds an encoding in which those lines are text. A few bad lines in a UTF-8 file stay bad
lines. The choice is made at the first byte that is not UTF-8: all before it is the same in every encoding considered.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONSIDERED = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "iso8859_2",
    "gb18030", "big5", "cp932", "euc_jp", "cp949", "cp437", "cp850", "cp852", "cp866", "mac_roman",
)  # fmt: skip
"""What files in the world are in; the more exotic, the more often a short text looks like it by chance."""
_MOST_COMMON = ("cp1252", "cp1251")
"""Taken where others fit as well: a short French text is also good Windows-1250."""
_EQUAL_COHERENCE = 0.05
_CERTAINLY_UTF8 = 100
"""After so many valid characters outside ASCII nothing else is considered."""
_MIN_BAD_LINES = 2
_MIN_BAD_SHARE = 0.01
_LONG_LINE = 1024
_SAMPLE_BYTES = 64 * 1024
_NEAR_BYTES = 1024
_MIN_TEXT_SHARE = 0.9
_PUNCTUATION_KINDS = ("P", "Sc", "Z", "Mn", "Mc")
_OTHER_SIGNS = frozenset("\xa9\xae\xb0\xb1\xb4\xd7\u2122")
"""Copyright, registered, degree, plus-minus, accent, times, trade mark."""
_ESCAPE = "holdfast-escape"


def mark_of(content: bytes) -> str | None:
    """Returns the encoding that a byte order mark at the start says, None without a mark."""
    return next((name for mark, name in _MARKS if content.startswith(mark)), None)


class AsUtf8(io.RawIOBase):
    """What `block` returns, as UTF-8; bytes that cannot be decoded become bytes that are not UTF-8."""

    def __init__(self, block: Callable[[], bytes], encoding: str | None, notes: list[str]) -> None:
        self._block = block
        self._notes = notes
        self._settled = encoding == "utf-8"
        self._decoder: codecs.IncrementalDecoder | None = None
        self._waiting = b""
        self._tail = b""
        self._num_read = 0
        self._num_valid = 0
        if encoding is not None and encoding != "utf-8":
            self._decode_as(encoding, f"the file is {encoding.upper()}, as its byte order mark says; it was decoded")

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills a buffer as far as there are bytes and returns their number."""
        view = memoryview(buffer).cast("B")
        while not self._waiting:
            content = self._block()
            self._waiting = self._as_utf8(content)
            if not content:
                break
        content, self._waiting = self._waiting[: len(view)], self._waiting[len(view) :]
        view[: len(content)] = content
        return len(content)

    def _as_utf8(self, content: bytes) -> bytes:
        final = not content
        content, self._tail = self._tail + content, b""
        if not self._settled and self._decoder is None:
            content = self._checked(content, final=final)
        self._num_read += len(content)
        if self._decoder is None:
            return content
        return self._decoder.decode(content, final=final).encode("utf-8", "surrogateescape")

    def _checked(self, content: bytes, *, final: bool) -> bytes:
        """Returns the bytes to go on with, after choosing how to read them if they give a reason to choose."""
        if not self._num_read and (wide := _wide(content)):
            self._decode_as(wide, f"the file is {wide.upper()} without a byte order mark; it was decoded")
            return content
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data" or final:
                self._choose(content, error.start)
                return content
            # A character that the end of the block cuts in two waits for its other half.
            text, content, self._tail = content[: error.start].decode(), content[: error.start], content[error.start :]
        self._num_valid += len(text) - _num_ascii(text)
        self._settled = self._num_valid >= _CERTAINLY_UTF8
        return content

    def _choose(self, content: bytes, position: int) -> None:
        encoding = None if self._num_valid else other_encoding(content)
        if encoding is None:
            # One odd line in a block of plain ASCII tells nothing: the next block with such bytes is looked at again.
            self._settled = self._num_valid > 0
            return
        self._decode_as(
            encoding,
            f"the file is not UTF-8 (byte {self._num_read + position + 1}); it was read as {encoding}, which "
            "charset-normalizer finds the likeliest. If letters are wrong, save the file as UTF-8",
        )

    def _decode_as(self, encoding: str, note: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)(_ESCAPE)
        self._notes.append(note)


def other_encoding(content: bytes) -> str | None:
    """Returns the encoding, other than UTF-8, that bytes with some that are not UTF-8 are in; None = none fits.

    The bytes stay UTF-8 with faults if those are few: fewer than two lines or one line in a hundred, or fewer than
    the characters outside ASCII that are valid UTF-8.
    """
    lines = content.split(b"\n")
    bad = [line for line in lines if not _is_utf8(line)]
    if len(bad) == 1 and len(bad[0]) > _LONG_LINE:  # a JSON list on one line
        lines = re.findall(rb".{1,64}", bad[0], re.DOTALL)
        bad = [line for line in lines if not _is_utf8(line)]
    text = content.decode("utf-8", "surrogateescape")
    num_bad = sum("\udc80" <= character <= "\udcff" for character in text)
    num_valid = len(text) - _num_ascii(text) - num_bad
    if len(bad) < max(_MIN_BAD_LINES, _MIN_BAD_SHARE * len(lines)) or num_valid >= num_bad:
        return None
    return likeliest(b"\n".join(map(_near_fault, bad))[:_SAMPLE_BYTES])


def _near_fault(line: bytes) -> bytes:
    """Returns what of a long line stands around its first byte that is not UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return line[max(0, error.start - _NEAR_BYTES) : error.start + _NEAR_BYTES]
    return line[:_NEAR_BYTES]


def likeliest(sample: bytes) -> str | None:
    """Returns the encoding in which bytes are most likely text; None if they are text in none."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(_CONSIDERED), preemptive_behaviour=False)
    best = found.best()
    if best is None or best.encoding not in _CONSIDERED:
        return None
    equal = {
        name
        for match in found
        if match.chaos <= best.chaos and match.coherence >= best.coherence - _EQUAL_COHERENCE
        for name in match.could_be_from_charset
    }
    encoding = next((name for name in _MOST_COMMON if name in equal), best.encoding)
    return encoding if _is_text(sample.decode(encoding, "replace")) else None


def _is_text(text: str) -> bool:
    beyond = [character for character in text if character > "\x7f"]
    fitting = sum(
        character.isalpha()
        or character in _OTHER_SIGNS
        or unicodedata.category(character).startswith(_PUNCTUATION_KINDS)
        for character in beyond
    )
    control = any(character < " " and character not in "\t\r\n" for character in text)
    return not control and fitting >= _MIN_TEXT_SHARE * len(beyond)


def _wide(content: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: in mostly western text, the same bytes of every unit are NUL."""
    sample = content[: 4096 - 4096 % 4]
    sample = sample[: len(sample) - len(sample) % 4]
    if len(sample) < 8 or b"\0" not in sample:
        return None
    share = [sample[start::4].count(0) / (len(sample) // 4) for start in range(4)]
    high, low = 0.7, 0.05
    patterns = {"utf-32-le": (1, 2, 3), "utf-32-be": (0, 1, 2), "utf-16-le": (1, 3), "utf-16-be": (0, 2)}
    for name, zeros in patterns.items():
        if all((share[at] >= high) if at in zeros else (share[at] <= low) for at in range(4)):
            return name
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _num_ascii(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("ascii", "ignore"))


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Bytes that cannot be decoded, so that encoding them as UTF-8 gives bytes that are not UTF-8, and no line end."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) if byte > 0x7F else f"\udcff{byte:02x}" for byte in bad), error.end


codecs.register_error(_ESCAPE, _escaped)
