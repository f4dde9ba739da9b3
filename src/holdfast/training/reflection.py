"""Attempt, reflection and retry: the three turns of a conversation about a failed task, and failures that are kept.

Source: Bensal et al. 2025, "Reflect, Retry, Reward" (arXiv:2505.24726), figure 1: the failed attempt and the
reflection stay in the conversation when the task is tried again.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from holdfast.graders.reference import reference_text
from holdfast.models.generate import Sampling
from holdfast.models.render import render_prompt
from holdfast.seeds import derive_seed
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.graders import Grader
    from holdfast.models.learner import Learner, Which
    from holdfast.training.config import ReflectConfig
    from holdfast.types import Completion, Score

    Progress = Callable[[int, int], None]

T = TypeVar("T")

GENERIC = "I made a mistake. I should read the task again and check every part of my answer."
"""The fixed reflection that says nothing about the task, for a control."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt at a task, and where it comes from: how many of the attempts failed, at which step."""

    example_id: str
    attempt: str
    explanation: str
    fail_rate: float
    step: int


@dataclass(frozen=True, slots=True)
class Tried:
    """One retry after a reflection, and what the grader made of it."""

    reflection: Completion
    retry: Completion
    score: Score

    @property
    def reward(self) -> float | None:
        """The score's value; None if the retry could not be graded."""
        return None if self.score.error_type is not None else self.score.value


@dataclass(frozen=True, slots=True)
class Room:
    """The most tokens of a conversation: of the task, of the turns that ask for more, and of what the model writes."""

    task: int
    turns: int
    written: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.task + self.turns + self.written


class Turns:
    """The turns of attempts, reflections and retries in the words of one set of templates."""

    def __init__(self, config: ReflectConfig) -> None:
        self.config = config

    def task(self, example: Example) -> tuple[Message, ...]:
        """Returns the task's turns, its last user turn put into the template."""
        *before, last = example.prompt
        return (*before, replace(last, content=self.config.templates.asked("task", last.content)))

    def reflect(self, example: Example, attempt: str) -> tuple[Message, ...]:
        """Returns the turns that a reflection answers; the attempt is text, whatever calls it holds."""
        asked = self.config.templates.asked("reflect", example.prompt[-1].content)
        return (*self.task(example), Message("assistant", attempt), Message("user", asked))

    def retry(self, example: Example, attempt: str, reflection: str) -> tuple[Message, ...]:
        """Returns the turns that a retry answers; of a reflection, what stands after its thinking."""
        said = Message("assistant", visible(reflection))
        return (*self.reflect(example, attempt), said, self.again(example))

    def retry_with_answer(self, example: Example, attempt: str) -> tuple[Message, ...] | None:
        """Returns the turns of a retry after a reflection that gives the answer; None for a task without one."""
        answer = reference_text(example)
        if answer is None:
            return None
        words = {"answer": answer, "attempt": attempt}
        gold = re.sub(r"\{(answer|attempt)\}", lambda found: words[found[1]], self.config.templates.gold)
        return self.retry(example, attempt, gold)

    def again(self, example: Example) -> Message:
        """Returns the user turn that asks for a retry."""
        return Message("user", self.config.templates.asked("retry", example.prompt[-1].content))

    def room(self, example: Example, count: Callable[[Sequence[Message]], int]) -> Room:
        """Returns the most tokens that the conversation about a task may have; `count` says those of some turns.

        Not looked at is the reflection that gives the answer: it is as long as the answer.
        """
        most = self.config.max_tokens
        prompt, bare = count(self.task(example)), count(self.retry(example, "", ""))
        said = max(most.reflection, count(self.retry(example, "", GENERIC)) - bare)
        return Room(prompt, bare - prompt, most.attempt + said + most.retry)


class Conversation(Turns):
    """Those turns as one model reads them."""

    def __init__(self, learner: Learner, config: ReflectConfig) -> None:
        super().__init__(config)
        self.learner = learner

    def ids(self, turns: Sequence[Message], example: Example) -> list[int]:
        """Returns the tokens of turns, up to where the assistant speaks."""
        return list(render_prompt(self.learner.tokenizer, turns, example.tools))

    def fits(self, example: Example) -> bool:
        """Tells whether the model can read the conversation about a task to its end, however long it becomes."""
        most = self.room(example, lambda turns: len(self.ids(turns, example)))
        return most.total <= self.learner.context_length

    def can_be_tried(self, example: Example) -> bool:
        """Tells whether the model can read a task and write the longest attempt."""
        asked = len(self.ids(self.task(example), example))
        return asked + self.config.max_tokens.attempt <= self.learner.context_length

    def can_go_on(self, example: Example, attempt: str) -> bool:
        """Tells whether the longest reflection and retry fit after this attempt."""
        most = self.config.max_tokens
        asked = len(self.ids(self.retry(example, attempt, ""), example))
        return asked + most.reflection + most.retry <= self.learner.context_length


def share_with_answer(tasks: Sequence[Example], reflections: Sequence[Sequence[str]]) -> float | None:
    """Returns the share of each task's reflections that contain its whole answer; None where no task has one."""
    found = [
        gold in text
        for example, texts in zip(tasks, reflections, strict=True)
        if (gold := reference_text(example)) is not None
        for text in texts
    ]
    return sum(found) / len(found) if found else None


def obedience(
    talk: Conversation, tasks: Sequence[tuple[Example, str]], grader: Grader, *, which: Which, temperature: float,
    seed: int,
) -> list[Score]:  # fmt: skip
    """Returns the scores of one retry of each failed attempt after a reflection that gives the answer.

    Tasks without an answer are left out, and those whose answer is too long for the model to read it there. Where these
    retries fail, reflections are not read.
    """
    asked = [(example, talk.retry_with_answer(example, attempt)) for example, attempt in tasks]
    room = talk.learner.context_length - talk.config.max_tokens.retry
    having = [
        (example, turns) for example, turns in asked if turns is not None and len(talk.ids(turns, example)) <= room
    ]
    return graded_answers(talk, having, grader, which=which, temperature=temperature, seed=seed) if having else []


def graded_answers(
    talk: Conversation, asked: Sequence[tuple[Example, Sequence[Message]]], grader: Grader, *, which: Which,
    temperature: float, seed: int,
) -> list[Score]:  # fmt: skip
    """Returns the scores of one answer to each of `asked`: a task, and the turns that are answered."""
    sampling = Sampling(max_new_tokens=talk.config.max_tokens.retry, temperature=temperature, seed=seed)
    prompts = [talk.ids(turns, example) for example, turns in asked]
    answers = [group[0] for group in talk.learner.generate(prompts, sampling, which=which)]
    return grader.many([(answer, example) for answer, (example, _) in zip(answers, asked, strict=True)])


def visible(text: str) -> str:
    """Returns what stands after the thinking: nothing if it was never closed, the whole text if there is none."""
    if "</think>" in text:
        return text.rpartition("</think>")[2].strip()
    return text.partition("<think>")[0].strip() if "<think>" in text else text


def attempt_all(
    talk: Conversation,
    examples: Sequence[Example],
    grader: Grader,
    *,
    which: Which,
    num_samples: int,
    temperature: float,
    seed: int,
    progress: Progress | None = None,
) -> list[list[tuple[Completion, Score]]]:
    """Returns `num_samples` graded first attempts at each task."""
    sampling = Sampling(
        max_new_tokens=talk.config.max_tokens.attempt, temperature=temperature, num_samples=num_samples, seed=seed
    )
    prompts = [talk.ids(talk.task(example), example) for example in examples]
    groups = talk.learner.generate(prompts, sampling, which=which, progress=progress)
    pairs = [(found, example) for group, example in zip(groups, examples, strict=True) for found in group]
    scores = iter(grader.many(pairs))
    return [[(found, next(scores)) for found in group] for group in groups]


def failures_in(
    config: ReflectConfig,
    examples: Sequence[Example],
    tried: Sequence[Sequence[tuple[Completion, Score]]],
    *,
    step: int,
) -> list[Failure]:
    """Returns the different failed attempts at tasks whose fail rate lies in the recipe's band.

    An attempt that could not be graded is neither right nor wrong, and counts in no rate.
    """
    found: list[Failure] = []
    for example, attempts in zip(examples, tried, strict=True):
        graded = [(text.text, score) for text, score in attempts if score.error_type is None]
        failed = {text: score.explanation for text, score in graded if not score.passed}
        rate = sum(not score.passed for _, score in graded) / len(graded) if graded else 0.0
        if failed and config.attempts.min_fail_rate <= rate <= config.attempts.max_fail_rate:
            found += [Failure(example.id, text, why, rate, step) for text, why in failed.items()]
    return found


def nothing_failed(config: ReflectConfig, num_tasks: int, scores: Sequence[Score]) -> str:
    """Returns why no attempt is there to reflect on, and what to do; `scores` are those of all attempts."""
    attempts, reason = config.attempts, not_graded(scores)
    if reason is not None and all(score.error_type is not None for score in scores):
        known = f"Whether any of the {num_tasks} tasks failed is not known"
        return f"{known}: {reason}. Repair the grader, or the rows that it reads."
    graded = f" ({reason})" if reason else ""
    if attempts.source == "online":
        return (
            f"None of the {num_tasks} tasks failed at one attempt each at temperature {config.temperature:g}{graded}. "
            "Give harder tasks, or raise method.temperature."
        )
    return (
        f"None of the {num_tasks} tasks has failed attempts to learn from ({attempts.per_task} attempts each at "
        f"temperature {config.temperature:g}, fail rates of {attempts.min_fail_rate:g} to {attempts.max_fail_rate:g})"
        f"{graded}. Give harder tasks, or sample more attempts (method.attempts.per_task)."
    )


def nothing_left(num_tasks: int, scores: Sequence[Score]) -> str:
    """Returns why a run ends that has no more attempts to reflect on."""
    reason = not_graded(scores)
    graded = f" ({reason})" if reason else ""
    return f"no attempt at any of the {num_tasks} tasks failed{graded}, so there is nothing left to reflect on"


def not_graded(scores: Sequence[Score]) -> str | None:
    """Returns how many answers could not be graded, with the most common reason; None where all could."""
    reasons = Counter(score.explanation for score in scores if score.error_type is not None)
    if not reasons:
        return None
    (most, _), *_ = reasons.most_common(1)
    return f"{reasons.total()} of {len(scores)} answers could not be graded, mostly for this reason: {most.rstrip('.')}"


def reflect_and_retry(
    talk: Conversation,
    tasks: Sequence[tuple[Example, str]],
    grader: Grader,
    *,
    which: Which = "candidate",
    num_samples: int,
    temperature: float,
    retry_temperature: float,
    seed: int,
) -> list[list[Tried]]:
    """Returns for each task and failed attempt its reflections, each with the retry that followed and its score."""
    config = talk.config
    asked, groups = _reflections(talk, tasks, which=which, num_samples=num_samples, temperature=temperature, seed=seed)
    again = [
        talk.ids(talk.retry(example, attempt, reflection.text), example)
        for (example, attempt), group in zip(tasks, groups, strict=True)
        for reflection in group
    ]
    retrying = Sampling(
        max_new_tokens=config.max_tokens.retry, temperature=retry_temperature, seed=derive_seed(seed, "retry")
    )
    befores = [ids for ids, group in zip(asked, groups, strict=True) for _ in group]
    shared = [_common(before, after) for before, after in zip(befores, again, strict=True)]
    retries = [found[0] for found in talk.learner.generate(again, retrying, which=which, shared=shared)]
    items = [example for (example, _), group in zip(tasks, groups, strict=True) for _ in group]
    scores = iter(grader.many(list(zip(retries, items, strict=True))))
    answers = iter(retries)
    return [[Tried(reflection, next(answers), next(scores)) for reflection in group] for group in groups]


def _reflections(
    talk: Conversation,
    tasks: Sequence[tuple[Example, str]],
    *,
    which: Which,
    num_samples: int,
    temperature: float,
    seed: int,
) -> tuple[list[list[int]], list[list[Completion]]]:
    """Returns the prompt of each task and failed attempt, and what is said to it."""
    asked = [talk.ids(talk.reflect(example, attempt), example) for example, attempt in tasks]
    sampling = Sampling(
        max_new_tokens=talk.config.max_tokens.reflection, temperature=temperature, num_samples=num_samples, seed=seed
    )
    return asked, talk.learner.generate(asked, sampling, which=which)


def second_try_prompts(talk: Conversation, examples: Sequence[Example], grader: Grader, *, seed: int) -> list[Example]:
    """Returns what `current` is asked after its first tries at tasks: to reflect on those that failed, and to retry.

    Attempts too long for what follows are left out. Each is a conversation of its own that ends with what is asked; its
    id is the task's with "reflect" or "retry".
    """
    config = talk.config
    tried = attempt_all(
        talk, examples, grader, which="current", num_samples=1, temperature=config.temperature, seed=seed
    )
    failed = [
        (example, attempt.text)
        for example, ((attempt, score),) in zip(examples, tried, strict=True)
        if score.error_type is None and not score.passed and talk.can_go_on(example, attempt.text)
    ]
    if not failed:
        return []
    _, said = _reflections(
        talk, failed, which="current", num_samples=1, temperature=config.temperature, seed=derive_seed(seed, "reflect")
    )
    found: list[Example] = []
    for (example, attempt), (reflection,) in zip(failed, said, strict=True):
        turns = {"reflect": talk.reflect(example, attempt), "retry": talk.retry(example, attempt, reflection.text)}
        found += [Example(f"{example.id} {kind}", each, example.tools) for kind, each in turns.items()]
    return found


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns how many first tokens two prompts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def shuffled(items: Sequence[T], seed: int) -> list[T]:
    """Returns the items in an order of the seed's."""
    order = list(items)
    random.Random(seed).shuffle(order)
    return order
