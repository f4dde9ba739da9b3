"""JSON that a model wrote: found in free text, parsed without ever raising, compared by value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Hashable

    from holdfast.types import JSONValue

MAX_DEPTH = 64
"""Deeper nesting counts as unreadable: no tool takes it, and comparing it would need recursion to match."""

Found: TypeAlias = "tuple[JSONValue, int]"


def value_at(text: str, start: int) -> Found | None:
    """Returns the JSON value that starts at `start` and where it ends; None if none can be read there."""
    try:
        value, end = json.JSONDecoder(parse_constant=_no_constant).raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return (value, end) if _depth_is_fine(value) else None


def whole(text: str) -> JSONValue:
    """Returns the JSON value that `text` is; None if it is not one (or is `null`)."""
    stripped = text.strip()
    found = value_at(stripped, 0)
    return found[0] if found is not None and found[1] == len(stripped) else None


def same_key(value: JSONValue) -> Hashable:
    """Returns a key that equal JSON values share: 1 equals 1.0, but not "1" or true; objects have no order."""
    if isinstance(value, bool) or value is None:
        return ("constant", str(value))
    if isinstance(value, int | float):
        return ("number", value)
    if isinstance(value, str):
        return ("text", value)
    if isinstance(value, list):
        return ("list", tuple(same_key(item) for item in value))
    return ("object", frozenset((name, same_key(item)) for name, item in value.items()))


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _depth_is_fine(value: JSONValue) -> bool:
    layer: list[JSONValue] = [value]
    for _ in range(MAX_DEPTH):
        following: list[JSONValue] = []
        for item in layer:
            if isinstance(item, dict):
                following.extend(cast("dict[str, JSONValue]", item).values())
            elif isinstance(item, list):
                following.extend(item)
        if not following:
            return True
        layer = following
    return False
