"""What graders share that ask a model: its address, the messages it reads, and several questions at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator

from holdfast.errors import ConfigError, GraderError
from holdfast.graders.parametrised import BatchGrader
from holdfast.graders.reference import broken, outcome_of
from holdfast.graders.server import AT_ONCE, client, ready, unanswered
from holdfast.graders.template import View, columns_in

if TYPE_CHECKING:
    from typing import Self

    from holdfast.types import Completion, Example, Score

OWN = "holdfast:current"
"""The model that asks for the grades: the version that a workspace serves."""
TEXT_PARTS = ("input_text", "output_text", "text")
"""Kinds of parts of a message that hold text; images and sounds are not read."""

Ask: TypeAlias = Callable[[Sequence[Sequence[dict[str, str]]], int], Sequence[str]]
"""From (conversations, most new tokens) to one answer each."""


class Turn(BaseModel):
    """One message that the model reads; its content may hold `{{ item.x }}` and `{{ sample.x }}`.

    Content in parts, `{"type": "input_text", "text": ...}` or plain texts, becomes one text with a line for each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["message"] | None = "message"
    role: Literal["system", "developer", "user", "assistant"] = "user"
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _one_text(cls, content: object) -> object:
        if isinstance(content, str):
            return content
        return "\n".join(_text_of(part) for part in (content if isinstance(content, list | tuple) else [content]))


def _text_of(part: object) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    text = part.get("text") if isinstance(part, dict) and kind in TEXT_PARTS else None
    if not isinstance(text, str):
        raise ValueError(f"a part {kind!r} cannot be read here; give its text as {{'type': 'input_text', 'text': ...}}")
    return text


class SamplingParams(BaseModel):
    """How the model answers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0.0)
    top_p: float | None = Field(default=None, gt=0.0, le=1.0)
    seed: int | None = None
    reasoning_effort: str | None = None
    max_completions_tokens: int = Field(default=1024, ge=1)


class AskedModel(BatchGrader, frozen=True):
    """A grader that asks a model behind any OpenAI-compatible address, or the model at hand.

    `model` is a name there, or `holdfast:current`. The key is read from the environment variable `api_key_env`.
    """

    needs: ClassVar[str] = "graders"

    model: str
    input: tuple[Turn, ...] = Field(min_length=1)
    sampling_params: SamplingParams = SamplingParams()
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    seconds: float = Field(default=120.0, gt=0)
    _ask: Ask | None = PrivateAttr(default=None)

    @abstractmethod
    def request(self) -> str:
        """Returns what the model is told about the form of its answer."""

    @abstractmethod
    def form(self) -> dict[str, Any]:
        """Returns the JSON schema of its answer."""

    @abstractmethod
    def understood(self, answer: str) -> Score:
        """Judges by the model's answer; raises `GraderError` where it says nothing."""

    def columns(self) -> set[str]:
        """Returns the columns that the messages read."""
        return {column for turn in self.input for column in columns_in(turn.content)}

    def ready(self) -> list[str]:
        """Returns where answers are sent; raises where the client or its key is missing."""
        if self.model == OWN or self._ask is not None:
            return []
        return ready(self.model, self.base_url, self.api_key_env, self.seconds)

    def with_model(self, ask: Ask) -> Self:
        """Returns the grader with the model at hand, where that is the one to be asked."""
        return self.answered_by(ask) if self.model == OWN else self

    def answered_by(self, ask: Ask) -> Self:
        """Returns the grader with `ask` in the place of a server, whatever its model is called."""
        copy = self.model_copy()
        copy._ask = ask  # pyright: ignore[reportAttributeAccessIssue] - pydantic lets private ones be set
        return copy

    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges all answers, several at a time."""
        talks: dict[int, list[dict[str, str]]] = {}
        scores: dict[int, Score] = {}
        for place, (completion, example) in enumerate(answers):
            try:
                talks[place] = self._talk(View(completion, example))
            except GraderError as error:
                scores[place] = outcome_of(error)
        for place, said in zip(talks, self._answers(list(talks.values())), strict=True):
            try:
                if isinstance(said, GraderError):
                    raise said
                scores[place] = self.understood(said)
            except GraderError as error:
                scores[place] = outcome_of(error)
            except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
                scores[place] = broken(self.type, error)
        return [scores[place] for place in range(len(answers))]

    def _talk(self, view: View) -> list[dict[str, str]]:
        turns = [{"role": turn.role, "content": view.text(turn.content)} for turn in self.input]
        return [*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']}\n\n{self.request()}"}]

    def _answers(self, talks: Sequence[list[dict[str, str]]]) -> list[str | GraderError]:
        if not talks:
            return []
        if self._ask is not None:
            return list(self._ask(talks, self.sampling_params.max_completions_tokens))
        if self.model == OWN:
            raise ConfigError(f"The grader asks {OWN}, and there is no model at hand here.", param="grader.model")
        asked = client(self.model, self.base_url, self.api_key_env, self.seconds)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda talk: self._asked(asked, talk), talks))

    def _asked(self, asked: Any, talk: list[dict[str, str]]) -> str | GraderError:  # noqa: ANN401 - an extra's class
        from openai import OpenAIError

        settings = self.sampling_params.model_dump(exclude={"max_completions_tokens"}, exclude_none=True)
        schema = {"name": "grade", "schema": self.form(), "strict": True}
        try:
            found = asked.chat.completions.create(
                model=self.model,
                messages=talk,
                max_completion_tokens=self.sampling_params.max_completions_tokens,
                response_format={"type": "json_schema", "json_schema": schema},
                **settings,
            )
        except OpenAIError as error:
            return unanswered(self.model, error)
        return found.choices[0].message.content or ""
