"""Settles what the recipe leaves open, once per run, and keeps it: a resumed run must not choose anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.graders import title
from holdfast.jobs.admission import has_context, reader_of, teacher_problem
from holdfast.jobs.grading import choose_grader
from holdfast.jobs.model import inherited_adapter
from holdfast.training.config import AutoConfig, ClassifyConfig, DpoConfig, Recipe, SdftConfig, SftConfig
from holdfast.training.defaults import (
    choose_adapter,
    choose_l2_sp,
    choose_learning_rate,
    choose_skip_tokens,
    count_steps,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.folder import LoadedData
    from holdfast.jobs.admission import Reader
    from holdfast.jobs.job import Job
    from holdfast.models.load import Loaded
    from holdfast.types import Example, JSONValue


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything that was chosen: the resolved recipe, the grader, the number of threads."""

    recipe: Recipe
    grader: str
    threads: int
    method_was_auto: bool


def settle(job: Job, loaded: Loaded, data: LoadedData) -> Settled:
    """Returns the run's choices, made and told at its first start and read back afterwards."""
    kept = cast("dict[str, JSONValue]", job.folder.once("settled", lambda: _choose(job, loaded, data)))
    for reason in cast("list[str]", kept["reasons"]):
        job.progress.say(f"{reason}.")
    return Settled(
        recipe=Recipe.from_mapping(cast("dict[str, JSONValue]", kept["recipe"]), where="the run's recipe"),
        grader=str(kept["grader"]),
        threads=cast("int", kept["threads"]),
        method_was_auto=bool(kept["method_was_auto"]),
    )


def _choose(job: Job, loaded: Loaded, data: LoadedData) -> JSONValue:
    from holdfast.models.threads import choose_threads

    recipe, reasons = inherited_adapter(job.recipe, job.parent), list(loaded.reasons)
    was_auto = isinstance(recipe.method, AutoConfig)
    if was_auto:
        recipe, said = _choose_method(recipe, reader_of(loaded), data)
        reasons += said
    pairs = sum(example.rejected is not None for example in data.train)
    if pairs and not isinstance(recipe.method, DpoConfig):
        reasons.append(f"{recipe.method.type} does not read the rejected answers of {pairs} examples")
    num_parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    if isinstance(recipe.method, SdftConfig) and recipe.method.skip_tokens == "auto":
        skip = choose_skip_tokens(recipe.method, num_parameters)
        recipe = recipe.model_copy(update={"method": recipe.method.model_copy(update={"skip_tokens": skip})})
        reasons.append(f"skip_tokens {skip}: chosen for a model of {num_parameters:,} parameters")
    adapter = choose_adapter(recipe, num_parameters)
    reasons.append(f"adapter: {adapter.reason}")
    recipe = recipe.model_copy(update={"adapter": adapter.adapter or "none"})
    rate = choose_learning_rate(recipe, num_parameters, full=adapter.adapter is None)
    reasons.append(f"learning rate {rate.learning_rate:g}: {rate.reason}")
    l2_sp = choose_l2_sp(recipe)
    if l2_sp:
        reasons.append(
            f"l2_sp {l2_sp:g}: after each update the weights go back by a share of {l2_sp * rate.learning_rate:.1%}"
        )
    chosen = {"learning_rate": rate.learning_rate, "learning_rate_factor": 1.0, "l2_sp": l2_sp}
    optimizer = recipe.optimizer.model_copy(update=chosen)
    steps = count_steps(recipe, len(data.train))
    threads = choose_threads(loaded.model)
    reasons.append(f"{threads.threads} threads: {threads.reason}")
    grader, why = _grader(recipe, data.test)
    reasons.append(f"grader {title(grader)}: {why}")
    recipe = recipe.model_copy(
        update={
            "evaluation": recipe.evaluation.model_copy(update={"grader": grader}),
            "optimizer": optimizer,
            "steps": steps,
            "epochs": None,
            "device": loaded.model.device.type,
            "precision": "bfloat16" if "bfloat16" in str(loaded.model.dtype) else "float32",
        }
    )
    return {
        "recipe": recipe.model_dump(mode="json"),
        "grader": grader,
        "threads": threads.threads,
        "method_was_auto": was_auto,
        "reasons": cast("list[JSONValue]", reasons),
    }


def _choose_method(recipe: Recipe, reader: Reader, data: LoadedData) -> tuple[Recipe, list[str]]:
    """Returns the recipe with the method that fits the data, and the reasons in words."""
    from holdfast.training.methods import choose

    choice = choose(data.train)
    config, reason = choice.config, choice.reason
    if isinstance(config, SdftConfig):
        bare = [example for example in data.train if not has_context(example)]  # the others were looked at before
        long = sum(teacher_problem(reader, example, config) is not None for example in bare)
        if long and len(bare) < len(data.train):
            raise ConfigError(
                f"sdft is what fits rows with a context, and for {long} of the examples the teacher's prompt does "
                "not fit the model. Name the method (--method sdft) to have them rejected by name.",
                param="method",
            )
        if long:
            config = SftConfig()
            reason = f"sft: the prompt of an SDFT teacher does not fit the model for {long} of the examples"
    recipe, unread = recipe.with_method(config)
    _require_one_kind(config, data.test)
    return recipe, [f"method {reason}", *(f"{name} has no effect with {config.type}" for name in unread)]


def _require_one_kind(config: SftConfig | SdftConfig | DpoConfig | ClassifyConfig, test: Sequence[Example]) -> None:
    """Refuses a test that mixes labels with answers: no one method can be judged by it."""
    labelled = sum(example.label is not None for example in test)
    if labelled not in ((len(test),) if isinstance(config, ClassifyConfig) else (0,)):
        raise ConfigError(
            f"{labelled} of {len(test)} test items have a label and the others none, and {config.type} was chosen for "
            "the training examples. Split the file, or name a method.",
            param="method",
        )


def _grader(recipe: Recipe, test: Sequence[Example]) -> tuple[str, str]:
    grader, why = choose_grader(recipe.evaluation.grader, test, pairs=isinstance(recipe.method, DpoConfig))
    if grader == "preferred" and recipe.evaluation.reflect not in ("auto", 0):
        raise ConfigError(
            "evaluation.reflect would have no effect because the grader is preferred: the model chooses between two "
            "answers and writes none; remove it",
            param="evaluation.reflect",
        )
    return grader, why
