"""Graders judge one completion: a Score in [0, 1] with an explanation. They never raise on what a model wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import TypeAlias

from holdfast.errors import ConfigError
from holdfast.graders.actions import actions
from holdfast.graders.choice import choice
from holdfast.graders.contains import contains
from holdfast.graders.exact import exact
from holdfast.graders.reference import ungradable
from holdfast.graders.tool_call_match import tool_call_match
from holdfast.types import Completion, Example, Score

__all__ = ["GRADERS", "Grader", "grader"]

Grader: TypeAlias = Callable[[Completion, Example], Score]


def _guarded(grade: Grader) -> Grader:
    """The same grader; an answer that breaks it is ungradable instead of the end of an evaluation."""

    @wraps(grade)
    def guarded(completion: Completion, example: Example) -> Score:
        try:
            return grade(completion, example)
        except (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
            return ungradable("grader_failed", f"{grade.__name__} failed: {type(error).__name__}: {str(error)[:200]}")

    return guarded


GRADERS: Mapping[str, Grader] = {
    "actions": _guarded(actions),
    "choice": _guarded(choice),
    "contains": _guarded(contains),
    "exact": _guarded(exact),
    "tool_call_match": _guarded(tool_call_match),
}
"""Every grader by name."""


def grader(name: str) -> Grader:
    """Returns the grader called `name`; raises `ConfigError` with the nearest name if there is none."""
    if name in GRADERS:
        return GRADERS[name]
    close = get_close_matches(name, GRADERS, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(GRADERS)}."
    raise ConfigError(f"There is no grader {name!r}. {hint}", param="grader")
