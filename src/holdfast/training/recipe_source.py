"""Overrides of a recipe: `key=value` words put into nested values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue


def apply_overrides(values: Mapping[str, JSONValue], overrides: Sequence[str]) -> dict[str, JSONValue]:
    """Returns a copy of nested `values` with each `dotted.key=value` put in its place.

    A value is read as JSON where it is JSON (numbers, true, null, lists) and as text otherwise.
    `method=sdft` is short for `method.type=sdft`; a change of type drops the old method's settings.
    """
    result: dict[str, JSONValue] = json.loads(json.dumps(values))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"--set {override}: not of the form key=value. Write it like optimizer.learning_rate=1e-3.",
                param=key or None,
            )
        *parents, name = key.strip().split(".")
        value = _parse_value(text.strip())
        if [*parents, name] in (["method"], ["method", "type"]) and isinstance(value, str):
            method = result.get("method")
            kept = method if isinstance(method, dict) and method.get("type", value) == value else {}
            result["method"] = {**kept, "type": value}
            continue
        _table(result, parents)[name] = value
    return result


def _parse_value(text: str) -> JSONValue:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _table(values: dict[str, JSONValue], parents: Sequence[str]) -> dict[str, JSONValue]:
    """Returns the table at `parents`, made where it is missing or where only a name stood."""
    table = values
    for depth, parent in enumerate(parents):
        inner = table.get(parent)
        if inner is None or (parent == "adapter" and isinstance(inner, str)):
            inner = dict[str, "JSONValue"]()
            table[parent] = inner
        if not isinstance(inner, dict):
            where = ".".join(parents[: depth + 1])
            raise ConfigError(f"--set {where}: not a table, so nothing can be set inside it.", param=where)
        table = inner
    return table
