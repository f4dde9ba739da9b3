"""The recipe of a run: one frozen object for Python, TOML, the command line and the store.

Importable without torch. A default is the setting we vouch for on the embedded base; where a larger
model needs another one, the default is "auto" and `training/defaults.py` chooses and says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from holdfast.models.adapter_config import AdapterConfig
from holdfast.settings import Count, Positive, Settings, Share, explain, parse_toml
from holdfast.training.method_config import (
    AutoConfig,
    ClassifyConfig,
    DpoConfig,
    MethodConfig,
    SdftConfig,
    SftConfig,
)
from holdfast.training.recipe_source import apply_overrides
from holdfast.training.reflect_config import ReflectConfig
from holdfast.training.unread import unread_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue

__all__ = [
    "AutoConfig",
    "BatchConfig",
    "ClassifyConfig",
    "Count",
    "DpoConfig",
    "EvaluationConfig",
    "GateConfig",
    "GuardsConfig",
    "MethodConfig",
    "OptimizerConfig",
    "Positive",
    "Recipe",
    "ReflectConfig",
    "RehearsalConfig",
    "SdftConfig",
    "Settings",
    "SftConfig",
    "Share",
]

METHOD_NAMES = ("auto", "sft", "sdft", "dpo", "reflect", "classify")
"""What `method.type` may be."""


class OptimizerConfig(Settings):
    """AdamW with warm-up, and the numbers around it."""

    learning_rate: Positive | Literal["auto"] = "auto"
    """Peak learning rate; auto = by model size and adapter (5e-4 full, 3e-3 LoRA on the embedded base)."""
    learning_rate_factor: Positive = 1.0
    """The rate that auto chooses is multiplied by this (`learning_rate_multiplier` of a fine-tuning job)."""
    warmup_steps: Annotated[int, Field(ge=0)] = 10
    """Steps over which the learning rate rises linearly from zero."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """AdamW's decoupled weight decay, towards zero."""
    l2_sp: Annotated[float, Field(ge=0.0)] | Literal["auto"] = "auto"
    """Decoupled decay towards the current version (L2-SP, arXiv:1802.01483): after an update the weights go back by
    learning rate x this share; auto = 5 beside reminders, 0 without."""
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.98
    """AdamW's decay of the squared gradients; a run of some hundred steps learns sooner with less than 0.999."""
    clip_norm: Positive = 1.0
    """Gradients are scaled down to this global norm."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.learning_rate != "auto":
            self.refuse_if_changed(["learning_rate_factor"], "learning_rate is given")
        return self


class BatchConfig(Settings):
    """How many examples a step learns from, and how they are cut into micro-batches."""

    examples: Annotated[int, Field(ge=1, le=1_000_000)] = 24
    """New examples of an optimizer step."""
    micro_batch_tokens: Count = 16_384
    """Padded tokens that go through the model at once; smaller saves memory and changes no gradient."""
    max_tokens: Count | None = None
    """Examples longer than this are rejected by name; none = what the model can read. Nothing is truncated."""


class RehearsalConfig(Settings):
    """Self-rehearsal: reminders written and answered by the frozen current version, mixed into every step."""

    enabled: bool = True
    """Off = nothing protects what the model already knows except the method itself."""
    per_step: Count = 24
    """Reminders of an optimizer step."""
    weight: Positive = 16.0
    """Weight of their forward KL(current || candidate) beside the method's loss, at the last step."""
    first_weight: Positive = 1.0
    """Its weight at the first step; from there it grows evenly, so that a skill is learned first and settled last."""
    num_reminders: Count = 2000
    """Reminders prepared for a stage, over all sources."""
    self_written_share: Share = 0.5
    """Share of prompts that the current version writes itself; shares of sources that exist are scaled to one."""
    registered_share: Share = 0.5
    """Share of training prompts (never answers, never tests) of the skills learnt before."""
    given_share: Share = 0.5
    """Share of prompts from `prompts_file`."""
    prompts_file: str | None = None
    """A file of prompts that matter to you, in any format that training data may have."""
    system_turn_share: Share = 0.25
    """Share of self-written prompts that begin with a self-written system turn."""
    follow_up_share: Share = 0.15
    """Share of self-written prompts that carry a conversation on for another turn."""
    max_prompt_tokens: Count = 256
    """Longer self-written prompts are dropped as truncated."""
    max_new_tokens: Count = 128
    """Longest completion of a reminder; a longer one is cut there and carries no end of turn."""
    temperature: Positive = 1.0
    """Sampling temperature of prompts and completions."""
    cache: Literal["hidden", "off"] = "hidden"
    """hidden = the teacher's final hidden states are computed once per reminder (exact); off = anew in each step."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if not self.enabled:
            others = [name for name in type(self).model_fields if name != "enabled"]
            self.refuse_if_changed(others, "rehearsal.enabled is false")
        if self.prompts_file is None:
            self.refuse_if_changed(["given_share"], "prompts_file names no file")
        elif self.given_share == 0:
            raise ValueError("prompts_file would have no effect because given_share is 0; remove it")
        if self.self_written_share == 0:
            self.refuse_if_changed(
                ["system_turn_share", "follow_up_share", "max_prompt_tokens"],
                "self_written_share is 0",
            )
        if not (self.self_written_share or self.registered_share or (self.prompts_file and self.given_share)):
            raise ValueError("every source of reminders has share 0; set enabled = false instead")
        return self


class GuardsConfig(Settings):
    """What is checked before a run and watched during it."""

    teacher_check: Literal["refuse", "warn", "off"] = "refuse"
    """What to do when the context does not make the SDFT teacher better than the student."""
    teacher_check_examples: Count = 32
    """Examples that this check looks at."""
    reflection_check: Literal["refuse", "warn", "off"] = "refuse"
    """What to do when the retries of reflect are too much alike to learn from."""
    reflection_check_tasks: Count = 48
    """Tasks that this check looks at."""
    alignment_check: bool = True
    """Score greedy completions again before the run and demand that the model recognises its own tokens."""
    window: Count = 20
    """Steps over which the monitors average."""
    min_end_rate: Share = 0.3
    """Least share of rollouts that end their turn by themselves."""
    max_repetition: Share = 0.6
    """Greatest share of repeated 4-grams in rollouts."""
    max_length_ratio: Annotated[float, Field(gt=1.0)] = 6.0
    """Greatest growth of mean rollout length over the run's first window."""
    min_kl: Annotated[float, Field(ge=0.0)] = 1e-5
    """Least mean KL to the teacher in the first window, and later for a moving teacher; less teaches nothing."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.teacher_check == "off":
            self.refuse_if_changed(["teacher_check_examples"], 'teacher_check is "off"')
        return self


class EvaluationConfig(Settings):
    """How a skill is tested."""

    test_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """Share of the data held out as the skill's test when no test file is given."""
    max_new_tokens: Count = 128
    """Longest answer in a test."""
    max_items: Count | None = None
    """Test items used of each skill (the first in content order); none = all."""
    reflect: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """How often a failed answer is reflected on and tried again, by the grader's word; auto = once with reflect."""
    grader: str = "auto"
    """Name of a grader, a file with one (.json, .py), its JSON or a table; auto = by the form of the data."""

    @field_validator("grader", mode="before")
    @classmethod
    def _as_text(cls, grader: object) -> object:
        return json.dumps(grader, sort_keys=True) if isinstance(grader, dict) else grader


class GateConfig(Settings):
    """When a candidate is promoted, and what is tried when it is not."""

    margin: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.02
    """Largest loss of accuracy on an earlier skill that is taken as none."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """One-sided confidence of the gate's statements."""
    remedies: tuple[Literal["earlier_checkpoint", "interpolation", "rehearsal", "lower_learning_rate"], ...] = (
        "earlier_checkpoint",
        "interpolation",
        "rehearsal",
        "lower_learning_rate",
    )
    """Tried in this order after a refusal; empty = none."""
    remedy_budget: Annotated[int, Field(ge=0)] = 4
    """Remedies tried at most."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if not self.remedies:
            self.refuse_if_changed(["remedy_budget"], "there are no remedies")
        if not self.remedy_budget and self.remedies:
            self.refuse_if_changed(["remedies"], "remedy_budget is 0")
        return self


class Recipe(Settings):
    """Everything that decides what a run does, besides its data."""

    base: str = "holdfast:tiny"
    """The base model: holdfast:tiny, a Hugging Face id, or a local folder."""
    method: MethodConfig = AutoConfig()
    """What is learnt from an example: auto, sft, sdft, dpo, reflect or classify, with its settings."""
    adapter: AdapterConfig | Literal["none", "auto"] = "auto"
    """A LoRA adapter, none = full fine-tuning, auto = by model size."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Learning rate, schedule, clipping."""
    batch: BatchConfig = BatchConfig()
    """Examples per step and micro-batches."""
    rehearsal: RehearsalConfig = RehearsalConfig()
    """The reminders that protect earlier abilities."""
    guards: GuardsConfig = GuardsConfig()
    """Checks before and monitors during a run."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How the skill is tested."""
    gate: GateConfig = GateConfig()
    """When the candidate is promoted."""
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Optimizer steps; none = 400, or two epochs where that is more."""
    epochs: Annotated[float, Field(gt=0.0, le=10_000.0)] | None = None
    """Passes over the training examples, instead of `steps`."""
    checkpoint_every: Count = 50
    """Steps between two checkpoints."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the base weights and of the forward pass; trained weights and the loss stay in float32."""
    seed: int = 0
    """Every draw of the run derives from it."""

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> Self:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("epochs would have no effect because steps is set; remove one of them")
        return self

    @model_validator(mode="after")
    def _method_reads_what_is_set(self) -> Self:
        if names := unread_settings(self, self.method.type):
            raise ValueError(f"{names[0]} would have no effect because method is {self.method.type}; remove it")
        if not self.rehearsal.enabled and self.gate.remedies == ("rehearsal",):
            raise ValueError(
                "gate.remedies would have no effect because rehearsal.enabled is false; change one of them"
            )
        return self

    def with_method(
        self, config: SftConfig | SdftConfig | DpoConfig | ReflectConfig | ClassifyConfig
    ) -> tuple[Self, list[str]]:
        """Returns the recipe with a method that was chosen for it, and the names of settings it does not read.

        Those settings stand at their defaults in what is returned.
        """
        chosen = self.model_copy(update={"method": config})
        names = unread_settings(chosen, config.type)
        for name in names:
            table, _, setting = name.partition(".")
            value = getattr(type(self)(), table)
            if setting:
                value = getattr(chosen, table).model_copy(update={setting: getattr(value, setting)})
            chosen = chosen.model_copy(update={table: value})
        return chosen, names

    @classmethod
    def from_mapping(cls, values: Mapping[str, JSONValue], *, where: str = "recipe") -> Self:
        """Returns the recipe that nested `values` describe; raises ConfigError with the nearest name."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise explain(error, cls, where, METHOD_NAMES) from None

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Sequence[str] = ()) -> Self:
        """Returns the recipe in a TOML file, with `key=value` overrides applied."""
        return cls.from_mapping(apply_overrides(parse_toml(Path(path)), overrides), where=str(path))

    @classmethod
    def from_overrides(cls, overrides: Sequence[str]) -> Self:
        """Returns the default recipe with `key=value` overrides applied."""
        return cls.from_mapping(apply_overrides({}, overrides))
