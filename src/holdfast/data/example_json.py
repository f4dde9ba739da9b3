"""An Example as JSON and back: OpenAI chat rows with Holdfast's own fields beside `messages`."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, cast

from holdfast.data.rejected import Rejected, RowError
from holdfast.data.strict_json import dump
from holdfast.errors import DataError
from holdfast.types import Example, Message, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from holdfast.types import JSONValue

_ROLES = ("system", "user", "assistant", "tool")


def to_json(example: Example) -> dict[str, JSONValue]:
    """Returns `example` as one JSON object, which `read` also accepts; fields at their default are left out."""
    columns: dict[str, JSONValue] = {"columns": dict(example.columns)} if example.columns else {}
    source: dict[str, JSONValue] = {"source": example.source} if example.source else {}
    return {"id": example.id, **_content(example), **columns, **source}


def from_json(row: Mapping[str, JSONValue]) -> Example:
    """Returns the Example that `to_json` wrote; raises `DataError` when `row` is something else."""
    try:
        return Example(
            id=_text(row, "id"),
            messages=tuple(_message(message) for message in _objects(row["messages"])),
            tools=tuple(_objects(row.get("tools", []))),
            privileged_context=_optional(row, "privileged_context"),
            document=_optional(row, "document"),
            label=_optional(row, "label"),
            rejected=_rejected(row),
            source=_optional(row, "source") or "",
            columns=_columns(row),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"This is not a prepared example ({type(error).__name__}: {error}). Prepare the data again."
        ) from error


def example_id(example: Example) -> str:
    """Returns 16 hex digits that depend on messages, tools, label, document, privileged context and rejected answer."""
    return hashlib.sha256(canonical(_content(example))).hexdigest()[:16]


def prompt_id(example: Example) -> str:
    """Returns 16 hex digits of what is asked: prompt turns and tools, whatever the answer.

    Turn weights are left out (they say how a turn is trained, not what it says), and so is the
    document: a student never reads it, so two examples that differ only there ask the same.
    """
    prompt = [{**_message_json(message), "weight": 1} for message in example.prompt]
    return hashlib.sha256(canonical([prompt, list(example.tools)])).hexdigest()[:16]


def content_hash(examples: Iterable[Example]) -> str:
    """Returns the sha256 (hex) of a data set's content, the same whatever the order of its examples."""
    contents = ([_content(example), dict(example.columns)] for example in examples)
    ids = sorted(hashlib.sha256(canonical(content)).hexdigest() for content in contents)
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def check_text(example: Example) -> None:
    """Raises `RowError` if `example` holds something that no UTF-8 JSON file can hold."""
    try:
        dump(to_json(example)).encode()
    except UnicodeEncodeError:
        raise RowError("encoding", "has half of a surrogate pair (such as \\ud800), which is not text") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise RowError("json", f"cannot be written as JSON: {error}") from None


def reject(example: Example, kind: str, reason: str) -> Rejected:
    """Returns `example` as a rejected row; its place is what `source` says (`file.jsonl:17`)."""
    place, _, line = example.source.rpartition(":")
    known = bool(place) and line.isascii() and line.isdigit()
    # Plain ASCII, because half a surrogate pair may be the very reason.
    try:
        raw = json.dumps(to_json(example), default=str)
    except (ValueError, RecursionError) as error:  # only examples built in code can be so
        raw = f"(cannot be written: {error})"
    return Rejected(place if known else example.source, int(line) if known else 0, reason, raw, kind)


def canonical(value: object) -> bytes:
    """Returns the one JSON spelling of `value`: keys sorted, no spaces; half surrogate pairs are kept."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _content(example: Example) -> dict[str, JSONValue]:
    row: dict[str, JSONValue] = {"messages": [_message_json(message) for message in example.messages]}
    if example.tools:
        row["tools"] = [dict(tool) for tool in example.tools]
    for key in ("privileged_context", "document", "label"):
        value: str | None = getattr(example, key)
        if value is not None:
            row[key] = value
    if example.rejected is not None:
        row["rejected"] = _message_json(example.rejected)
    return row


def _message_json(message: Message) -> dict[str, JSONValue]:
    row: dict[str, JSONValue] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        row["tool_calls"] = [_call_json(call) for call in message.tool_calls]
    if message.weight != 1.0:
        # An integer where it is one, so that 0 and 0.0 have the same hash.
        row["weight"] = int(message.weight) if message.weight == int(message.weight) else message.weight
    if message.tool_call_id:
        row["tool_call_id"] = message.tool_call_id
    return row


def _call_json(call: ToolCall) -> dict[str, JSONValue]:
    identity: dict[str, JSONValue] = {"id": call.id} if call.id else {}
    return {**identity, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _message(row: Mapping[str, JSONValue]) -> Message:
    role = _text(row, "role")
    if role not in _ROLES:
        raise TypeError(f"unknown role {role!r}")
    weight = row.get("weight", 1.0)
    if not isinstance(weight, int | float):
        raise TypeError("weight is not a number")
    return Message(
        role=role,
        content=_text(row, "content"),
        tool_calls=tuple(_call(call) for call in _objects(row.get("tool_calls", []))),
        weight=float(weight),
        tool_call_id=_optional(row, "tool_call_id") or "",
    )


def _call(row: Mapping[str, JSONValue]) -> ToolCall:
    function = row["function"]
    if not isinstance(function, dict):
        raise TypeError("function is not an object")
    return ToolCall(name=_text(function, "name"), arguments=_text(function, "arguments"), id=_optional(row, "id") or "")


def _objects(value: JSONValue) -> list[dict[str, JSONValue]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError("expected a list of objects")
    return cast("list[dict[str, JSONValue]]", value)


def _rejected(row: Mapping[str, JSONValue]) -> Message | None:
    value = row.get("rejected")
    if value is not None and not isinstance(value, dict):
        raise TypeError("rejected is not a turn")
    return None if value is None else _message(value)


def _columns(row: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    columns = row.get("columns", {})
    if not isinstance(columns, dict):
        raise TypeError("columns is not an object")
    return columns


def _text(row: Mapping[str, JSONValue], key: str) -> str:
    value = row[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not text")
    return value


def _optional(row: Mapping[str, JSONValue], key: str) -> str | None:
    return None if row.get(key) is None else _text(row, key)
