"""Tool calls in the text of a model, whatever its family's way of writing them.

Read are: one JSON object or several, a list of them, in a code fence or in free text; `<tool_call>`
(Qwen, Hermes); `<|python_tag|>` and "parameters" (Llama 3); `<function=NAME>{…}</function>`;
`[TOOL_CALLS]` with a list, or as `NAME[ARGS]{…}` (Mistral); Python calls `name(key=value)` (Llama 4,
OpenFunctions), which are parsed and never run. Everything is linear in the text, or bounded.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from holdfast.graders.model_json import value_at, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.types import JSONValue, ToolCall

_MAX_STARTS = 200
"""How many places of a text are tried as the start of a JSON value."""
_MAX_PYTHON = 20_000
"""Python's parser is not made for hostile text: longer texts are not tried."""
_NAMED = re.compile(r"<function=([^>\s]{1,200})>\s*(?=\{)|\[TOOL_CALLS\]\s*([\w.-]{1,200})\[ARGS\]\s*(?=\{)")
_PYTHON = re.compile(r"\[?\s*[^\W\d][\w.]{0,200}\(")
_START = re.compile(r"[{\[]")
_JSON_CONSTANTS: dict[str, JSONValue] = {"true": True, "false": False, "null": None}
_WRAPPER = re.compile(r"^\s*(?:<\|python_(?:tag|start)\|>|```(?:python|py)?)|(?:<\|python_end\|>|<\|eom_id\|>|```)\s*$")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool's name and its arguments as JSON values."""

    name: str
    arguments: dict[str, JSONValue]


def calls_of(tool_calls: tuple[ToolCall, ...]) -> list[Call] | None:
    """Returns the calls of a message; None if the arguments of one are not a JSON object."""
    calls = [_call({"name": call.name, "arguments": call.arguments}) for call in tool_calls]
    return None if None in calls else cast("list[Call]", calls)


def calls_in(text: str) -> list[Call]:
    """Returns the tool calls written in `text` after any closed reasoning, in order; empty if none can be read."""
    text = text.rpartition("</think>")[2]
    named: list[Call | None] = []
    for match in _NAMED.finditer(text):
        found = value_at(text, match.end())
        if found is not None and isinstance(found[0], dict):
            named.append(Call(match[1] or match[2], found[0]))
    calls = named or [call for value in _values(text) for call in _calls(value)]
    return [call for call in calls if call is not None] or _python_calls(text)


def _values(text: str) -> Iterator[JSONValue]:
    """Yields the JSON objects and lists of a text, outermost only."""
    position = 0
    for _ in range(_MAX_STARTS):
        match = _START.search(text, position)
        if match is None:
            return
        found = value_at(text, match.start())
        if found is None:
            position = match.end()
        else:
            yield found[0]
            position = found[1]


def _calls(value: JSONValue) -> Iterator[Call | None]:
    if isinstance(value, list):
        for item in value:
            yield _call(item)
    elif isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        for item in cast("list[JSONValue]", value["tool_calls"]):
            yield _call(item)
    else:
        yield _call(value)


def _call(value: JSONValue) -> Call | None:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None
    name = value.get("name")
    key = next((key for key in ("arguments", "parameters") if key in value), None)
    if not isinstance(name, str) or key is None:
        return None
    arguments = value[key]
    if isinstance(arguments, str):
        arguments = whole(arguments) if arguments.strip() else {}
    return Call(name, arguments) if isinstance(arguments, dict) else None


def _python_calls(text: str) -> list[Call]:
    """Calls such as `shop.find(city="Rome", n=3)`, one or a list; a positional value is named by its place."""
    code = _WRAPPER.sub("", text).strip()
    if len(code) > _MAX_PYTHON or not _PYTHON.match(code):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parser warns about odd literals, to no one's use here
            tree = ast.parse(code, mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        calls = [_python_call(node) for node in nodes]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [call for call in calls if call is not None] if None not in calls else []


def _python_call(node: ast.expr) -> Call | None:
    if not isinstance(node, ast.Call):
        return None
    values = {f"#{place}": item for place, item in enumerate(node.args, start=1)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in values:
            return None
        values[keyword.arg] = keyword.value
    return Call(ast.unparse(node.func), {name: _python_value(item) for name, item in values.items()})


def _python_value(node: ast.expr) -> JSONValue:
    """A literal as its value, JSON's constants too; anything else (a name, a nested call) as its source text."""
    if isinstance(node, ast.Name) and node.id in _JSON_CONSTANTS:
        return _JSON_CONSTANTS[node.id]
    try:
        return _as_json(ast.literal_eval(node))
    except ValueError:
        return {"$python": ast.unparse(node)}


def _as_json(value: object) -> JSONValue:
    """A Python literal as JSON; raises `ValueError` for what JSON cannot say."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return {str(key): _as_json(item) for key, item in items}
    raise ValueError(f"{type(value).__name__} has no JSON form")
