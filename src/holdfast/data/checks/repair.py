"""Repairs of one text, each with a name; code, addresses and JSON come out as they went in.

Mojibake is recognised and undone by ftfy (Speer 2019, "ftfy: fixes text for you"). The other repairs are those whose
result nobody can see or read differently: what a text says never changes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING

from holdfast.data.check import CheckSettings
from holdfast.data.persian import (
    ZWNJ,
    Digits,
    has_arabic_script,
    is_persian,
    joiners_in_order,
    persian_letters,
    plain_forms,
    with_digits,
    without_tatweel,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NOTHING_TO_DO = re.compile(r"[\t\n\x20-\x5f\x61-\x7e]*\Z")
_PROTECTED = re.compile(
    r"```.*?(?:```|\Z)|^~~~.*?(?:^~~~|\Z)|(?<![\w`])`[^`\s](?:[^`\n]{0,500}[^`\s])?`(?!`)"
    r"|(?:https?|ftp)://\S+|\bwww\.\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]+",
    re.DOTALL | re.MULTILINE,
)
_ODD_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_NO_SPACES = re.compile("[\u00ad\u180e\u200b\u2060]")
_WIDE_SCRIPT = re.compile("[\u3001-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]")
_UNSPACED_SCRIPT = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff]")
_LINE_ENDS = re.compile("\r\n?|[\u0085\u2028\u2029]")
_APOSTROPHE = re.compile(
    r"(?<=[A-Za-z])[`\u00b4](?=(?:s|t|d|m|re|ve|ll|am|em|all|cause)\b(?![`\u00b4]))", re.IGNORECASE
)
_LIGATURES = re.compile("[\ufb00-\ufb06]")

MOJIBAKE = "mojibake"
LETTERS = "Arabic yeh or kaf in Persian text"


class RepairSettings(CheckSettings):
    """Which repairs are made; every one of them can be switched off."""

    encoding: bool = True
    """Undo mojibake: UTF-8 that was once read as another encoding."""
    controls: bool = True
    """Remove control characters, byte order marks and terminal colours."""
    line_ends: bool = True
    """Let every line end with a line feed alone."""
    spaces: bool = True
    """Replace no-break and other odd spaces by spaces; remove soft hyphens and zero-width spaces."""
    ligatures: bool = True
    """Write ligatures that PDF files leave behind (one character for fi) as letters."""
    apostrophes: bool = True
    """Replace the back-tick or acute accent of "don`t" by an apostrophe; back-ticks around code stay."""
    composed: bool = True
    """Compose letters and their accents to one character (Unicode normal form C)."""
    joiners: bool = True
    """Remove zero-width non-joiners that stand at the edge of a word or twice; those within words are kept."""
    persian: bool = True
    """In Persian text, replace Arabic yeh and kaf by the Persian letters, and remove tatweel."""
    arabic_forms: bool = True
    """Write the shapes of Arabic letters that PDF files leave behind as letters."""
    digits: Digits = "keep"
    """The digits of Persian texts: as they are, all ASCII or all Persian; numbers in Latin words stay."""


def repaired(text: str, settings: RepairSettings, *, persian: bool = False) -> tuple[str, tuple[str, ...]]:
    """Returns a text once repaired, and the names of what was repaired; JSON that could be read still can.

    `persian` says whether a text in Arabic script that does not show its language is taken for Persian. A repair may
    bring to light another, so repeat it until nothing changes.
    """
    if _NOTHING_TO_DO.match(text):
        return text, ()
    names: dict[str, None] = {}
    after = text
    if settings.line_ends and "\r\n" in after:  # in code, too: it is not a difference in what the code does
        after = after.replace("\r\n", "\n")
        names["line ends"] = None
    told = is_persian(text) if has_arabic_script(text) else False
    steps = list(_steps(settings, persian=persian if told is None else told))
    after = "".join(part if kept else _through(part, steps, names) for part, kept in _parts(after))
    if is_json(text) and not is_json(after):
        return text, ()
    return (after, tuple(names)) if after != text else (text, ())


def _through(text: str, steps: list[tuple[str, Callable[[str], str]]], names: dict[str, None]) -> str:
    for name, step in steps:
        after = step(text)
        if after != text:
            names[name] = None
            text = after
    return text


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yields the parts of a text and whether they are protected."""
    position = 0
    for match in _PROTECTED.finditer(text):
        yield text[position : match.start()], False
        yield match[0], True
        position = match.end()
    yield text[position:], False


def _steps(settings: RepairSettings, *, persian: bool) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Yields the repairs in an order in which none hides what a later one looks for."""
    everywhere: tuple[tuple[bool, str, Callable[[str], str]], ...] = (
        (settings.encoding, MOJIBAKE, _encoding),
        (settings.line_ends, "line ends", _line_ends),
        (settings.controls, "control characters", _controls),
        (settings.spaces, "odd spaces", _spaces),
        (settings.ligatures, "ligatures", _ligatures),
        (settings.apostrophes, "back-ticks as apostrophes", _apostrophes),
        (settings.composed, "letters and accents apart", _composed),
        (settings.arabic_forms, "shapes of Arabic letters", plain_forms),
        (persian and settings.persian, LETTERS, persian_letters),
        (persian and settings.persian, "tatweel", without_tatweel),
        (settings.joiners, "zero-width non-joiners out of place", _joiners),
    )
    yield from ((name, step) for wanted, name, step in everywhere if wanted)
    if persian and settings.digits != "keep":
        digits = settings.digits
        yield f"digits not {digits}", lambda text: with_digits(text, digits)


def _line_ends(text: str) -> str:
    return _LINE_ENDS.sub("\n", text)


def _ligatures(text: str) -> str:
    return _LIGATURES.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)


def _apostrophes(text: str) -> str:
    return _APOSTROPHE.sub("'", text)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _encoding(text: str) -> str:
    if text.isascii():
        return text
    import ftfy  # only where a text is not plain ASCII

    return ftfy.fix_encoding(text)


def _controls(text: str) -> str:
    import ftfy.fixes

    return ftfy.fixes.remove_control_chars(ftfy.fixes.remove_terminal_escapes(text))


def _spaces(text: str) -> str:
    if text.isascii():
        return text
    keeps_wide = "\u3000" in text and _WIDE_SCRIPT.search(text) is not None
    text = _ODD_SPACES.sub(lambda match: "\u3000" if match[0] == "\u3000" and keeps_wide else " ", text)
    return text if "\u200b" in text and _UNSPACED_SCRIPT.search(text) else _NO_SPACES.sub("", text)


def _joiners(text: str) -> str:
    return joiners_in_order(text) if ZWNJ in text or "\u00ac" in text else text


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
