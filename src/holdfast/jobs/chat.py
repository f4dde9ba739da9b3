"""Talking to a version: one question or a conversation, rendered by the model's own template."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError, ContextLengthError
from holdfast.jobs.classify import is_classifier, stored_classifier
from holdfast.jobs.exam import exam_of
from holdfast.jobs.workspace import chosen_version
from holdfast.training.config import Recipe
from holdfast.types import Completion, Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.jobs.classify import Predict
    from holdfast.models.learner import Learner
    from holdfast.models.sampling import Sampling
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import ReflectConfig
    from holdfast.types import JSONValue, Score


@dataclass(slots=True)
class Conversation:
    """The turns so far with one version of the model."""

    version: str
    learner: Learner
    sampling: Sampling
    reflect: ReflectConfig
    """In whose words the model is asked to reflect and to try again."""
    turns: list[Message] = field(default_factory=list[Message])

    def ask(self, text: str) -> Completion:
        """Returns the model's answer to `text` and keeps both turns for the next question."""
        answer = self._answer([*self.turns, Message("user", text)], self.sampling)
        self.turns = [*self.turns, Message("user", text), Message("assistant", answer.text)]
        return answer

    def attempt(self, task: str) -> Completion:
        """Returns the model's answer to a task, asked in the template's words."""
        return self.ask(self.reflect.templates.asked("task", task))

    def try_again(self, task: str) -> tuple[Completion, Completion]:
        """Returns a reflection on the last answer to `task`, and a new answer that takes the failed one's place."""
        from holdfast.training.reflection import visible

        *before, asked, _ = self.turns
        turns = [*self.turns, Message("user", self.reflect.templates.asked("reflect", task))]
        reflection = self._answer(turns, replace(self.sampling, max_new_tokens=self.reflect.max_tokens.reflection))
        again = self.reflect.templates.asked("retry", task)
        turns += [Message("assistant", visible(reflection.text)), Message("user", again)]
        answer = self._answer(turns, self.sampling)
        self.turns = [*before, asked, Message("assistant", answer.text)]
        return reflection, answer

    def _answer(self, turns: list[Message], sampling: Sampling) -> Completion:
        from holdfast.models.render import render_prompt

        prompt = render_prompt(self.learner.tokenizer, turns, ())
        room = self.learner.context_length - len(prompt)
        if room < 1:
            raise ContextLengthError(
                f"The conversation has {len(prompt)} tokens and the model reads {self.learner.context_length}. "
                "Begin a new one, or ask something shorter."
            )
        return self.learner.generate([prompt], sampling)[0][0]


@dataclass(frozen=True, slots=True)
class Try:
    """One answer to a question, the reflection before it (none before the first), and what the grader said."""

    answer: Completion
    reflection: str | None
    score: Score | None


def answer_by_trying(talk: Conversation, text: str, tries: int, judge: Callable[[Completion], Score]) -> list[Try]:
    """Returns the tries at a question: the first answer, and up to `tries` more, each after a reflection on the last.

    The first answer that passes, or that cannot be graded, is the last.
    """
    found = [Try(answer := talk.attempt(text), None, judge(answer))]
    while len(found) <= tries and found[-1].score is not None and _failed(found[-1].score):
        reflection, answer = talk.try_again(text)
        found.append(Try(answer, reflection.text, judge(answer)))
    return found


def judge_of(
    talk: Conversation, spec: str, question: str, columns: Mapping[str, JSONValue]
) -> Callable[[Completion], Score]:
    """Returns what grades the answers to a question; `columns` are what the grader reads besides, `reference` too.

    Raises:
        ConfigError: the grader reads something that is not among the columns.
    """
    from holdfast.training.judging import judge_with

    rest = {name: value for name, value in columns.items() if name != "reference"}
    reference = columns.get("reference")
    label = None if reference is None else str(reference)
    item = Example("chat", (Message("user", question),), label=label, columns=rest)
    chosen = judge_with(talk.learner, spec)
    if lacking := chosen.lacking(item):
        raise ConfigError(
            f"The grader cannot judge an answer to this question: it {lacking}. Give what is missing as one JSON "
            """object, such as --item '{"reference": "42"}', or leave --grader out and judge yourself.""",
            param="item",
        )
    return lambda completion: chosen(completion, item)


def _failed(score: Score) -> bool:
    return not score.passed and score.error_type is None


@dataclass(slots=True)
class Classification:
    """A version of kind classify: it answers every text with a class and remembers none."""

    version: str
    classify: Predict

    def ask(self, text: str) -> Completion:
        """Returns the class of `text`."""
        return Completion(self.classify([Example(text, (Message("user", text),))], None)[0], (), (), "stop")


def open_conversation(
    workspace: Workspace,
    *,
    version: str | None,
    system: str | None,
    temperature: float,
    max_tokens: int,
    seed: int,
) -> Conversation | Classification:
    """Returns a conversation with a version (default: the current one); a classifier answers with a class."""
    from holdfast.jobs.model import learner_of
    from holdfast.models.sampling import Sampling

    chosen = chosen_version(workspace, version)
    if is_classifier(workspace, chosen):
        return Classification(chosen.id, stored_classifier(workspace, chosen))
    learner = learner_of(workspace, chosen)
    sampling = Sampling(max_new_tokens=max_tokens, temperature=temperature, seed=seed)
    turns = [Message("system", system)] if system else []
    recipe = Recipe.from_mapping(chosen.recipe, where=f"version {chosen.id}") if chosen.recipe else Recipe()
    return Conversation(chosen.id, learner, sampling, exam_of(recipe).reflect, turns)
