"""JSON as the standard means it: no NaN, no key twice, no number beyond a float, no bottomless nesting."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import RowError

if TYPE_CHECKING:
    from holdfast.types import JSONValue

_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "an object",
}
_SPACE = re.compile(r"[ \t\r\n]*")
MAX_DEPTH = 100
"""Deeper nesting is refused: nothing that a person writes needs it, and recursion ends near 1,000."""


def parse(text: str) -> JSONValue:
    """Returns the value that `text` is; raises `RowError` with the reason and the character."""
    value, end = parse_at(text, after_space(text, 0))
    rest = after_space(text, end)
    if rest != len(text):
        raise RowError("json", f"not JSON: text after the end of the value (character {rest + 1})")
    return value


def parsed(value: JSONValue, where: str) -> JSONValue:
    """Returns `value`, or what it is as JSON where it is text; raises `RowError` with `where` before the reason."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except RowError as error:
        raise RowError(error.kind, f"{where}: {error.reason}") from None


def after_space(text: str, position: int) -> int:
    """Returns the first place from `position` on that is no space in the sense of JSON."""
    match = _SPACE.match(text, position)
    return match.end() if match else position


def parse_at(text: str, start: int, *, origin: int = 0) -> tuple[JSONValue, int]:
    """Returns the value that starts at `start`, and where it ends; raises `RowError`.

    Reasons count characters from `origin`.
    """
    faults: list[str] = []
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: _object(pairs, faults),
        parse_constant=lambda name: faults.append(f"{name} is not JSON; write null, or leave the field out"),
        parse_float=lambda digits: _float(digits, faults),
    )
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise RowError("json", f"not JSON: {error.msg} (character {error.pos + 1 - origin})") from None
    except RecursionError:
        raise RowError("json", f"nested more than {MAX_DEPTH} deep") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise RowError("json", f"not usable JSON: {error}") from None
    if faults:
        raise RowError("json", faults[0])
    if deeper_than(value, MAX_DEPTH):
        raise RowError("json", f"nested more than {MAX_DEPTH} deep")
    return value, end


def kind_of(value: object) -> str:
    """Returns what a value is in the words of JSON; what JSON has no word for by the name of its type.

    >>> kind_of(None), kind_of(True), kind_of(3.5)
    ('null', 'a boolean', 'a number')
    """
    return _KINDS.get(type(value), f"a {type(value).__name__}")


def dump(value: object) -> str:
    """Returns `value` as one line of JSON that people can read in any script."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _object(pairs: list[tuple[str, JSONValue]], faults: list[str]) -> dict[str, JSONValue]:
    found: dict[str, JSONValue] = {}
    for key, value in pairs:
        if key in found:
            faults.append(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found


def _float(digits: str, faults: list[str]) -> float:
    value = float(digits)
    if not math.isfinite(value):
        faults.append(f"the number {digits[:20]} is too large")
    return value


def deeper_than(value: object, limit: int) -> bool:
    """Tells whether there is something more than `limit` lists and objects deep in `value`."""
    layer: list[object] = [value]
    for _ in range(limit):
        following: list[object] = []
        for item in layer:
            if isinstance(item, dict):
                following.extend(cast("dict[str, object]", item).values())
            elif isinstance(item, list):
                following.extend(cast("list[object]", item))
        if not following:
            return False
        layer = following
    return True
