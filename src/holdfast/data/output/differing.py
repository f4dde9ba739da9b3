"""What differs between a text before and after, marked; what cannot be seen is shown where it was changed."""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher

from markupsafe import Markup, escape

from holdfast.data.output.rendering import plain

_PIECES = re.compile(r"\w+|\s|[^\w\s]")
_MARKS = {"del": Markup("<del>{}</del>"), "ins": Markup("<ins>{}</ins>")}
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
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            left += escape(plain("".join(old[i:j])))
            right += escape(plain("".join(new[k:m])))
        else:
            left += _in_mark("del", "".join(old[i:j]))
            right += _in_mark("ins", "".join(new[k:m]))
    return left, right


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
