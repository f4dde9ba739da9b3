"""What graders with settings share: they are written as JSON, check their settings, and call `judge`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from holdfast.errors import ConfigError, GraderError
from holdfast.graders.reference import NO_REFERENCE, broken, outcome_of
from holdfast.graders.template import View, columns_in, item_of
from holdfast.types import Completion, Score

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.types import Example, JSONValue

ALL_COLUMNS = "*"
"""Stands for every column, where code reads the item."""


class Grader(BaseModel, ABC, frozen=True, extra="forbid"):
    """A grader with settings. Texts may hold `{{ item.x }}` and `{{ sample.x }}`.

    `pass_threshold` is the least value that passes; a value itself stays as it is, as a reward.
    """

    needs: ClassVar[str] = ""
    """The extra that must be installed for it; empty if none."""

    type: str
    name: str = ""
    pass_threshold: float = Field(default=1.0, ge=0.0, le=1.0)

    @abstractmethod
    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer; may raise `GraderError` for one that cannot be graded."""

    def __call__(self, completion: Completion, example: Example) -> Score:
        """Judges one answer; what breaks the grader is an answer that could not be graded.

        Raises:
            ConfigError: what the grader needs is not installed or not set.
        """
        try:
            return self.judge(completion, example, View(completion, example))
        except GraderError as error:
            return outcome_of(error)
        except ConfigError:
            raise  # something is not installed or not set: no answer's fault
        except (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
            return broken(self.type, error)

    def ready(self) -> list[str]:
        """Returns what a person should know before the first answer is judged, as sentences.

        Raises:
            ConfigError: what the grader needs is not installed, not set, or cannot be had on this machine.
        """
        return []

    def with_model(self, ask: Callable[[Sequence[Sequence[dict[str, str]]], int], Sequence[str]]) -> Grader:
        """Returns the grader with the model at hand, for those that ask it: (conversations, most tokens) -> answers."""
        del ask
        return self

    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges several answers; graders for which a call costs something do it in one."""
        return [self(completion, example) for completion, example in answers]

    def columns(self) -> set[str]:
        """Returns the columns of the item that the grader reads, or `ALL_COLUMNS`."""
        texts = [value for value in self.model_dump().values() if isinstance(value, str)]
        return {column for text in texts for column in columns_in(text)}

    def lacking(self, example: Example) -> str | None:
        """Returns what the item lacks that the grader reads, in words, or None."""
        there = item_of(example)
        missing = sorted(column for column in self.columns() - {ALL_COLUMNS} if column not in there)
        if not missing:
            return None
        if missing == ["reference"]:
            return "has no answer to compare with"
        return f"lacks what the grader reads: {', '.join(missing)} (there are {', '.join(sorted(there))})"

    def scored(self, value: float, explanation: str) -> Score:
        """Returns a value of 0 to 1 with the verdict that the threshold gives it."""
        return Score(value=value, passed=value >= self.pass_threshold, explanation=explanation)

    def as_json(self) -> dict[str, JSONValue]:
        """Returns the grader as JSON, its settings at their defaults left out."""
        return {"type": self.type, **self.model_dump(mode="json", by_alias=True, exclude_defaults=True)}

    def spelled(self) -> str:
        """Returns the one spelling of the grader, by which scores are told apart: its name, or its JSON."""
        found = self.as_json()
        return self.type if len(found) == 1 else json.dumps(found, ensure_ascii=False, sort_keys=True)


class BatchGrader(Grader, frozen=True):
    """A grader for which a call costs something: it judges many answers in one, and a single one as a batch of one."""

    @abstractmethod
    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges several answers in one."""

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        del view
        return self.many([(completion, example)])[0]


class Plain(Grader, frozen=True):
    """A grader without settings: a function of the answer and its item."""

    _function: Callable[[Completion, Example], Score] = PrivateAttr()

    @classmethod
    def of(cls, name: str, function: Callable[[Completion, Example], Score]) -> Plain:
        """Returns `function` as a grader."""
        made = cls(type=name)
        made._function = function  # pyright: ignore[reportAttributeAccessIssue] - pydantic lets private ones be set
        return made

    def lacking(self, example: Example) -> str | None:
        """Returns that there is nothing to compare with, or None."""
        there = example.demonstration is not None or example.label is not None
        if not there:
            return "has no answer to compare with"
        of_nothing = self(Completion("", (), (), "stop"), example)
        return of_nothing.explanation.removeprefix("the item ") if of_nothing.error_type == NO_REFERENCE else None

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        del view
        return self._function(completion, example)


def validated(kind: type[Grader], settings: Mapping[str, object]) -> Grader:
    """Returns the grader of these settings, null being none; raises `ConfigError` that names the first wrong one."""
    try:
        return kind.model_validate({name: value for name, value in settings.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "grader"
        known = ", ".join(name for name in kind.model_fields if name != "type")
        hint = f" A {settings.get('type')} grader has: {known}." if first["type"] == "extra_forbidden" else ""
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        raise ConfigError(f"The grader's {place}: {said}.{hint}", param=f"grader.{place}") from None
