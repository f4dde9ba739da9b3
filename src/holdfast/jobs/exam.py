"""How a skill is tested: its evaluation settings, and how often the model may reflect and try again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.training.config import EvaluationConfig, Recipe, ReflectConfig

if TYPE_CHECKING:
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue, Skill


@dataclass(frozen=True, slots=True)
class Exam:
    """Settings of a test; `retries` reflections and further tries after a failure, in the words of `reflect`."""

    evaluation: EvaluationConfig
    reflect: ReflectConfig
    retries: int

    def spelled(self, grader: str) -> str:
        """Returns everything that an answer and its score depend on, in one spelling."""
        how: dict[str, JSONValue] = {"grader": grader, "max_new_tokens": self.evaluation.max_new_tokens}
        if self.retries:
            told: dict[str, JSONValue] = {
                "templates": self.reflect.templates.model_dump(),
                "max_reflection_tokens": self.reflect.max_tokens.reflection,
                "max_retry_tokens": self.reflect.max_tokens.retry,
            }
            how |= {"retries": self.retries, **told}
        return json.dumps(how)


def exam_of(recipe: Recipe) -> Exam:
    """Returns how the skill that a recipe teaches is tested."""
    method = recipe.method
    reflect = method if isinstance(method, ReflectConfig) else ReflectConfig()
    asked = recipe.evaluation.reflect
    retries = int(isinstance(method, ReflectConfig)) if asked == "auto" else asked
    return Exam(recipe.evaluation, reflect, retries)


def exam_of_skill(workspace: Workspace, skill: Skill) -> Exam:
    """Returns how a skill was tested when it was last taught, so that it is always tested alike."""
    taught = [version for version in workspace.versions() if version.skill == skill.name and version.recipe]
    if not taught:
        return exam_of(Recipe())
    return exam_of(Recipe.from_mapping(taught[-1].recipe, where=f"version {taught[-1].id}"))
