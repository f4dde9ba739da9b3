"""A grader in a file of its own: OpenAI's JSON, or a Python file with a function `grade(sample, item)`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.graders import grader
from holdfast.graders.python_code import PythonCode

if TYPE_CHECKING:
    from holdfast.types import JSONValue

SUFFIXES = (".json", ".py")


def is_file(text: str) -> bool:
    """Tells whether `text` is meant as a file rather than as a name or JSON."""
    return text.partition(":")[0].endswith(SUFFIXES)


def read_grader(text: str, beside: Path | None = None) -> str:
    """Returns the JSON of the grader in a file: `grader.json`, `grader.py` or `grader.py:function`.

    A relative path is looked for here, and then in the folder `beside`.

    Raises:
        ConfigError: there is no such file, it holds no grader, or a setting of that is wrong; the file is named.
    """
    place, _, function = text.partition(":")
    path = Path(place).expanduser()
    if beside is not None and not path.exists():
        path = beside / path
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigError(f"The grader {place} cannot be read: {reason}.", param="grader") from None
    if not content.strip():
        example = "def grade(sample, item): return 1.0" if path.suffix == ".py" else '{"type": "exact"}'
        raise ConfigError(f"{place}: is empty. Write a grader into it, such as {example}", param="grader")
    if path.suffix == ".py":
        settings: dict[str, JSONValue] = {"type": PythonCode.model_fields["type"].default, "source": content} | _named(
            function
        )
    else:
        settings = _in_json(content, place)
    try:
        grader(settings)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error.message}", param=error.param) from None
    return json.dumps(settings)


def _in_json(content: str, place: str) -> dict[str, JSONValue]:
    """Returns the settings that a JSON file holds; raises `ConfigError` that names it."""
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ConfigError(f"{place}: is not JSON: {error}.", param="grader") from None
    except RecursionError:
        raise ConfigError(
            f"{place}: is nested too deeply to be read. A grader is one object.", param="grader"
        ) from None
    # OpenAI's methods hold their grader under this name.
    found = found.get("grader", found) if isinstance(found, dict) else found
    if not isinstance(found, dict):
        raise ConfigError(f"{place}: a grader is a JSON object with a type.", param="grader")
    return cast("dict[str, JSONValue]", found)


def _named(function: str) -> dict[str, JSONValue]:
    return {"function": function} if function else {}
