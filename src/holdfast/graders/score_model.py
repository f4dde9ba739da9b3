"""Score model: OpenAI's `score_model` grader, a model that gives an answer a number.

Choices made here. The number is clipped to `range` and then stretched to 0 to 1, so that it can be a reward.
An answer without a number is one that could not be graded, where OpenAI counts it as 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from holdfast.errors import GraderError
from holdfast.graders.asked_model import AskedModel
from holdfast.graders.reference import shown
from holdfast.graders.template import json_in

if TYPE_CHECKING:
    from holdfast.types import Score


class ScoreModel(AskedModel, frozen=True):
    """A model's number for an answer, with its reasons."""

    type: Literal["score_model"] = "score_model"
    range: tuple[float, float] = (0.0, 1.0)
    pass_threshold: float = Field(default=0.5, ge=0.0, le=1.0)

    @field_validator("range")
    @classmethod
    def _rises(cls, found: tuple[float, float]) -> tuple[float, float]:
        if not found[0] < found[1]:
            raise ValueError("its first number must be less than its second")
        return found

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
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise GraderError(f"{self.model} gave no number: {shown(answer)}", kind="invalid_score")
        low, high = self.range
        value = (min(high, max(low, float(number))) - low) / (high - low)
        steps = found.get("steps") if isinstance(found, dict) else None
        reason = f": {shown(' '.join(map(str, steps)))}" if isinstance(steps, list) and steps else ""
        return self.scored(value, f"{self.model} gives {number:g} of {low:g} to {high:g}{reason}")
