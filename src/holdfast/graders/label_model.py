"""Label model: OpenAI's `label_model` grader, a model that puts an answer into a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from holdfast.errors import GraderError
from holdfast.graders.asked_model import AskedModel
from holdfast.graders.reference import judged, shown
from holdfast.graders.template import json_in

if TYPE_CHECKING:
    from typing import Self

    from holdfast.types import Score


class LabelModel(AskedModel, frozen=True):
    """Right if the class that a model gives an answer is one of `passing_labels`."""

    type: Literal["label_model"] = "label_model"
    labels: tuple[str, ...] = Field(min_length=2)
    passing_labels: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _passing_labels_are_labels(self) -> Self:
        unknown = set(self.passing_labels) - set(self.labels)
        if unknown:
            raise ValueError(f"passing_labels holds what is none of its labels: {', '.join(sorted(unknown))}")
        return self

    def request(self) -> str:
        """Returns what the model is told about the form of its answer."""
        return f'Answer with JSON only: {{"label": one of {", ".join(map(repr, self.labels))}}}'

    def form(self) -> dict[str, Any]:
        """Returns the JSON schema of its answer."""
        label = {"type": "string", "enum": list(self.labels)}
        return {"type": "object", "properties": {"label": label}, "required": ["label"], "additionalProperties": False}

    def understood(self, answer: str) -> Score:
        """Judges by the label."""
        found = json_in(answer)
        label = found.get("label") if isinstance(found, dict) else answer.strip().strip("\"'.")
        if label not in self.labels:
            raise GraderError(f"{self.model} gave none of the labels: {shown(answer)}", kind="invalid_label")
        return judged(right=label in self.passing_labels, explanation=f"{self.model} calls it {label}")
