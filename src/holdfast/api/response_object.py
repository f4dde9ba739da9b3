"""A response as the client reads it: its head, its items, its tokens."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from holdfast.api.chat import calls_made, logprobs_of
from holdfast.api.writing import finish_of
from holdfast.jobs.response_items import chat_tools, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.api.response_request import Chat, ResponseRequest
    from holdfast.api.state import Reply
    from holdfast.api.writing import Writing
    from holdfast.errors import HoldfastError
    from holdfast.jobs.response_items import Item
    from holdfast.types import Version


@dataclass(frozen=True, slots=True)
class Begun:
    """A response that is being written: what was asked, and what it is called."""

    body: ResponseRequest
    chat: Chat
    given: list[Item]
    version: Version
    id: str = field(default_factory=lambda: f"resp_{secrets.token_hex(24)}")
    message_id: str = field(default_factory=lambda: new_id("message"))
    created_at: int = field(default_factory=lambda: int(time.time()))

    def told(
        self,
        status: str,
        output: Sequence[Reply] = (),
        *,
        usage: Reply | None = None,
        error: HoldfastError | None = None,
    ) -> Reply:
        """Returns the response in a state."""
        body = self.body
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "background": False,
            "error": None if error is None else {"code": "server_error", "message": error.message},
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": dict(body.metadata or {}),
            "model": body.model,
            "output": list(output),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": body.keeps,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": {"format": body.text_format()},
            "tool_choice": body.choice(),
            "tools": [
                {"type": "function", "parameters": None, "strict": None, **cast("Reply", tool["function"])}
                for tool in chat_tools(body.tools)
            ],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": usage,
            "user": body.user,
            "version": self.version.id,
        }

    def message(self, text: str | None, status: str, logprobs: object = ()) -> Reply:
        """Returns the item that is the answer's text; None where there is none yet."""
        content = [] if text is None else [self.part(text, logprobs)]
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": content,
        }

    def part(self, text: str, logprobs: object = ()) -> Reply:
        """Returns the text of an answer."""
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(cast("list[Reply]", logprobs))}


def usage_of(num_prompt: int, written: int) -> Reply:
    """Returns the tokens read and written, in a response's words."""
    return {
        "input_tokens": num_prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": num_prompt + written,
    }


def ended(begun: Begun, writing: Writing, num_prompt: int) -> Reply:
    """Returns the whole response, once it is written."""
    (choice,) = writing.choices
    calls = calls_made(choice, begun.chat)
    status = "completed" if calls or finish_of(choice) == "stop" else "incomplete"
    if calls:
        output = [_call_item(call) for call in calls]
    else:
        has_logprobs = bool(begun.chat.logprobs)
        logprobs = logprobs_of(writing, choice.pieces)["content"] if has_logprobs else ()
        output = [begun.message(choice.text, status, logprobs)]
    return begun.told(status, output, usage=usage_of(num_prompt, len(choice.pieces)))


def _call_item(call: Reply) -> Reply:
    function = cast("dict[str, object]", call["function"])
    return {
        "id": new_id("function_call"),
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        "name": function["name"],
        "arguments": function["arguments"],
    }
