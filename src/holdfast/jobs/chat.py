"""Talking to a version: one question or a conversation, rendered by the model's own template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.errors import ContextLengthError
from holdfast.jobs.classify import is_classifier, stored_classifier
from holdfast.jobs.workspace import chosen_version
from holdfast.types import Completion, Example, Message

if TYPE_CHECKING:
    from holdfast.jobs.classify import Predict
    from holdfast.models.learner import Learner
    from holdfast.models.sampling import Sampling
    from holdfast.store.workspace import Workspace


@dataclass(slots=True)
class Conversation:
    """The turns so far with one version of the model."""

    version: str
    learner: Learner
    sampling: Sampling
    turns: list[Message] = field(default_factory=list[Message])

    def ask(self, text: str) -> Completion:
        """Returns the model's answer to `text` and keeps both turns for the next question."""
        from holdfast.models.render import render_prompt

        turns = [*self.turns, Message("user", text)]
        prompt = render_prompt(self.learner.tokenizer, turns, ())
        room = self.learner.context_length - len(prompt)
        if room < 1:
            raise ContextLengthError(
                f"The conversation has {len(prompt)} tokens and the model reads {self.learner.context_length}. "
                "Begin a new one, or ask something shorter."
            )
        answer = self.learner.generate([prompt], self.sampling)[0][0]
        self.turns = [*turns, Message("assistant", answer.text)]
        return answer


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
    return Conversation(chosen.id, learner, sampling, turns)
