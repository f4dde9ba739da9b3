"""Settings left on "auto", chosen from the model's size, each with the reason that is told to the user."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.models.adapter_config import AdapterConfig

if TYPE_CHECKING:
    from holdfast.training.config import Recipe, SdftConfig

SMALL_MODEL_PARAMETERS = 100_000_000
"""Below this, all weights are trained: a second copy is cheap and an adapter has no capacity to spare."""
TINY_MODEL_PARAMETERS = 20_000_000
"""Below this, the learning rates tried on the embedded base hold."""


@dataclass(frozen=True, slots=True)
class ChosenAdapter:
    """The adapter of a run (None = full fine-tuning) and why."""

    adapter: AdapterConfig | None
    reason: str


@dataclass(frozen=True, slots=True)
class ChosenRate:
    """The peak learning rate of a run and why."""

    learning_rate: float
    reason: str


def choose_adapter(recipe: Recipe, num_parameters: int) -> ChosenAdapter:
    """Returns the adapter that the recipe asks for, or the one that fits a model of this size."""
    if recipe.adapter == "none":
        return ChosenAdapter(None, "full fine-tuning, as the recipe says")
    if recipe.adapter != "auto":
        return ChosenAdapter(recipe.adapter, "the adapter of the recipe")
    if num_parameters < SMALL_MODEL_PARAMETERS:
        return ChosenAdapter(None, f"full fine-tuning: {num_parameters:,} parameters are few enough to train all")
    return ChosenAdapter(
        AdapterConfig(rank=16, alpha=32.0, dropout=0.0),
        f"a LoRA adapter: {num_parameters:,} parameters are too many to train all",
    )


def choose_learning_rate(recipe: Recipe, num_parameters: int, *, full: bool) -> ChosenRate:
    """Returns the recipe's learning rate, or the vouched one for a model of this size."""
    if recipe.optimizer.learning_rate != "auto":
        return ChosenRate(recipe.optimizer.learning_rate, "the learning rate of the recipe")
    what, factor = "full fine-tuning" if full else "LoRA", recipe.optimizer.learning_rate_factor
    rate, reason = 1e-5 if full else 1e-4, f"usual for {what} of models of this size; not measured here"
    if num_parameters < TINY_MODEL_PARAMETERS:
        rate, reason = 5e-4 if full else 3e-3, f"measured for {what} of the embedded base"
    elif num_parameters < 1_000_000_000:
        rate, reason = 5e-5 if full else 3e-4, f"usual for {what} below a billion parameters; not measured here"
    if recipe.method.type == "dpo" and num_parameters >= TINY_MODEL_PARAMETERS:
        # The loss falls as soon as two answers drift apart: a rate for demonstrations drives both out of reach.
        rate, reason = rate / 10, f"a tenth of what is {reason}, as dpo needs"
    return ChosenRate(rate * factor, reason if factor == 1 else f"{factor:g} times what is {reason}")


L2_SP = 5.0
"""Measured beside rehearsal on the embedded base: docs/forgetting.md."""


def choose_l2_sp(recipe: Recipe) -> float:
    """Returns the decay towards the current version: the recipe's, or the vouched one where reminders are mixed in."""
    if recipe.optimizer.l2_sp != "auto":
        return recipe.optimizer.l2_sp
    return L2_SP if recipe.rehearsal.enabled and recipe.method.type != "classify" else 0.0


def choose_skip_tokens(config: SdftConfig, num_parameters: int) -> int:
    """Returns how many first tokens of a rollout carry no loss.

    It is the recipe's number, or the paper's 3 (against "Based on the text ..."), which a tiny model's short answers
    cannot spare.
    """
    if config.skip_tokens != "auto":
        return config.skip_tokens
    return 0 if num_parameters < TINY_MODEL_PARAMETERS else 3


def count_steps(recipe: Recipe, num_examples: int) -> int:
    """Returns how many optimizer steps a run takes on `num_examples` examples."""
    if recipe.steps is not None:
        return recipe.steps
    per_epoch = num_examples / recipe.batch.examples
    if recipe.epochs is not None:
        return max(1, math.ceil(recipe.epochs * per_epoch))
    return max(400, math.ceil(2 * per_epoch))
