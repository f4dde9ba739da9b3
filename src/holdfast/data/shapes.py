"""One function for each known shape of row: columns in, an Example without its id out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from holdfast.data.chat import parse_tools, parse_turns
from holdfast.data.rejected import RowError
from holdfast.data.strict_json import dump, kind_of, parse, parsed
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.types import JSONValue

Row: TypeAlias = "Mapping[str, JSONValue]"


def lacks_label(value: JSONValue) -> bool:
    """Tells whether a cell that should hold a class label holds none: it is empty, null or NaN."""
    if isinstance(value, str):
        return value.strip().lower() in ("", "nan")
    return value is None or (isinstance(value, float) and math.isnan(value))


def label_text(value: JSONValue) -> str:
    """Returns a class label as text: 3, 3.0 and "3" are one class; raises `RowError` if it is missing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            raise RowError("label", "the label is NaN, so the class is missing")
        if not value.is_integer():
            raise RowError("label", f"the label {value} is a fraction; classification needs a class")
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    if lacks_label(value):
        raise RowError("label", "the label is empty, so the class is missing")
    if not isinstance(value, str):
        raise RowError("label", f"the label is {kind_of(value)}; it must be text or a whole number")
    return value.strip()


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowError("empty", f"{column} is empty")
    if not isinstance(value, str):
        raise RowError("content", f"{column} is {kind_of(value)}, not text")
    return value


def _optional_text(row: Row, column: str) -> str | None:
    value = row.get(column)
    return None if value is None or value == "" else _text(row, column)


def _asked(question: str, answer: str | None = None, system: str | None = None) -> tuple[Message, ...]:
    messages = (Message("system", system),) if system else ()
    messages += (Message("user", question),)
    return messages if answer is None else (*messages, Message("assistant", answer))


def with_extras(row: Row, messages: tuple[Message, ...]) -> Example:
    """Returns an example of these turns, with what may stand beside the columns of any format."""
    value = row.get("label")
    return Example(
        id="",
        messages=messages,
        tools=parse_tools(row.get("tools")) or parse_tools(row.get("functions")),
        privileged_context=_context_text(row.get("privileged_context")),
        document=_optional_text(row, "document"),
        label=None if value is None or value == "" else label_text(value),
    )


def _context_text(value: JSONValue) -> str | None:
    """TRL also takes a list of messages here and joins their contents."""
    if isinstance(value, list):
        return "\n".join(message.content for message in parse_turns(value, "privileged_context"))
    return _optional_text({"privileged_context": value}, "privileged_context")


def chat(row: Row) -> Example:
    """Returns an OpenAI chat row; `output_text` (the SDFT science set) is the answer to its last turn."""
    messages = parse_turns(row.get("messages"), "messages")
    answer = _optional_text(row, "output_text")
    if answer is not None:
        messages += (Message("assistant", answer),)
    if isinstance(row.get("label"), bool):
        if not row["label"]:
            raise RowError("preference", "label is false: an answer to avoid (KTO), which is nothing to imitate")
        row = {key: value for key, value in row.items() if key != "label"}
    return with_extras(row, messages)


def sharegpt(row: Row) -> Example:
    """Returns a ShareGPT row: turns with `from` and `value`, tools as JSON text, the system turn beside them."""
    messages = parse_turns(row.get("conversations"), "conversations")
    system = _optional_text(row, "system")
    if system and messages[0].role != "system":
        messages = (Message("system", system), *messages)
    return with_extras(row, messages)


def prompt_turns(row: Row) -> tuple[Message, ...]:
    """Returns the turns of a prompt. Its assistant turns are context: only the completion is learned, as in TRL."""
    value = turns_in_text(row.get("prompt"))
    if isinstance(value, list):
        return tuple(
            replace(message, weight=0.0) if message.role == "assistant" else message
            for message in parse_turns(value, "prompt")
        )
    return _asked(_text(row, "prompt"), system=_optional_text(row, "system"))


def turns_in_text(value: JSONValue) -> JSONValue:
    """Returns turns that a CSV cell holds as JSON text; text that merely looks like it stays text."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return value
    try:
        turns = parse(value)
    except RowError:
        return value
    is_turns = isinstance(turns, list) and all(isinstance(t, dict) and ("role" in t or "from" in t) for t in turns)
    return turns if is_turns else value


def prompt_completion(row: Row) -> Example:
    """Returns prompt and completion (both text, or both turns) as one conversation."""
    value = turns_in_text(row.get("completion"))
    if isinstance(value, list | dict):
        turns = parse_turns(value if isinstance(value, list) else [value], "completion")
    else:
        turns = (Message("assistant", _text(row, "completion")),)
    return with_extras(row, (*prompt_turns(row), *turns))


def prompt_only(row: Row) -> Example:
    """Returns a prompt without an answer; `privileged_context`, if any, is what the SDFT teacher reads."""
    return with_extras(row, prompt_turns(row))


def sdft_tools(row: Row) -> Example:
    """Returns a tool-use row of the SDFT paper; its answer is the golden response, else the golden actions."""
    response = row.get("golden_response")
    if response not in (None, "", []):
        lines = response if isinstance(response, list) else [response]
        if not all(isinstance(line, str) for line in lines):
            raise RowError("content", "golden_response is not text or a list of texts")
        answer = "\n".join(str(line) for line in lines)
    else:
        actions = parsed(row.get("golden_answer"), "golden_answer")
        if not isinstance(actions, list) or not actions:
            raise RowError("empty", "golden_answer has no action")
        answer = "\n".join(_action(action) for action in actions)
    return with_extras(row, (*prompt_turns(row), Message("assistant", answer)))


def _action(value: JSONValue) -> str:
    name = value.get("Action") if isinstance(value, dict) else None
    arguments = value.get("Action_Input") if isinstance(value, dict) else None
    if isinstance(arguments, dict):
        arguments = dump(arguments)
    if not isinstance(name, str) or not isinstance(arguments, str):
        raise RowError("tool_calls", "an action of golden_answer lacks Action or Action_Input")
    return f"Action: {name}\nAction Input: {arguments}"


def question_answer(row: Row) -> Example:
    """Returns a question and its answer; `context` is the document that the teacher reads first."""
    answer = _text(row, "answer") if row.get("answers") is None else _first_answer(row["answers"])
    example = with_extras(row, _asked(_text(row, "question"), answer))
    return replace(example, document=_optional_text(row, "context") or example.document)


def _first_answer(value: JSONValue) -> str:
    """SQuAD keeps several wordings of one answer; the first is the reference."""
    texts = value.get("text") if isinstance(value, dict) else value
    first = texts[0] if isinstance(texts, list) and texts else None
    if isinstance(first, dict):
        first = first.get("text")
    if not isinstance(first, str) or not first.strip():
        raise RowError("empty", "answers holds no answer")
    return first


def alpaca(row: Row) -> Example:
    """Returns an Alpaca row; `input` follows the instruction after an empty line, `history` comes before."""
    question = _text(row, "instruction")
    if row.get("input") not in (None, ""):
        question = f"{question}\n\n{_text(row, 'input')}"
    messages: tuple[Message, ...] = ()
    for pair in _history(row.get("history")):
        messages += _asked(*pair)
    system = _optional_text(row, "system")
    start = (Message("system", system),) if system else ()
    return with_extras(row, (*start, *messages, *_asked(question, _text(row, "output"))))


def _history(value: JSONValue) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for pair in value if isinstance(value, list) else []:
        match pair:
            case [str() as question, str() as answer]:
                pairs.append((question, answer))
            case _:
                raise RowError("content", "history is not a list of [question, answer] pairs")
    return pairs


_JSON_TYPES: Mapping[str, str] = {"dict": "object", "float": "number", "tuple": "array"}


def berkeley(row: Row) -> Example:
    """Returns a row of the Berkeley function-calling leaderboard: one request, functions, and no answer of its own.

    Python's names of types become those of JSON Schema; `ground_truth` is for the grader.
    """
    asked = parsed(row.get("question"), "question")
    if not isinstance(asked, list) or len(asked) != 1:
        raise RowError("content", "question is not one list of turns; conversations in several parts are not read")
    functions = parsed(row.get("function"), "function")
    tools = parse_tools([_with_json_types(each) for each in functions] if isinstance(functions, list) else functions)
    return Example(id="", messages=parse_turns(asked[0], "question"), tools=tools)


def _with_json_types(value: JSONValue) -> JSONValue:
    """Returns a schema whose types are JSON's; "any" says nothing and is left out."""
    if isinstance(value, list):
        return [_with_json_types(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("type")
    found = {key: _with_json_types(each) for key, each in value.items() if not (key == "type" and kind == "any")}
    return {**found, "type": _JSON_TYPES.get(kind, kind)} if isinstance(kind, str) and kind != "any" else found


def classification(row: Row) -> Example:
    """Returns a text as the only user turn, with its class."""
    return Example(id="", messages=_asked(_text(row, "text")), label=label_text(row.get("label")))


def text_alone(row: Row) -> Example:
    """Returns a text as the only user turn; its class is not known yet."""
    return Example(id="", messages=_asked(_text(row, "text")))
