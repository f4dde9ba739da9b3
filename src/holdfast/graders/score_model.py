"""Score model: OpenAI's `score_model` grader, a model that gives an answer a number.

Choices made here. The number is clipped to `range` and then stretched to 0 to 1, so that it can be a reward: that is
the value which formulas of a `multi` grader see. `pass_threshold` is on the scale of `range`, and its middle
where none is given. An answer without a number is one that could not be graded, where OpenAI counts it as 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator, model_validator

from holdfast.errors import GraderError
from holdfast.graders.asked_model import AskedModel
from holdfast.graders.reference import shown
from holdfast.graders.template import json_in
from holdfast.types import Score

if TYPE_CHECKING:
    from typing import Self

LARGEST_TOLD = 1e9
"""Numbers beyond it are told as what they count as."""


class ScoreModel(AskedModel, frozen=True):
    """A model's number for an answer, stretched from `range` to 0 to 1; `pass_threshold` is on the scale of `range`."""

    type: Literal["score_model"] = "score_model"
    range: tuple[float, float] = (0.0, 1.0)
    pass_threshold: float = 0.5

    @field_validator("range")
    @classmethod
    def _rises(cls, found: tuple[float, float]) -> tuple[float, float]:
        if not found[0] < found[1]:
            raise ValueError("its first number must be less than its second")
        return found

    @model_validator(mode="before")
    @classmethod
    def _middle_passes(cls, settings: dict[str, Any]) -> dict[str, Any]:
        limits = settings.get("range")
        if "pass_threshold" in settings or not isinstance(limits, list | tuple) or len(limits) != 2:
            return settings
        if not all(isinstance(limit, int | float) for limit in limits):
            return settings
        return {**settings, "pass_threshold": sum(limits) / 2}

    @model_validator(mode="after")
    def _threshold_is_in_range(self) -> Self:
        low, high = self.range
        if not low <= self.pass_threshold <= high:
            raise ValueError(
                f"pass_threshold {self.pass_threshold:g} is not within its range: give one from {low:g} to {high:g}"
            )
        return self

    def request(self) -> str:
        """Returns what the model is told about the form of its answer."""
        low, high = self.range
        return (
            f'Answer with JSON only: {{"steps": [your reasoning, one text a step], "result": a number from {low:g} to '
            f"{high:g}}}"
        )

    def form(self) -> dict[str, Any]:
        """Returns the JSON schema of its answer."""
        steps = {"type": "array", "items": {"type": "string"}}
        properties = {"steps": steps, "result": {"type": "number"}}
        return {
            "type": "object",
            "properties": properties,
            "required": ["steps", "result"],
            "additionalProperties": False,
        }

    def understood(self, answer: str) -> Score:
        """Judges by the number."""
        found = json_in(answer)
        number = found.get("result") if isinstance(found, dict) else found
        if not isinstance(number, int | float) or isinstance(number, bool) or not -math.inf < number < math.inf:
            raise GraderError(f"{self.model} gave no number: {shown(answer)}", kind="invalid_score")
        low, high = self.range
        clipped = float(min(high, max(low, number)))  # a whole number may be too large to become a float
        told = number if abs(number) < LARGEST_TOLD else clipped
        steps = found.get("steps") if isinstance(found, dict) else None
        reason = f": {shown(' '.join(map(str, steps)))}" if isinstance(steps, list) and steps else ""
        return Score(
            value=(clipped - low) / (high - low),
            passed=clipped >= self.pass_threshold,
            explanation=f"{self.model} gives {told:g} of {low:g} to {high:g}{reason}",
        )
