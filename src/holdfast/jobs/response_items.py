"""Items of a response, in and out, and the chat that they are to a model.

An item is a message, a call of a function, or what came of a call. A conversation that goes on from a response is that
response's own, its answer, and the new items; its instructions are not carried over.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeAlias, cast

from holdfast.errors import NotFoundError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

Item: TypeAlias = "dict[str, JSONValue]"

_ROLES = ("user", "assistant", "system", "developer")
_FIELDS = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
}
"""The kinds of items that are taken, and what each must have."""
_IGNORED = ("type", "id", "status")
_TEXTS = ("input_text", "output_text", "text")
_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}
_MOST_BEFORE = 1000
"""So many responses a conversation goes back at most."""


def new_id(kind: str) -> str:
    """Returns an id for an item of this kind."""
    return f"{_PREFIXES[kind]}_{secrets.token_hex(24)}"


def items_of(given: str | Sequence[Mapping[str, object]]) -> list[Item]:
    """Returns the items of a request in one form, each with an id.

    Raises:
        RequestError: an item is of a kind that is not taken here, or lacks something.
    """
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    return [_item(one, f"input.{number}") for number, one in enumerate(given)]


def _item(given: Mapping[str, object], where: str) -> Item:
    kind = given.get("type") or "message"
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise _wrong(f"{where}: items of type {kind!r} are not taken here; there are {', '.join(_FIELDS)}.")
    fields = _FIELDS[kind]
    missing = next((name for name in fields if given.get(name) is None), None)
    if missing is not None:
        raise _wrong(f"{where}.{missing}: a {kind} needs it.")
    unknown = next((key for key in given if key not in (*fields, *_IGNORED) and given[key] is not None), None)
    if unknown is not None:
        raise _wrong(f"{where}.{unknown}: this is not read here. Leave it out.")
    identity = given.get("id")
    item: Item = {"id": identity if isinstance(identity, str) and identity else new_id(kind), "type": kind}
    item["status"] = "completed"
    if kind == "message":
        role = given["role"]
        if role not in _ROLES:
            raise _wrong(f"{where}.role: {role!r} is not one of {', '.join(_ROLES)}.")
        shown = "output_text" if role == "assistant" else "input_text"
        texts = _texts(given["content"], f"{where}.content")
        item |= {"role": cast("str", role), "content": [_part(shown, text) for text in texts]}
        return item
    for name in fields:
        value = given[name]
        if name == "output" and not isinstance(value, str):
            value = "\n".join(_texts(value, f"{where}.output"))
        if not isinstance(value, str):
            raise _wrong(f"{where}.{name}: this is no text.")
        item[name] = value
    return item


def _part(kind: str, text: str) -> Item:
    return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}


def _texts(content: object, where: str) -> list[str]:
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise _wrong(f"{where}: give a text, or a list of parts.")
    texts: list[str] = []
    for number, part in enumerate(cast("list[object]", content)):
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        text = part.get("text") if isinstance(part, dict) and kind in _TEXTS else None
        if not isinstance(text, str):
            raise _wrong(f"{where}.{number}: a part of type {kind!r} cannot be read here; only text is.")
        texts.append(text)
    return texts


def _wrong(message: str) -> RequestError:
    return RequestError(message, param="input")


def items_before(workspace: Workspace, previous: str | None) -> list[Item]:
    """Returns every item of the conversation up to the answer of the response `previous`, oldest first.

    Raises:
        RequestError: it, or one before it, was not kept or is deleted.
    """
    rounds: list[list[Item]] = []
    while previous is not None:
        try:
            found = workspace.response(previous)
        except NotFoundError:
            raise RequestError(
                f"previous_response_id: the response {previous!r} is not there: it was deleted, or not stored "
                "(store: false). Send its items as input instead.",
                param="previous_response_id",
            ) from None
        output = cast("list[Item]", found.response["output"])
        rounds.append([*cast("list[Item]", found.input), *output])
        if len(rounds) > _MOST_BEFORE:
            raise RequestError(
                f"previous_response_id: the conversation goes back more than {_MOST_BEFORE} responses.",
                param="previous_response_id",
            )
        previous = found.previous
    return [item for one in reversed(rounds) for item in one]


def messages_of(items: Iterable[Mapping[str, JSONValue]], instructions: str | None) -> list[Item]:
    """Returns the chat that items are: calls join the assistant's turn, and what leads is the system's one turn."""
    lead, turns = ([instructions] if instructions else []), list[Item]()
    for item in items:
        if item["type"] == "function_call_output":
            turns.append({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
            continue
        if item["type"] == "function_call":
            turn = _assistant(turns)
            turn["tool_calls"] = [*cast("list[JSONValue]", turn.get("tool_calls") or []), _call(item)]
            continue
        text = "\n".join(str(part["text"]) for part in cast("list[Item]", item["content"]))
        role = str(item["role"])
        if role in ("system", "developer") and not turns:
            lead.append(text)
        elif role == "assistant":
            turn = _assistant(turns)
            turn["content"] = "\n".join(filter(None, [str(turn["content"]), text]))
        else:
            turns.append({"role": role, "content": text})
    return [*([{"role": "system", "content": "\n\n".join(lead)}] if lead else []), *turns]


def _assistant(turns: list[Item]) -> Item:
    """Returns the assistant's turn at the end, which is begun if there is none."""
    if not turns or turns[-1]["role"] != "assistant":
        turns.append({"role": "assistant", "content": ""})
    return turns[-1]


def _call(item: Mapping[str, JSONValue]) -> Item:
    function: Item = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def chat_tools(tools: Sequence[Mapping[str, object]] | None) -> list[dict[str, object]]:
    """Returns tools in chat's spelling; raises RequestError for one that is no function."""
    found: list[dict[str, object]] = []
    for number, tool in enumerate(tools or []):
        if tool.get("type") != "function":
            raise RequestError(
                f"tools.{number}: tools of type {tool.get('type')!r} cannot be called here; only functions can.",
                param="tools",
            )
        kept = ("name", "description", "parameters", "strict")
        found.append({"type": "function", "function": {key: tool[key] for key in kept if tool.get(key) is not None}})
    return found


def chat_format(given: Mapping[str, object] | None) -> dict[str, object] | None:
    """Returns `text.format` in chat's spelling."""
    if given is None or given.get("type") != "json_schema":
        return None if given is None else dict(given)
    return {"type": "json_schema", "json_schema": {key: value for key, value in given.items() if key != "type"}}
