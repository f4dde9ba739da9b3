"""Where a recipe comes from: TOML text, `key=value` overrides, and errors that name the nearest key."""

from __future__ import annotations

import difflib
import json
import tomllib
from types import UnionType
from typing import TYPE_CHECKING, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from holdfast.types import JSONValue


def parse_toml(path: Path) -> dict[str, JSONValue]:
    """Returns the nested values of a TOML file; raises ConfigError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}. Correct the file.") from None


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


def explain(error: ValidationError, root: type[BaseModel], where: str) -> ConfigError:
    """Returns one ConfigError for everything that `error` holds: key, reason, nearest known name."""
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        path = [str(part) for part in problem["loc"] if not _is_branch(str(part))]
        found.setdefault(".".join(path), []).append(_reason(problem, path, root))
    keys = [key for key in found if not any(other.startswith(f"{key}.") for other in found)]
    lines = [(f"{key}: " if key else "") + " or ".join(dict.fromkeys(found[key])) for key in keys]
    return ConfigError(f"{where}: " + "; ".join(lines), param=keys[0] or None)


def _reason(problem: ErrorDetails, path: list[str], root: type[BaseModel]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key{_suggestion(path, root)}"
    if problem["type"] == "union_tag_not_found":
        return f"say which one with {'.'.join(path)}.type = auto, sft, sdft, reflect or classify"
    if problem["type"] == "union_tag_invalid":
        context = problem.get("ctx", {})
        return f"{context.get('tag')!r} is not known; choose one of {context.get('expected_tags')}"
    return problem["msg"].removeprefix("Value error, ") + _given(problem["input"])


def known_keys(root: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields every dotted key that a recipe of class `root` may hold, methods' settings included."""
    for name, field in root.model_fields.items():
        key = f"{prefix}{name}"
        tables = list(_tables_of(field.annotation))
        yield key
        for table in tables:
            yield from known_keys(table, f"{key}.")


def _is_branch(part: str) -> bool:
    """Whether a part of a pydantic location names a branch of a union and not a key."""
    branches = ("auto", "sft", "sdft", "reflect", "classify", "AdapterConfig")
    return part in branches or "float" in part or part.startswith("literal[")


def _tables_of(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ():
            yield from _tables_of(part)


def _suggestion(path: list[str], root: type[BaseModel]) -> str:
    keys = list(dict.fromkeys(known_keys(root)))
    siblings = [key for key in keys if key.split(".")[:-1] == path[:-1]]
    near = difflib.get_close_matches(".".join(path), siblings, n=1, cutoff=0.6)
    if not near:
        leaves = {key.split(".")[-1]: key for key in reversed(keys)}
        near = [leaves[leaf] for leaf in difflib.get_close_matches(path[-1], list(leaves), n=1, cutoff=0.6)]
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(siblings) or 'none'}"


def _given(value: object) -> str:
    return f" (given: {json.dumps(value, default=str)})" if isinstance(value, str | int | float | bool | None) else ""


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
