"""The body of a chat completion, and what it asks of a model: a prompt, a sampling, rules."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field, field_validator

from holdfast.api.body import Body
from holdfast.errors import RequestError
from holdfast.jobs.asking import conversation, sampling_of, schema_of_format, tools_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from holdfast.models.sampling import Sampling
    from holdfast.serving.engine import Rules
    from holdfast.types import JSONValue, Message

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0)]
Bias = Annotated[float, Field(ge=-100.0, le=100.0)]


class Sampled(Body):
    """How text is sampled: what chat completions and completions have in common. Whatever is unknown is refused."""

    model: str
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Bias] | None = None
    stream: bool | None = None
    stream_options: dict[str, bool] | None = None
    user: str | None = None

    @field_validator("stop")
    @classmethod
    def _at_most_four(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > 4:
            raise ValueError("at most 4 stop sequences are taken")
        return stop

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, as a list."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    @property
    def shows_usage(self) -> bool:
        """Whether a stream ends with the tokens it took."""
        return bool((self.stream_options or {}).get("include_usage"))

    def sampling(self, room: int, most: int | None) -> Sampling:
        """Returns how tokens are drawn, `room` or `most` of them at most."""
        seed = secrets.randbits(31) if self.seed is None else self.seed % 2**63
        return sampling_of(room, most, temperature=self.temperature, top_p=self.top_p, seed=seed, stop=self.stops)

    def rules(self, tokenizer: PreTrainedTokenizerBase) -> Rules:
        """Returns the penalties and biases that are asked for."""
        from holdfast.serving.engine import Rules

        biases = self._biases(len(tokenizer))
        return Rules(self.presence_penalty or 0.0, self.frequency_penalty or 0.0, biases)

    def _biases(self, vocab_size: int) -> dict[int, float]:
        biases: dict[int, float] = {}
        for key, value in (self.logit_bias or {}).items():
            if not key.isdecimal() or int(key) >= vocab_size:
                raise RequestError(f"logit_bias: {key!r} is not a token id below {vocab_size}.", param="logit_bias")
            biases[int(key)] = value
        return biases


class ChatRequest(Sampled):
    """A chat completion as it is asked for."""

    messages: Annotated[list[dict[str, object]], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: list[dict[str, object]] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, object] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, object] | None = None
    store: bool | None = None
    metadata: dict[str, Annotated[str, Field(max_length=512)]] | None = Field(default=None, max_length=16)
    service_tier: Literal["auto", "default"] | None = None

    @property
    def most(self) -> int | None:
        """How many tokens are written at most, if it is said."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    def turns(self) -> tuple[Message, ...]:
        """Returns the conversation.

        Raises:
            RequestError: a turn cannot be read, or cannot follow the one before it.
        """
        return conversation(self.messages)

    def described_tools(self) -> tuple[dict[str, JSONValue], ...]:
        """Returns the tools that the model may call."""
        return () if self.tool_choice == "none" else tools_of(self.tools)

    def rules(self, tokenizer: PreTrainedTokenizerBase) -> Rules:
        """Returns the penalties, biases and schema that are asked for.

        Raises:
            ConfigError: the schema cannot be followed.
        """
        from holdfast.serving.rules import json_grammar

        rules, forced = super().rules(tokenizer), self._forced_call()
        schema = schema_of_format(self.response_format) if forced is None else forced
        if schema is not None:
            json_grammar(tokenizer, schema, param="response_format" if forced is None else "tool_choice")
        return replace(rules, schema=schema)

    def _forced_call(self) -> dict[str, JSONValue] | None:
        """Returns the schema of a call that must be made, if one must."""
        if self.tool_choice in (None, "auto", "none"):
            return None
        tools = [cast("dict[str, JSONValue]", tool.get("function", tool)) for tool in self.described_tools()]
        if isinstance(self.tool_choice, dict):
            named = cast("dict[str, object]", self.tool_choice.get("function") or self.tool_choice).get("name")
            tools = [tool for tool in tools if tool.get("name") == named]
        if not tools:
            raise RequestError("tool_choice asks for a call, and there is no such tool.", param="tool_choice")
        calls: list[JSONValue] = [
            {
                "type": "object",
                "properties": {
                    "name": {"const": tool.get("name")},
                    "arguments": tool.get("parameters") or {"type": "object"},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for tool in tools
        ]
        return {"anyOf": calls}


def as_text(value: object) -> str:
    """Returns JSON in one line, as it goes out."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
