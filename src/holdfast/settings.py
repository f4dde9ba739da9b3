"""What all settings share: frozen, no unknown keys, read from TOML, errors that name the nearest key.

Importable without torch. The recipe of a training and the plan of a preparation rest on it.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from holdfast.types import JSONValue

Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
Positive: TypeAlias = Annotated[float, Field(gt=0.0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of every settings class: frozen, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )

    def refuse_if_changed(self, names: Sequence[str], because: str) -> None:
        """Raises ValueError when one of `names` differs from its default although it has no effect."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} would have no effect because {because}; remove it")


def parse_toml(path: Path) -> dict[str, JSONValue]:
    """Returns the nested values of a TOML file; raises ConfigError when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}. Correct the file.") from None


def explain(error: ValidationError, root: type[BaseModel], where: str, branches: Sequence[str] = ()) -> ConfigError:
    """Returns one ConfigError for everything that `error` holds: key, reason, nearest known name.

    `branches` are the names by which the tables of a union are told apart (`method.type`).
    """
    found: dict[str, list[str]] = {}
    known = set(known_keys(root))
    for problem in error.errors():
        path: list[str] = []
        for part in map(str, problem["loc"]):
            # A method is called as a setting is: `evaluation.reflect` is one, the reflect of `method.reflect` is not.
            if not _is_branch(part, branches) or ".".join([*path, part]) in known:
                path.append(part)
        found.setdefault(".".join(path), []).append(_reason(problem, path, root, branches))
    keys = [key for key in found if not any(other.startswith(f"{key}.") for other in found)]
    lines = [(f"{key}: " if key else "") + " or ".join(dict.fromkeys(found[key])) for key in keys]
    return ConfigError(f"{where}: " + "; ".join(lines), param=keys[0] or None)


def _reason(problem: ErrorDetails, path: list[str], root: type[BaseModel], branches: Sequence[str]) -> str:
    if problem["type"] == "extra_forbidden":
        return f"unknown key{_suggestion(path, root)}"
    if problem["type"] == "union_tag_not_found":
        return f"say which one with {'.'.join(path)}.type = {', '.join(branches[:-1])} or {branches[-1]}"
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


def _is_branch(part: str, branches: Sequence[str]) -> bool:
    """Whether a part of a pydantic location names a branch of a union and not a key."""
    if part in branches or part in ("AdapterConfig", "int", "float", "str", "bool"):
        return True
    return "float" in part or part.startswith(("literal[", "constrained-"))


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
