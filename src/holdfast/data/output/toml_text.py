"""Plain values as TOML text that `tomllib` reads back to equal values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from holdfast.types import JSONValue

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(values: Mapping[str, JSONValue]) -> str:
    """Returns nested values as TOML: plain keys first, then a table for each group of keys.

    TOML has no null: a key whose value is None is left out, which says the same to whoever asks for it. Raises
    `DataError` for None inside a list, where leaving it out would say something else.

    >>> print(to_toml({"seed": 0, "split": {"share": 0.2, "by": None}}), end="")
    seed = 0
    <BLANKLINE>
    [split]
    share = 0.2
    """
    return "\n".join(_table(values, ())).lstrip("\n") + "\n" if values else ""


def _table(values: Mapping[str, JSONValue], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in values.items() if not _is_table(value) and value is not None}
    tables = {key: value for key, value in values.items() if _is_table(value)}
    if path and (plain or not tables):
        yield f"\n[{'.'.join(_key(name) for name in path)}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value, '.'.join((*path, key)))}"
    for key, value in tables.items():
        if isinstance(value, list):
            for item in value:
                yield from _item(item, (*path, key))
        elif isinstance(value, dict):
            yield from _table(value, (*path, key))


def _item(value: JSONValue, path: tuple[str, ...]) -> Iterator[str]:
    """One table of a list of tables; what it nests stands inside it on one line."""
    yield f"\n[[{'.'.join(_key(name) for name in path)}]]"
    for key, inner in value.items() if isinstance(value, dict) else ():
        if inner is not None:
            yield f"{_key(key)} = {_value(inner, '.'.join((*path, key)))}"


def _is_table(value: JSONValue) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    return isinstance(value, dict)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: JSONValue, where: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(item, where) for item in value)}]"
    if isinstance(value, dict):
        inside = (f"{_key(key)} = {_value(item, where)}" for key, item in value.items() if item is not None)
        return f"{{ {', '.join(inside)} }}" if any(item is not None for item in value.values()) else "{}"
    raise DataError(f"{where}: holds {value!r}, which TOML has no word for. Leave it out.", param=where)


def _text(value: str) -> str:
    # JSON's escapes are TOML's too; DEL is the one control character that only TOML asks to escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
