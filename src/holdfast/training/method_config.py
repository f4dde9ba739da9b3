"""The settings of every training method. Importable without torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from holdfast.settings import Count, Positive, Settings
from holdfast.training.reflect_config import ReflectConfig


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


class DpoConfig(Settings):
    """Direct Preference Optimization (arXiv 2305.18290): prefer one answer to another, from the current version on."""

    type: Literal["dpo"] = "dpo"
    beta: Positive = 0.1
    """How dear it is to move away from the current version; smaller moves further."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Share of the pairs that are held to be the wrong way round."""
    sft_weight: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of the preferred answer's cross-entropy beside it, which keeps that answer from becoming less likely."""


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


MethodConfig: TypeAlias = Annotated[
    AutoConfig | SftConfig | SdftConfig | DpoConfig | ClassifyConfig | ReflectConfig, Field(discriminator="type")
]
