"""Graders that ask a model when no other is named: the version that a run starts from answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from holdfast.graders import grader
from holdfast.types import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.graders import Grader
    from holdfast.models.learner import Learner
    from holdfast.types import JSONValue, Role


def judge_with(learner: Learner, spec: str | Mapping[str, JSONValue]) -> Grader:
    """Returns the grader that `spec` is, with the frozen `current` as its model at hand."""
    return grader(spec).with_model(lambda talks, most: _answers(learner, talks, most))


def _answers(learner: Learner, talks: Sequence[Sequence[dict[str, str]]], most: int) -> list[str]:
    """Returns what `current` answers to conversations, greedily, in at most `most` tokens each."""
    from holdfast.models.generate import Sampling
    from holdfast.models.render import render_prompt

    turns = [[_turn(turn["role"], turn["content"]) for turn in talk] for talk in talks]
    prompts = [render_prompt(learner.tokenizer, talk) for talk in turns]
    found = learner.generate(prompts, Sampling(max_new_tokens=most, temperature=0.0), which="current")
    return [completions[0].text for completions in found]


def _turn(role: str, content: str) -> Message:
    return Message("system" if role == "developer" else cast("Role", role), content)
