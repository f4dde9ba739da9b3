"""Graders judge one completion: a Score in [0, 1] with an explanation. They never raise on what a model wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import cast

from holdfast.errors import ConfigError
from holdfast.graders.actions import actions
from holdfast.graders.choice import choice
from holdfast.graders.contains import contains
from holdfast.graders.countdown import Countdown
from holdfast.graders.exact import exact
from holdfast.graders.json_schema import JsonSchema
from holdfast.graders.label_model import LabelModel
from holdfast.graders.math_answer import MathAnswer
from holdfast.graders.multi import Multi
from holdfast.graders.parametrised import ALL_COLUMNS, Grader, Plain, validated
from holdfast.graders.preferred import preferred
from holdfast.graders.python_code import PythonCode
from holdfast.graders.regex import Regex
from holdfast.graders.score_model import ScoreModel
from holdfast.graders.string_check import StringCheck
from holdfast.graders.text_similarity import TextSimilarity
from holdfast.graders.tool_call_match import ToolCallMatch
from holdfast.graders.unit_tests import UnitTests
from holdfast.types import Completion, Example, JSONValue, Score

__all__ = ["ALL_COLUMNS", "GRADERS", "Grader", "grader", "title"]

GRADERS: Mapping[str, type[Grader] | Callable[[Completion, Example], Score]] = {
    "actions": actions,
    "choice": choice,
    "contains": contains,
    "countdown": Countdown,
    "exact": exact,
    "json_schema": JsonSchema,
    "label_model": LabelModel,
    "math": MathAnswer,
    "multi": Multi,
    "preferred": preferred,
    "python": PythonCode,
    "regex": Regex,
    "score_model": ScoreModel,
    "string_check": StringCheck,
    "text_similarity": TextSimilarity,
    "tool_call_match": ToolCallMatch,
    "unit_tests": UnitTests,
}
"""Every grader by name: a class where it has settings, else a function."""


def grader(spec: str | Mapping[str, JSONValue]) -> Grader:
    """Returns the grader that `spec` is: a name, or its JSON (an object, or its text) with a `type`.

    Raises:
        ConfigError: there is no such grader, or a setting of it is wrong; the nearest name is said.
    """
    if isinstance(spec, Mapping):
        return _of_json(spec)
    if spec.lstrip().startswith("{"):
        try:
            found = json.loads(spec)
        except ValueError as error:
            raise ConfigError(f"The grader is not JSON: {error}.", param="grader") from None
        except RecursionError:
            raise ConfigError("The grader's JSON is nested too deeply to be read.", param="grader") from None
        return _of_json(cast("Mapping[str, JSONValue]", found))
    return _of_json({"type": spec})


def title(spec: str) -> str:
    """Returns what a grader is called where there is no room for its settings: its name, or its type."""
    if not spec.startswith("{"):
        return spec
    found = grader(spec)
    return found.name or found.type


def _of_json(settings: Mapping[str, JSONValue]) -> Grader:
    name = settings.get("type")
    if name is None:
        raise ConfigError(f"The grader has no type. Give one of: {', '.join(GRADERS)}.", param="grader.type")
    if not isinstance(name, str) or name not in GRADERS:
        close = get_close_matches(str(name), GRADERS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(GRADERS)}."
        raise ConfigError(f"There is no grader {name!r}. {hint}", param="grader")
    kind = GRADERS[name]
    if not isinstance(kind, type):
        if set(settings) - {"type", "name"}:
            raise ConfigError(f"The grader {name} has no settings.", param="grader")
        return Plain.of(name, kind)
    if kind is Multi:
        return validated(kind, {**settings, "graders": _parts(settings.get("graders"))})
    return validated(kind, settings)


def _parts(graders: JSONValue) -> dict[str, Grader]:
    if not isinstance(graders, dict) or not all(isinstance(part, dict) for part in graders.values()):
        raise ConfigError("A multi grader's graders are an object of names and graders.", param="grader.graders")
    parts = {name: _of_json(cast("Mapping[str, JSONValue]", part)) for name, part in graders.items()}
    if any(isinstance(part, Multi) for part in parts.values()):
        raise ConfigError("A multi grader cannot hold another one.", param="grader.graders")
    return parts
