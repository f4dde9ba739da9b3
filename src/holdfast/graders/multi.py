"""Multi: OpenAI's `multi` grader, a formula over the values of several graders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, PrivateAttr

from holdfast.errors import GraderError
from holdfast.graders.formula import Formula
from holdfast.graders.parametrised import BatchGrader, Grader
from holdfast.graders.reference import shown, ungradable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.graders.asked_model import Ask
    from holdfast.types import Completion, Example, JSONValue, Score


class Multi(BatchGrader, frozen=True):
    """The value of `calculate_output` over the values of `graders`, which are named there."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    type: Literal["multi"] = "multi"
    graders: dict[str, Grader] = Field(min_length=1)
    calculate_output: str
    pass_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    _formula: Formula = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Parses the formula, so that a wrong one is refused before anything is graded."""
        del context
        formula = Formula(self.calculate_output, self.graders.keys())
        self._formula = formula  # pyright: ignore[reportAttributeAccessIssue] - pydantic lets private ones be set

    def ready(self) -> list[str]:
        """Returns what any of its graders has to say."""
        return [sentence for part in self.graders.values() for sentence in part.ready()]

    def with_model(self, ask: Ask) -> Multi:
        """Returns the grader with the model at hand for each of its graders."""
        parts = {name: part.with_model(ask) for name, part in self.graders.items()}
        return Multi(**{**dict(self), "graders": parts})

    def columns(self) -> set[str]:
        """Returns the columns that any of its graders reads."""
        return {column for part in self.graders.values() for column in part.columns()}

    def lacking(self, example: Example) -> str | None:
        """Returns what the first of its graders lacks."""
        return next((text for text in (part.lacking(example) for part in self.graders.values()) if text), None)

    def as_json(self) -> dict[str, JSONValue]:
        """Returns the grader as JSON, each of its graders too."""
        return {**super().as_json(), "graders": {name: part.as_json() for name, part in self.graders.items()}}

    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges all answers, each grader once for all of them."""
        used = {name: part.many(answers) for name, part in self.graders.items() if name in self._formula.names}
        return [self._one({name: scores[place] for name, scores in used.items()}) for place in range(len(answers))]

    def _one(self, parts: dict[str, Score]) -> Score:
        for name, part in parts.items():
            if part.error_type is not None:
                return ungradable(part.error_type, f"{name}: {part.explanation}")
        try:
            value = self._formula.value({name: part.value for name, part in parts.items()})
        except GraderError as error:
            return ungradable(error.kind, error.message)
        if not 0.0 <= value <= 1.0:
            return ungradable("invalid_score", f"{self.calculate_output} is {value:g}; scores lie between 0 and 1")
        words = ", ".join(f"{name} {part.value:g}" for name, part in parts.items())
        reasons = "; ".join(f"{name}: {part.explanation}" for name, part in parts.items() if part.value < 1)
        return self.scored(value, f"{words}: {value:g}" + (f" ({shown(reasons)})" if reasons else ""))
