"""The nouns of Holdfast: what the rooms hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length"]
JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the assistant makes; `arguments` is JSON text, as in the OpenAI API."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `weight` 0 keeps an assistant turn in the context without training on it."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    weight: float = 1.0
    tool_call_id: str = ""

    @property
    def said(self) -> str:
        """What the turn says, and a line for each call: its name and its arguments."""
        calls = [f"{call.name} {call.arguments}" for call in self.tool_calls]
        return "\n".join([self.content, *calls] if self.content or not calls else calls)


@dataclass(frozen=True, slots=True)
class Example:
    """One item to learn from or to be tested on.

    `messages` ends with the assistant turn that is the demonstration (absent for prompts only).
    `privileged_context` is what the SDFT teacher reads besides the prompt; None means that the
    demonstration itself is it. `document` is a text the teacher reads before the question.
    `label` is the class of a classification example, whose text is the only user turn. `rejected` is the
    answer to the same prompt that the demonstration is preferred to. `columns` are the row's other columns, for a
    grader that reads them.
    """

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, JSONValue], ...] = ()
    privileged_context: str | None = None
    document: str | None = None
    label: str | None = None
    rejected: Message | None = None
    source: str = ""
    columns: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])

    @property
    def demonstration(self) -> Message | None:
        """The last turn if the assistant speaks it."""
        return self.messages[-1] if self.messages and self.messages[-1].role == "assistant" else None

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns that come before the demonstration."""
        return self.messages[:-1] if self.demonstration is not None else self.messages

    @property
    def turns(self) -> tuple[Message, ...]:
        """Every turn that the example holds: the conversation, and the rejected answer after it."""
        return self.messages if self.rejected is None else (*self.messages, self.rejected)

    @property
    def instead(self) -> Example:
        """The example with the rejected answer in the demonstration's place; itself where there is none."""
        if self.rejected is None:
            return self
        return replace(self, messages=(*self.prompt, self.rejected), rejected=None)

    def with_turns(self, change: Callable[[Message], Message]) -> Example:
        """Returns the example with each of its turns, the rejected answer too, as `change` makes it."""
        rejected = None if self.rejected is None else change(self.rejected)
        return replace(self, messages=tuple(map(change, self.messages)), rejected=rejected)


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote: text, token ids, the natural-log probability of each, why it ended.

    `fields` are what else is known of an answer that was given from outside, for a grader that reads them.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason
    fields: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])


@dataclass(frozen=True, slots=True)
class Score:
    """A grader's judgement. `error_type` set means the answer could not be graded: not a 0."""

    value: float
    passed: bool
    explanation: str = ""
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written by a request."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Skill:
    """What a team taught: name, data and held-out test by content hash, and how it is judged."""

    name: str
    train_hash: str
    test_hash: str
    grader: str
    kind: Literal["chat", "classify"] = "chat"


@dataclass(frozen=True, slots=True)
class Version:
    """Base model + adapter (or full weights), with its parent, recipe, seed and scores."""

    id: str
    parent: str | None
    base: str
    weights_hash: str
    recipe: Mapping[str, JSONValue]
    status: Literal["candidate", "accepted", "refused"]
    skill: str = ""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
