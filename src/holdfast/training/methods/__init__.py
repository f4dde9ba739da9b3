"""The training methods, by the name that a recipe gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.training.config import ClassifyConfig, DpoConfig, ReflectConfig, SdftConfig, SftConfig
from holdfast.training.defaults import choose_skip_tokens
from holdfast.training.judging import judge_with
from holdfast.training.methods.classify import Classify
from holdfast.training.methods.dpo import Dpo
from holdfast.training.methods.reflect_retry_reward import ReflectRetryReward
from holdfast.training.methods.sdft import Sdft
from holdfast.training.methods.sft import Sft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.models.learner import Learner
    from holdfast.training.config import Recipe
    from holdfast.training.method import Method
    from holdfast.types import Example

METHODS: dict[str, type[Sft | Sdft | Dpo | Classify | ReflectRetryReward]] = {
    "sft": Sft,
    "sdft": Sdft,
    "dpo": Dpo,
    "classify": Classify,
    "reflect": ReflectRetryReward,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """The method that fits some examples, and why."""

    config: SftConfig | SdftConfig | DpoConfig | ClassifyConfig
    reason: str


def choose(examples: Sequence[Example]) -> Choice:
    """Returns the method for `method = "auto"` from the form of the data; a check of the teacher may change it."""
    if not examples:
        raise NothingToLearnError("there is no example to choose a method for. Look at rejected.jsonl for the reasons.")
    labelled = sum(example.label is not None for example in examples)
    if labelled == len(examples):
        return Choice(ClassifyConfig(), "classify: every example is a text with a label")
    if labelled:
        raise ConfigError(
            f"{labelled} of {len(examples)} examples have a label and the others none, so no one method fits. "
            "Split the file, or name a method.",
            param="method",
        )
    pairs = sum(example.rejected is not None for example in examples)
    if pairs == len(examples):
        return Choice(DpoConfig(), "dpo: every example has an answer that is preferred and one that is not")
    if pairs:
        raise ConfigError(
            f"{pairs} of {len(examples)} examples have a rejected answer and the others none, so no one method fits. "
            "Split the file, or name a method.",
            param="method",
        )
    if any(example.privileged_context is not None or example.document is not None for example in examples):
        return Choice(SdftConfig(), "sdft: there is a context that only a teacher may read")
    if all(example.demonstration is None for example in examples):
        raise NothingToLearnError(
            "the examples are prompts only: there is neither a demonstration nor a privileged_context to learn from."
        )
    return Choice(SdftConfig(), "sdft: every demonstration can be read by the model as its own teacher")


def build(recipe: Recipe, learner: Learner, examples: Sequence[Example]) -> Method:
    """Returns the recipe's method, ready for a run; a method of "auto" must have been chosen before."""
    config = recipe.method
    if isinstance(config, SftConfig):
        return Sft(config, max_tokens=recipe.batch.max_tokens)
    if isinstance(config, SdftConfig):
        return Sdft(config, skip_tokens=choose_skip_tokens(config, learner.num_parameters))
    if isinstance(config, DpoConfig):
        return Dpo(config, learner, max_tokens=recipe.batch.max_tokens)
    if isinstance(config, ClassifyConfig):
        return Classify(config, learner, examples, seed=recipe.seed)
    if isinstance(config, ReflectConfig):
        return ReflectRetryReward(config, learner, examples, judge_with(learner, recipe.evaluation.grader))
    raise ConfigError('method = "auto" has to be resolved with `choose` before a run is built.', param="method")
