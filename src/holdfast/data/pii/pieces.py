"""A text as pieces to search: itself, or where it is JSON each of its strings and numbers, with the key before it.

So what is put in place of a piece leaves JSON valid, and a key ("phone", "password") says what its value is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"(?P<key>\s*+:)?|(?<![\w.])-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?(?![\w.])')


@dataclass(frozen=True, slots=True)
class Piece:
    """`value` stands, encoded by `form`, from `start` to `end` of a text; `said` is the key before it and a colon."""

    start: int
    end: int
    value: str
    form: Literal["text", "string", "key", "number"] = "text"
    said: str = ""


def pieces_of(text: str) -> list[Piece]:
    """Returns the pieces of a text, none where it is empty."""
    if text.lstrip(" \t\r\n")[:1] in ("{", "[") and _is_json(text):
        return _json_pieces(text)
    return [Piece(0, len(text), text)] if text else []


def rebuilt(text: str, pieces: Sequence[Piece], change: Callable[[Piece], str]) -> str:
    """Returns a text with every piece as `change` wants it; a number that is changed becomes a string.

    Two keys that become the same are told apart by a number behind the second one.
    """
    parts: list[str] = []
    place = 0
    keys: dict[str, list[str]] = {}
    for piece in pieces:
        value = change(piece)
        if value == piece.value:
            continue
        if piece.form == "key":
            earlier = keys.setdefault(value, [])
            if piece.value not in earlier:
                earlier.append(piece.value)
            count = earlier.index(piece.value) + 1
            value = value if count == 1 else f"{value} ({count})"
        parts += [text[place : piece.start], value if piece.form == "text" else json.dumps(value, ensure_ascii=False)]
        place = piece.end
    return "".join([*parts, text[place:]])


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except RowError:
        return False
    return True


def _json_pieces(text: str) -> list[Piece]:
    pieces: list[Piece] = []
    said = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if not token.startswith('"'):
            pieces.append(Piece(match.start(), match.end(), token, "number", said))
        elif match["key"]:
            end = match.start("key")
            value = json.loads(text[match.start() : end])
            pieces.append(Piece(match.start(), end, value, "key"))
            said = f"{re.sub(r'[_.-]+', ' ', value)}: " if len(value) <= 64 else ""
        else:
            pieces.append(Piece(match.start(), match.end(), json.loads(token), "string", said))
    return pieces
