"""Contains: the reference stands somewhere in the answer, as whole words.

Choices made here: case and white space do not count; a number must not be part of a longer number
("12" is not in "112", "3.12", "12.5", "12,000" or "-12"); combining marks and joiners belong to their
word; scripts written without spaces between words (Chinese, Japanese, Thai, …) have no word borders
to respect. An answer that lists every possibility contains the right one too: use `exact` or
`choice` where a model could learn that.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from holdfast.graders.reference import judged, one_line, reference_text, shown, ungradable

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, Score

_JOINERS = "\u200c\u200d"
_SPACELESS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF))
_SPACELESS_FAR = ((0xAC00, 0xD7AF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))


def contains(completion: Completion, example: Example) -> Score:
    """Returns 1 if the reference stands in the answer as whole words."""
    reference = reference_text(example)
    if reference is None:
        return ungradable("no_reference", "the item has no answer and no label to look for")
    if stands_in(_folded(reference), _folded(completion.text)):
        return judged(right=True, explanation=f"holds {shown(reference)}")
    return judged(right=False, explanation=f"{shown(reference)} is not in {shown(completion.text)}")


def stands_in(phrase: str, text: str) -> bool:
    """Whether `phrase` occurs in `text` with a word and number border at both ends."""
    start = text.find(phrase)
    while start >= 0:
        end = start + len(phrase)
        if not _runs_on_before(text, start) and not _runs_on_after(text, end):
            return True
        start = text.find(phrase, start + 1)
    return False


def _folded(text: str) -> str:
    return one_line(one_line(text).casefold())


def _runs_on_before(text: str, start: int) -> bool:
    if start == 0:
        return False
    first, before = text[start], text[start - 1]
    if first.isdigit():
        beyond = text[start - 2] if start > 1 else " "
        if before in ".," and beyond.isdigit():
            return True
        if before in "-\u2212" and not _in_word(beyond):
            return True
    return _joined(before, first)


def _runs_on_after(text: str, end: int) -> bool:
    if end == len(text):
        return False
    last, after = text[end - 1], text[end]
    if last.isdigit() and after in ".," and text[end + 1 : end + 2].isdigit():
        return True
    return _joined(last, after)


def _joined(left: str, right: str) -> bool:
    if right in _JOINERS or unicodedata.category(right).startswith("M"):
        return True
    if _spaceless(left) or _spaceless(right):
        return False
    return _in_word(left) and _in_word(right)


def _in_word(character: str) -> bool:
    return character.isalnum() or character in _JOINERS or unicodedata.category(character)[0] == "M" or character == "_"


def _spaceless(character: str) -> bool:
    code = ord(character)
    return any(low <= code <= high for low, high in (*_SPACELESS, *_SPACELESS_FAR))
