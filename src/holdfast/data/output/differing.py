"""What differs between a text before and after, marked; what cannot be seen is shown where it was changed."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from holdfast.data.output.rendering import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECES = re.compile(r"\w+|\s|[^\w\s]")
_MARKS = {"del": Markup("<del>{}</del>"), "ins": Markup("<ins>{}</ins>")}
_MOST_PAIRS = 5000
"""Texts with more pairs of equal pieces are marked from the first difference to the last."""
_HIDDEN = ("Cf", "Zl", "Zp", "Co", "Cn")


def marked(before: str, after: str) -> tuple[Markup, Markup]:
    """Returns both texts as HTML, words that went marked in the first and words that came in the second.

    >>> marked("call Ann now", "call NAME now")
    (Markup('call <del>Ann</del> now'), Markup('call <ins>NAME</ins> now'))
    """
    if not after:
        return escape(plain(before)), Markup("")
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    left, right = Markup(""), Markup("")
    for is_equal, one, other in _aligned(old, new):
        left += escape(plain(one)) if is_equal else _in_mark("del", one)
        right += escape(plain(other)) if is_equal else _in_mark("ins", other)
    return left, right


def _aligned(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[bool, str, str]]:
    """Yields pieces of both texts side by side, and whether they are equal."""
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    yield True, "".join(old[:head]), "".join(new[:head])
    inner_old, inner_new = old[head : len(old) - tail], new[head : len(new) - tail]
    counts = Counter(inner_new)
    if sum(counts[piece] for piece in inner_old) > _MOST_PAIRS:  # would take long, and show little
        yield False, "".join(inner_old), "".join(inner_new)
    else:
        for kind, i, j, k, m in SequenceMatcher(None, inner_old, inner_new, autojunk=False).get_opcodes():
            yield kind == "equal", "".join(inner_old[i:j]), "".join(inner_new[k:m])
    yield True, "".join(old[len(old) - tail :]), "".join(new[len(new) - tail :])


def revealed(text: str) -> str:
    r"""Returns text with every character that nobody can see written as its code.

    >>> revealed("a\u200bb\u00a0c")
    'a⟨U+200B⟩b⟨U+00A0⟩c'
    """
    return "".join(_seen(character) for character in plain(text))


def _in_mark(tag: str, text: str) -> Markup:
    return _MARKS[tag].format(revealed(text)) if text else Markup("")


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    hidden = kind in _HIDDEN or (kind == "Zs" and character != " ")
    return f"⟨U+{ord(character):04X}⟩" if hidden else character
