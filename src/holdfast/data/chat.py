"""Turns of a conversation, in OpenAI's and ShareGPT's spelling, as Messages in an order that makes sense."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump, parse, parsed
from holdfast.types import Message, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue, Role

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
_CONTENT_KEYS = ("content", "value")
_WEIGHT_KEYS = ("weight", "loss_weight", "train")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_NOTHING = (None, "", [], {})
_USED_KEYS = {"role", "from", "tool_calls", "function_call", "tool_call_id", *_CONTENT_KEYS, *_WEIGHT_KEYS}


def parse_turns(value: JSONValue, column: str) -> tuple[Message, ...]:
    """Returns the turns in `value` (a list, or JSON text of one); raises `RowError`. Order is not checked here."""
    turns = parsed(value, column)
    if not isinstance(turns, list) or not turns:
        raise RowError("roles", f"{column} is not a list of turns with at least one turn")
    return tuple(_turn(turn, number) for number, turn in enumerate(turns, start=1))


def unused_turn_keys(value: JSONValue) -> set[str]:
    """Returns the keys of readable turns that say something and were not used."""
    turns = parsed(value, "the conversation")
    unused: set[str] = set()
    for turn in turns if isinstance(turns, list) else []:
        if isinstance(turn, dict):
            unused.update(key for key, item in turn.items() if key not in _USED_KEYS and item not in _NOTHING)
    return unused


def check_order(messages: Sequence[Message]) -> None:
    """Raises `RowError` at the first turn that is empty, or that cannot follow the one before it."""
    previous: Message | None = None
    for number, message in enumerate(messages, start=1):
        if message.role in ("user", "assistant") and not message.content.strip() and not message.tool_calls:
            raise RowError("empty", f"turn {number} ({message.role}) is empty")
        problem = _order_problem(previous, message)
        if problem:
            raise RowError("roles", f"turn {number} ({message.role}) {problem}")
        previous = message
    _check_call_ids(messages)


def parse_tools(value: JSONValue) -> tuple[dict[str, JSONValue], ...]:
    """Returns tool descriptions in OpenAI's shape; a bare function is put into {"type": "function", …}."""
    tools = value if isinstance(value, str) and not value.strip() else parsed(value, "tools")
    if tools in _NOTHING:
        return ()
    if not isinstance(tools, list):
        raise RowError("tools", "tools is not a list of tool descriptions")
    return tuple(_tool(tool, number) for number, tool in enumerate(tools, start=1))


def parse_call(value: JSONValue, where: str) -> ToolCall:
    """Returns one call from {"name", "arguments"}, bare or inside "function"; raises `RowError`."""
    if not isinstance(value, dict):
        raise RowError("tool_calls", f"{where} is not an object with a name and arguments")
    inner = value.get("function", value)
    name = inner.get("name") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(name, str) or not name.strip():
        raise RowError("tool_calls", f"{where} has no name")
    identity = value.get("id")
    arguments = inner.get("arguments")
    if arguments is None:
        arguments = inner.get("parameters")
    return ToolCall(name, _arguments(arguments, f"{where} ({name})"), identity if isinstance(identity, str) else "")


def _arguments(value: JSONValue, where: str) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "{}"
    if isinstance(value, str):
        try:
            arguments = parse(value)
        except RowError as error:
            raise RowError("tool_calls", f"the arguments of {where} are {error.reason}") from None
        if isinstance(arguments, dict):
            return value
    elif isinstance(value, dict):
        return dump(value)
    raise RowError("tool_calls", f"the arguments of {where} are not a JSON object")


def _turn(turn: JSONValue, number: int) -> Message:
    where = f"turn {number}"
    if not isinstance(turn, dict):
        raise RowError("roles", f"{where} is not an object with a role and content")
    name = turn.get("role") if turn.get("role") is not None else turn.get("from")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise RowError("roles", f"{where} has the role {_short(name)}; known are {', '.join(sorted(_ROLES))}")
    for key in _REASONING_KEYS:
        if turn.get(key):
            raise RowError("content", f"{where} has {key}, which is not read; put it into the text, where it belongs")
    content = next((turn[key] for key in _CONTENT_KEYS if turn.get(key) is not None), None)
    if name == "function_call":
        text, calls = "", _calls(parsed(content, where), where)
    else:
        text, calls = _text_and_calls(content, where)
    calls += _calls(turn.get("tool_calls"), where) + _calls(turn.get("function_call"), where)
    if calls and role != "assistant":
        raise RowError("tool_calls", f"{where} ({role}) makes a tool call; only the assistant can")
    call_id = turn.get("tool_call_id")
    return Message(
        role=role,
        content=text,
        tool_calls=calls,
        weight=_weight(turn, role, where),
        tool_call_id=call_id if isinstance(call_id, str) else "",
    )


def _text_and_calls(content: JSONValue, where: str) -> tuple[str, tuple[ToolCall, ...]]:
    if content is None or isinstance(content, str):
        return content or "", ()
    if not isinstance(content, list):
        raise RowError("content", f"the content of {where} is {_short(content)}, not text")
    texts: list[str] = []
    calls: tuple[ToolCall, ...] = ()
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or kind not in ("text", "tool_call"):
            hint = "put reasoning into the text, where it belongs" if kind == "reasoning" else "only text is read"
            raise RowError("content", f"{where} has a part of type {_short(kind)}; {hint}")
        inner = part.get("text") if part.get("text") is not None else part.get("value")
        if kind == "tool_call":
            calls += _calls(parsed(inner, where), where)
        elif isinstance(inner, str):
            texts.append(inner)
        else:
            raise RowError("content", f"{where} has a text part without text")
    return "".join(texts), calls


def _calls(value: JSONValue, where: str) -> tuple[ToolCall, ...]:
    if value in _NOTHING:
        return ()
    calls = value if isinstance(value, list) else [value]
    return tuple(parse_call(call, f"call {number} of {where}") for number, call in enumerate(calls, start=1))


def _weight(turn: dict[str, JSONValue], role: Role, where: str) -> float:
    value = next((turn[key] for key in _WEIGHT_KEYS if turn.get(key) is not None), None)
    if value is None:
        return 1.0
    if not isinstance(value, int | float) or math.isnan(value) or value not in (0, 1):
        raise RowError("weight", f"{where} has the weight {_short(value)}; it must be 0 or 1")
    if role != "assistant":
        if value:
            raise RowError("weight", f"{where} ({role}) has weight 1, but only assistant turns are trained; remove it")
        return 1.0  # never trained whatever its weight, so it keeps the default
    return float(value)


def _order_problem(previous: Message | None, message: Message) -> str:
    before = previous.role if previous else None
    if message.role == "system":
        return "" if previous is None else "must be the first turn"
    if message.role == "user":
        return {"user": "follows another user turn; join them", "tool": "follows a tool result not yet answered"}.get(
            before or "", ""
        )
    if message.role == "assistant":
        return (
            "" if before in ("user", "tool") else f"follows {before or 'nothing'}; a user or tool turn must come before"
        )
    if before == "tool" or (previous is not None and before == "assistant" and previous.tool_calls):
        return ""
    return f"follows {before or 'nothing'}; only a tool call can come before a tool result"


def _check_call_ids(messages: Sequence[Message]) -> None:
    open_ids: set[str] = set()
    for number, message in enumerate(messages, start=1):
        if message.role == "assistant":
            open_ids = {call.id for call in message.tool_calls}
        elif message.role == "tool" and message.tool_call_id and not open_ids & {"", message.tool_call_id}:
            raise RowError("tool_calls", f"turn {number} (tool) answers {message.tool_call_id}, which was not called")


def _tool(value: JSONValue, number: int) -> dict[str, JSONValue]:
    where = f"tool {number}"
    value = parsed(value, where)
    if not isinstance(value, dict):
        raise RowError("tools", f"{where} is not an object")
    function = value.get("function", value)
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise RowError("tools", f"{where} has no name")
    return value if "function" in value else {"type": "function", "function": value}


def _short(value: object) -> str:
    text = repr(cast("object", value))
    return text if len(text) <= 40 else text[:37] + "..."
