"""The settings of Reflect, Retry, Reward. Importable without torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from holdfast.settings import Count, Positive, Settings, Share

_PLACEHOLDER = re.compile(r"(?<!\w)\{([a-z_]{3,})\}")
"""What stands for a value in a template. Not so the braces of LaTeX, `\\boxed{answer}`, and of JSON."""


class PolicyConfig(Settings):
    """The policy gradient on reflections; "auto" is what the preset stands for."""

    preset: Literal["paper", "modern"] = "modern"
    """What the settings that are "auto" stand for: the paper's GRPO, or DAPO's loss with a wider upper clip."""
    loss: Literal["auto", "grpo", "dapo", "dr_grpo"] = "auto"
    """How tokens add up: mean of each reflection (grpo), of all tokens (dapo), or by the token budget (dr_grpo)."""
    ratio: Literal["token", "sequence"] = "token"
    """Importance ratios of tokens, or one for each reflection (GSPO); only for method.steps_per_generation > 1."""
    beta: Annotated[float, Field(ge=0.0)] | Literal["auto"] = "auto"
    """Weight of the KL to the current version on reflections; auto = 0.001 (paper) or 0.01 (modern)."""
    epsilon_low: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.2
    """How far a ratio may fall before it is clipped; only for method.steps_per_generation > 1."""
    epsilon_high: Positive | Literal["auto"] = "auto"
    """How far a ratio may rise; auto = 0.2 (paper) or 0.28 (modern); only for method.steps_per_generation > 1."""

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


class AttemptsConfig(Settings):
    """Where the failed attempts come from that are reflected on."""

    source: Literal["mined", "online"] = "mined"
    """mined = failures are collected before the run; online = one new attempt a task in every step."""
    per_task: Count = 4
    """First attempts of each task when failures are mined."""
    min_fail_rate: Share = 0.0
    """Tasks that fail less often are left out; only for source = "mined"."""
    max_fail_rate: Share = 1.0
    """Tasks that fail more often are left out; only for source = "mined"."""
    remine_every: Count | None = None
    """Steps after which failures are mined anew; none = never."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.source == "online":
            mined = ["per_task", "min_fail_rate", "max_fail_rate", "remine_every"]
            self.refuse_if_changed(mined, 'source is "online"')
        if self.min_fail_rate > self.max_fail_rate:
            raise ValueError("min_fail_rate is greater than max_fail_rate")
        return self


class TurnTokens(Settings):
    """The longest that each turn may be, in tokens."""

    attempt: Count = 128
    """Longest first attempt."""
    reflection: Count = 128
    """Longest reflection."""
    retry: Count = 128
    """Longest retry."""


class TurnTemplates(Settings):
    """The turns that are written for the model; {task} is the task's last user turn."""

    task: str = "{task}"
    """What the model is asked."""
    reflect: str = (
        "You tried the task and failed. Reflect on what went wrong and write a short explanation that will help you do "
        "better next time."
    )
    """The user turn that asks for a reflection."""
    retry: str = "Now try the task again: {task}"
    """The user turn that asks for a retry."""
    gold: str = "The right answer is: {answer}"
    """The reflection that gives the answer, for the controls; {attempt} is the failed attempt."""

    @model_validator(mode="after")
    def _what_is_filled_in_is_in_it(self) -> Self:
        if "{task}" not in self.task:
            raise ValueError("task must contain {task}")
        if "{answer}" not in self.gold:
            raise ValueError("gold must contain {answer}")
        for name in ("task", "reflect", "retry", "gold"):
            filled = {"answer", "attempt"} if name == "gold" else {"task"}
            if unknown := sorted(set(_PLACEHOLDER.findall(getattr(self, name))) - filled):
                known = " and ".join(f"{{{word}}}" for word in sorted(filled))
                raise ValueError(f"nothing is filled in for {{{unknown[0]}}} of {name}; there is {known}")
        return self

    def asked(self, turn: Literal["task", "reflect", "retry"], task: str) -> str:
        """Returns the words of a turn about `task`."""
        words = {"task": self.task, "reflect": self.reflect, "retry": self.retry}
        return words[turn].replace("{task}", task)


class ReflectConfig(Settings):
    """Reflect, Retry, Reward (arXiv 2505.24726): reinforcement learning of reflections that make a retry succeed."""

    type: Literal["reflect"] = "reflect"
    group_size: Annotated[int, Field(ge=2)] = 8
    """Reflections of each failed attempt."""
    temperature: Positive = 1.0
    """Temperature of attempts and reflections."""
    retry_temperature: Annotated[float, Field(ge=0.0)] = 1.0
    """Temperature of retries; 0 = greedy."""
    refill: Annotated[int, Field(ge=0)] = 2
    """How often groups without a signal are replaced by others in a step."""
    steps_per_generation: Count = 1
    """Optimizer steps whose reflections are sampled at once; each step trains on its own share of them."""
    max_same_reflection: Annotated[float, Field(gt=0.0, le=1.0)] = 0.9
    """Share of one text among all reflections of a step from which on, five steps in a row, the run is stopped."""
    attempts: AttemptsConfig = AttemptsConfig()
    """Where failed attempts come from."""
    policy: PolicyConfig = PolicyConfig()
    """How reflections are rewarded."""
    max_tokens: TurnTokens = TurnTokens()
    """How long the turns may be."""
    templates: TurnTemplates = TurnTemplates()
    """The words that ask for them."""

    @model_validator(mode="after")
    def _every_setting_has_an_effect(self) -> Self:
        if self.steps_per_generation == 1:
            self.policy.refuse_if_changed(["ratio", "epsilon_low", "epsilon_high"], "method.steps_per_generation is 1")
        return self
