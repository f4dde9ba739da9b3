"""The body of a response, and the chat completion that it is to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from holdfast.api.body import Body, Metadata
from holdfast.api.chat_request import ChatRequest
from holdfast.errors import HoldfastError, RequestError
from holdfast.jobs.response_items import chat_format, chat_tools, messages_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.jobs.response_items import Item
    from holdfast.types import Message

LOGPROBS = "message.output_text.logprobs"
_WORDS = {"messages": "input", "response_format": "text.format"}
"""What a chat completion calls what a response calls otherwise."""


class Chat(ChatRequest):
    """A response as the chat completion that it is; its errors speak of the response's own fields."""

    def turns(self) -> tuple[Message, ...]:
        """Returns the conversation."""
        try:
            return super().turns()
        except RequestError as error:
            raise in_own_words(error) from None


def in_own_words(error: HoldfastError) -> HoldfastError:
    """Returns an error about a chat completion with the names of a response's fields."""
    own = _WORDS.get(error.param or "")
    if own is not None:
        error.message, error.param = error.message.replace(str(error.param), own, 1), own
    return error


class TextFormat(Body):
    """The form that the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema_: Annotated[dict[str, object] | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None


class TextConfig(Body):
    """How the answer's text is written."""

    format: TextFormat | None = None


class StreamOptions(Body):
    """How a stream is written; nothing is added to hide the length of a token."""

    include_obfuscation: Literal[False] | None = None


class NamedFunction(Body):
    """The function that must be called."""

    type: Literal["function"]
    name: str


class ResponseRequest(Body):
    """A response as it is asked for. Whatever is not supported is refused by its name."""

    model: str
    input: str | Annotated[list[dict[str, object]], Field(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[Literal["message.output_text.logprobs"]] | None = None
    text: TextConfig | None = None
    tools: list[dict[str, object]] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedFunction | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    user: str | None = None

    @property
    def keeps(self) -> bool:
        """Whether the response is to be kept: it is, unless it is said not to be."""
        return self.store is not False

    def text_format(self) -> dict[str, object]:
        """Returns the form that the answer must have, as it was given."""
        given = self.text.format if self.text is not None else None
        return {"type": "text"} if given is None else given.model_dump(by_alias=True, exclude_none=True)

    def choice(self) -> str | dict[str, object]:
        """Returns which tool is to be called, as it was given."""
        given = self.tool_choice or "auto"
        return given if isinstance(given, str) else given.model_dump()

    def as_chat(self, items: Sequence[Item]) -> Chat:
        """Returns the chat completion that is asked for, with `items` as the whole conversation."""
        has_logprobs = LOGPROBS in (self.include or [])
        if self.top_logprobs is not None and not has_logprobs:
            raise RequestError(f"top_logprobs: it has no effect without include: [{LOGPROBS!r}].", param="top_logprobs")
        return Chat(
            model=self.model,
            messages=cast("list[dict[str, object]]", messages_of(items, self.instructions)),
            max_completion_tokens=self.max_output_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            tools=chat_tools(self.tools),
            tool_choice=cast("dict[str, object]", self.choice()),
            parallel_tool_calls=self.parallel_tool_calls,
            response_format=chat_format(self.text_format()),
            logprobs=has_logprobs,
            top_logprobs=self.top_logprobs,
            stream=self.stream,
        )
