"""The settings of every training method, and what all settings classes share. Importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Sequence

Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
Positive: TypeAlias = Annotated[float, Field(gt=0.0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of every settings class: frozen, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )

    def refuse_if_changed(self, names: Sequence[str], because: str) -> None:
        """Raises ValueError when one of `names` differs from its default although it has no effect."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} would have no effect because {because}; remove it")


class AutoConfig(Settings):
    """Let Holdfast choose the method from the data, and say why."""

    type: Literal["auto"] = "auto"


class SftConfig(Settings):
    """Supervised fine-tuning: cross-entropy on the demonstrations' own tokens."""

    type: Literal["sft"] = "sft"
    packing: bool = False
    """Put several examples into one row, each with its own positions and attention; pays off where lengths differ."""


class SdftConfig(Settings):
    """Self-distillation fine-tuning (arXiv 2601.19897): the model that reads the demonstration teaches itself."""

    type: Literal["sdft"] = "sdft"
    divergence: Literal["forward_kl", "reverse_kl", "jsd", "top_k_tail"] = "forward_kl"
    """What is minimised per token; forward_kl is KL(teacher || student) over the full vocabulary."""
    jsd_alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Weight of the teacher in the mixture; only for divergence = "jsd"."""
    top_k: Count = 64
    """Teacher tokens kept besides one bucket for the rest; only for divergence = "top_k_tail"."""
    skip_tokens: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    """First tokens of a completion that carry no loss (at least one token of every completion does); auto = 3, and
    0 below 20 million parameters, where the first tokens of an answer are its whole style."""
    skip_after: str = "</think>"
    """When a completion contains this text, the skipped tokens are counted after it; empty = from the start."""
    max_new_tokens: Count = 128
    """Longest rollout, in tokens."""
    temperature: Positive = 1.0
    """Temperature of rollouts and of both distributions in the loss."""
    samples_per_prompt: Count = 1
    """Rollouts of each prompt in a step; they share its weight."""
    steps_per_generation: Count = 1
    """Optimizer steps whose rollouts are sampled at once; each step trains on its own share of them."""
    teacher: Literal["frozen", "ema"] = "frozen"
    """frozen = the promoted version for the whole stage; ema = a moving average of the candidate."""
    ema_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.01
    """Share of the candidate that enters the averaged teacher after each step; only for teacher = "ema"."""
    kl_clip: Positive | None = None
    """Upper bound in nats on what one token may contribute; none by default."""
    anchor_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of forward KL(base || candidate) on the student's own prompt."""
    teacher_template: str | None = None
    """Text with {question} and {demonstration} that replaces the reference teacher prompt."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.divergence != "jsd":
            self.refuse_if_changed(["jsd_alpha"], f'divergence is "{self.divergence}"')
        if self.divergence != "top_k_tail":
            self.refuse_if_changed(["top_k"], f'divergence is "{self.divergence}"')
        if self.teacher != "ema":
            self.refuse_if_changed(["ema_rate"], 'teacher is "frozen"')
        if self.skip_tokens == 0:
            self.refuse_if_changed(["skip_after"], "skip_tokens is 0")
        template = self.teacher_template
        if template is not None and not ("{question}" in template and "{demonstration}" in template):
            raise ValueError("teacher_template must contain {question} and {demonstration}")
        return self


class ClassifyConfig(Settings):
    """A classification head on the last token's hidden state."""

    type: Literal["classify"] = "classify"
    labels: tuple[str, ...] = ()
    """The classes in the order of the head's outputs; empty = those of the data, sorted."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced = an example weighs inversely to how frequent its class is."""
    validation_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    """Share of the training examples held back to measure accuracy and macro-F1; 0 turns early stopping off."""
    evaluate_every: Count = 25
    """Steps between two measurements."""
    patience: Count = 4
    """Measurements without a better macro-F1 after which the run stops and keeps the best weights."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.validation_share == 0:
            self.refuse_if_changed(["evaluate_every", "patience"], "validation_share is 0")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels names a class twice")
        return self


class ReflectConfig(Settings):
    """Reflect, Retry, Reward (arXiv 2505.24726): reinforcement learning of reflections that make a retry succeed."""

    type: Literal["reflect"] = "reflect"
    preset: Literal["paper", "modern"] = "modern"
    """What the settings that are "auto" stand for: the paper's GRPO, or DAPO's loss with a wider upper clip."""
    loss: Literal["auto", "grpo", "dapo", "dr_grpo"] = "auto"
    """How tokens add up: mean of each reflection (grpo), of all tokens (dapo), or by the token budget (dr_grpo)."""
    ratio: Literal["token", "sequence"] = "token"
    """Importance ratios of tokens, or one for each reflection (GSPO); only for steps_per_generation > 1."""
    beta: Annotated[float, Field(ge=0.0)] | Literal["auto"] = "auto"
    """Weight of the KL to the current version on reflections; auto = 0.001 (paper) or 0.01 (modern)."""
    epsilon_low: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """How far a ratio may fall before it is clipped; only for steps_per_generation > 1."""
    epsilon_high: Positive | Literal["auto"] = "auto"
    """How far a ratio may rise; auto = 0.2 (paper) or 0.28 (modern); only for steps_per_generation > 1."""
    group_size: Annotated[int, Field(ge=2)] = 8
    """Reflections of each failed attempt."""
    temperature: Positive = 1.0
    """Temperature of attempts and reflections."""
    retry_temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Temperature of retries; 0 = greedy."""
    attempts: Literal["mined", "online"] = "mined"
    """mined = failures are collected before the run; online = one new attempt a task in every step."""
    attempts_per_task: Count = 4
    """First attempts of each task when failures are mined."""
    min_fail_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Tasks that fail less often are left out; only for attempts = "mined"."""
    max_fail_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    """Tasks that fail more often are left out; only for attempts = "mined"."""
    remine_every: Count | None = None
    """Steps after which failures are mined anew; none = never."""
    refill: Annotated[int, Field(ge=0)] = 2
    """How often groups without a signal are replaced by others in a step."""
    max_attempt_tokens: Count = 128
    """Longest first attempt."""
    max_reflection_tokens: Count = 128
    """Longest reflection."""
    max_retry_tokens: Count = 128
    """Longest retry."""
    task_template: str = "{task}"
    """What the model is asked; {task} is the last user turn."""
    reflect_template: str = (
        "You tried the task and failed. Reflect on what went wrong and write a short explanation that will help you do "
        "better next time."
    )
    """The user turn that asks for a reflection."""
    retry_template: str = "Now try the task again: {task}"
    """The user turn that asks for a retry; {task} is the last user turn of the task."""
    steps_per_generation: Count = 1
    """Optimizer steps whose reflections are sampled at once; each step trains on its own share of them."""
    max_same_reflection: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """Share of one text among all reflections of a step from which on, five steps in a row, the run is stopped."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.steps_per_generation == 1:
            self.refuse_if_changed(["ratio", "epsilon_low", "epsilon_high"], "steps_per_generation is 1")
        if self.attempts == "online":
            mined = ["attempts_per_task", "min_fail_rate", "max_fail_rate", "remine_every"]
            self.refuse_if_changed(mined, 'attempts is "online"')
        if self.min_fail_rate > self.max_fail_rate:
            raise ValueError("min_fail_rate is greater than max_fail_rate")
        if "{task}" not in self.task_template:
            raise ValueError("task_template must contain {task}")
        return self

    @property
    def chosen_loss(self) -> Literal["grpo", "dapo", "dr_grpo"]:
        """The loss, chosen by the preset where it is "auto"."""
        if self.loss == "auto":
            return "grpo" if self.preset == "paper" else "dapo"
        return self.loss

    @property
    def chosen_beta(self) -> float:
        """The weight of the KL, chosen by the preset where it is "auto"."""
        if self.beta == "auto":
            return 0.001 if self.preset == "paper" else 0.01
        return self.beta

    @property
    def chosen_epsilon_high(self) -> float:
        """The upper clip, chosen by the preset where it is "auto"."""
        if self.epsilon_high == "auto":
            return 0.2 if self.preset == "paper" else 0.28
        return self.epsilon_high


MethodConfig: TypeAlias = Annotated[
    AutoConfig | SftConfig | SdftConfig | ClassifyConfig | ReflectConfig, Field(discriminator="type")
]
