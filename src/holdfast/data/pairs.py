"""Preference pairs: a prompt, the answer that is preferred, and the one that is not, in the forms they are found in.

The preferred answer is the demonstration. Of what comes before it nothing is learned, so the assistant's turns there
have weight 0.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.data import shapes
from holdfast.data.chat import check_order, parse_tools, parse_turns
from holdfast.data.rejected import RowError
from holdfast.data.strict_json import parse, parsed
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.shapes import Row
    from holdfast.types import JSONValue

OPENAI = (("preferred_output", "non_preferred_output"), ("preferred_completion", "non_preferred_completion"))
"""What OpenAI calls the two answers beside `input`, and what it called them first."""


def prompted(row: Row) -> Example:
    """Returns TRL's `prompt`, `chosen` and `rejected`; the answers are text or turns, and may repeat the prompt's."""
    return _pair(row, shapes.prompt_turns(row), row.get("chosen"), row.get("rejected"))


def conversation(row: Row) -> Example:
    """Returns a ShareGPT row with `chosen` and `rejected` turns beside its `conversations`."""
    return _pair(row, shapes.sharegpt(row).messages, row.get("chosen"), row.get("rejected"))


def whole(row: Row) -> Example:
    """Returns two whole conversations, `chosen` and `rejected` (or `…_messages`), that differ in their last turn."""
    columns = ("chosen", "rejected") if "chosen" in row else ("chosen_messages", "rejected_messages")
    values = [shapes.turns_in_text(row.get(column)) for column in columns]
    for column, value in zip(columns, values, strict=True):
        if not isinstance(value, list):
            raise RowError("preference", f"{column} is not a list of turns, and there is no prompt beside it")
    chosen, rejected = (parse_turns(value, column) for value, column in zip(values, columns, strict=True))
    if _said(chosen[:-1]) != _said(rejected[:-1]):
        raise RowError("preference", f"{columns[0]} and {columns[1]} differ before their last turn")
    return _example(row, chosen[:-1], chosen[-1], rejected[-1])


def openai(row: Row) -> Example:
    """Returns OpenAI's preference row: `input` with messages and tools, and one assistant turn for each output."""
    given = parsed(row.get("input"), "input")
    if not isinstance(given, dict):
        raise RowError("preference", "input is not an object with messages")
    columns = next(names for names in OPENAI if names[0] in row)
    prompt = parse_turns(given.get("messages"), "input.messages")
    found = _pair(row, prompt, *(row.get(column) for column in columns), columns=columns)
    return replace(found, tools=parse_tools(given.get("tools")))


def chat(row: Row) -> Example:
    """Returns a chat row, whose last turn is preferred to the answer in `rejected`."""
    example = shapes.chat(row)
    if example.demonstration is None:
        raise RowError("preference", "has a rejected answer and no preferred one: the last turn is not the assistant's")
    answer = replace(_answer(row.get("rejected"), "rejected", example.prompt), weight=1.0)
    return replace(example, rejected=answer)


def check_pair(example: Example) -> None:
    """Raises `RowError` where a rejected answer cannot be one, or is the preferred one."""
    answer, other = example.demonstration, example.rejected
    if other is None or answer is None:
        return
    try:
        check_order(example.instead.messages)
    except RowError as error:
        raise RowError(error.kind, f"the rejected answer: {error.reason}") from None
    if (answer.content, answer.tool_calls) == (other.content, other.tool_calls):
        raise RowError(
            "preference", "the preferred and the rejected answer are the same, so neither is to be preferred"
        )


def _pair(
    row: Row,
    prompt: Sequence[Message],
    chosen: JSONValue,
    rejected: JSONValue,
    *,
    columns: tuple[str, str] = ("chosen", "rejected"),
) -> Example:
    return _example(row, prompt, _answer(chosen, columns[0], prompt), _answer(rejected, columns[1], prompt))


def _example(row: Row, prompt: Sequence[Message], answer: Message, rejected: Message) -> Example:
    if answer.role != "assistant" or rejected.role != "assistant":
        raise RowError("roles", "an answer to prefer or to avoid is not the assistant's turn")
    read = tuple(replace(turn, weight=0.0) if turn.role == "assistant" else turn for turn in prompt)
    row = {key: value for key, value in row.items() if key != "label"}
    return replace(shapes.with_extras(row, (*read, answer)), rejected=replace(rejected, weight=1.0))


def _answer(value: JSONValue, column: str, prompt: Sequence[Message]) -> Message:
    """Returns the one assistant turn that an answer is; the prompt's turns before it are what is repeated."""
    value = _turn_in_text(shapes.turns_in_text(value))
    if isinstance(value, str) or value is None:
        if not value or not value.strip():
            raise RowError("empty", f"{column} is empty")
        return Message("assistant", value)
    turns = parse_turns(value if isinstance(value, list) else [value], column)
    for repeated in (prompt, [turn for turn in prompt if turn.role != "system"]):
        if len(turns) > len(repeated) and _said(turns[: len(repeated)]) == _said(repeated):
            turns = turns[len(repeated) :]
            break
    if len(turns) != 1 or turns[0].role != "assistant":
        raise RowError("preference", f"{column} is not one turn of the assistant, with or without the prompt before it")
    return turns[0]


def _turn_in_text(value: JSONValue) -> JSONValue:
    """Returns a turn that a cell holds as JSON text, as prepared files do; other text stays text."""
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return value
    try:
        turn = parse(value)
    except RowError:
        return value
    return turn if isinstance(turn, dict) and ("role" in turn or "from" in turn) else value


def _said(turns: Sequence[Message]) -> list[tuple[object, ...]]:
    """What two readings of the same turns have in common, whatever their weights."""
    return [(turn.role, turn.content, turn.tool_calls, turn.tool_call_id) for turn in turns]
