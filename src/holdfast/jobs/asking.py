"""How a served model is asked a conversation: what may be asked, by which rules it is written, and waiting for it."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from holdfast.data.chat import check_order, parse_tools, parse_turns
from holdfast.data.rejected import RowError
from holdfast.errors import BusyError, HoldfastError, RequestError
from holdfast.types import Example

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from holdfast.jobs.served import Opened
    from holdfast.models.sampling import Sampling
    from holdfast.serving.engine import Ask, Engine, Piece
    from holdfast.types import JSONValue, Message

TICK_SECONDS = 0.1
"""So long a wait for the next piece, or for room, lasts before it is asked whether to stop."""
ITEM_SECONDS = 600.0
"""A completion that takes longer, once an engine has taken it in, ends with what is there."""
_TEXT_PARTS = ("input_text", "output_text")


class AskingStopped(Exception):  # noqa: N818 - a request, not an error: nothing went wrong
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one answer is wanted to, and how it is sampled; None leaves it to the model's own room and to chance."""

    turns: tuple[Message, ...]
    seed: int
    tools: tuple[dict[str, JSONValue], ...] = ()
    most: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    response_format: Mapping[str, JSONValue] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """An answer: its text, the tokens read and written, and why it ended."""

    text: str
    num_prompt: int
    num_written: int
    finish: str
    most: int


def conversation(messages: object, param: str = "messages") -> tuple[Message, ...]:
    """Returns the turns of a conversation that asks for one more.

    Raises:
        RequestError: a turn cannot be read, cannot follow the one before it, or nothing is asked.
    """
    try:
        turns = parse_turns(cast("JSONValue", messages), param)
        check_order(turns)
    except RowError as error:
        raise RequestError(f"{param}: {error.reason}.", param=param) from None
    if turns[-1].role == "assistant":
        raise RequestError(f"{param}: the last turn is the assistant's; nothing is asked.", param=param)
    return turns


def plain_parts(content: object) -> object:
    """Returns a message's content with its typed texts in chat's spelling; what is no text stays, and is refused."""
    if not isinstance(content, list):
        return [plain_part(content)] if isinstance(content, dict) else content
    return [plain_part(part) for part in cast("list[object]", content)]


def plain_part(part: object) -> object:
    """Returns one part of a message's content in chat's spelling."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, dict) and part.get("type") in _TEXT_PARTS:
        return {"type": "text", "text": part.get("text")}
    return part


def tools_of(tools: object) -> tuple[dict[str, JSONValue], ...]:
    """Returns the descriptions of tools; raises RequestError where one cannot be read."""
    try:
        return parse_tools(cast("JSONValue", tools or []))
    except RowError as error:
        raise RequestError(f"tools: {error.reason}.", param="tools") from None


def require_plain(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Message], param: str = "messages") -> None:
    """Raises RequestError where a turn holds one of the model's control tokens, which would be read as a turn's end."""
    from holdfast.models.render import control_token_problem

    problem = control_token_problem(tokenizer, Example("", tuple(turns)))
    if problem is not None:
        raise RequestError(f"{param}: {problem}.", param=param)


def schema_of_format(given: Mapping[str, object] | None, param: str = "response_format") -> dict[str, JSONValue] | None:
    """Returns the JSON schema that a `response_format` asks for; None where any text will do."""
    from holdfast.serving.rules import ANY_OBJECT

    kind = (given or {"type": "text"}).get("type")
    if given is None or kind == "text":
        return None
    if kind == "json_object":
        return dict(ANY_OBJECT)
    told = given.get("json_schema")
    if kind != "json_schema" or not isinstance(told, dict) or not isinstance(told.get("schema"), dict):
        raise RequestError(
            f"{param}: give {{'type': 'text'}}, {{'type': 'json_object'}}, or {{'type': 'json_schema', "
            "'json_schema': {'name': …, 'schema': {…}}}.",
            param=param,
        )
    return cast("dict[str, JSONValue]", cast("dict[str, object]", told)["schema"])


def sampling_of(
    room: int,
    most: int | None,
    *,
    temperature: float | None,
    top_p: float | None,
    seed: int,
    stop: tuple[str, ...] = (),
) -> Sampling:
    """Returns how tokens are drawn, `room` or `most` of them at most; a temperature that is not given is 1."""
    from holdfast.models.sampling import Sampling

    temperature = 1.0 if temperature is None else temperature
    return Sampling(
        max_new_tokens=max(1, min(room, most if most is not None else room)),
        temperature=temperature,
        top_p=1.0 if top_p is None or temperature == 0 else top_p,
        stop=stop,
        seed=seed,
    )


def written(opening: Callable[[], Opened], question: Question, stopped: Callable[[], bool]) -> Written:
    """Returns the answer of the version that `opening` opens, waiting for an engine, for room and for its end.

    Raises:
        AskingStopped: `stopped` said so before the answer was there.
        HoldfastError: the question cannot be asked, or the model could not write.
    """
    from holdfast.models.render import render_prompt
    from holdfast.serving.engine import Ask, Rules
    from holdfast.serving.rules import json_grammar

    opened = patiently(opening, stopped)
    tokenizer = opened.tokenizer
    require_plain(tokenizer, question.turns)
    prompt = tuple(render_prompt(tokenizer, question.turns, question.tools))
    room = opened.engine.context - len(prompt)
    sampling = sampling_of(
        room, question.most, temperature=question.temperature, top_p=question.top_p, seed=question.seed
    )
    schema = schema_of_format(question.response_format)
    if schema is not None:
        json_grammar(tokenizer, schema, param="response_format")  # says now what cannot be followed
    ask = Ask(prompt, sampling, opened.adapter, rules=Rules(schema=schema))
    pieces: queue.SimpleQueue[Piece] = queue.SimpleQueue()
    engine, number = _submitted(opening, opened, ask, pieces.put, stopped)
    text, num_written = "", 0
    while True:
        try:
            piece = pieces.get(timeout=TICK_SECONDS)
        except queue.Empty:
            if stopped():
                engine.cancel(number)
                raise AskingStopped from None
            continue
        text, num_written = text + piece.text, num_written + (piece.id is not None)
        if piece.end == "error":
            raise HoldfastError(f"The model could not write this: {piece.problem}")
        if piece.end == "cancelled" or (piece.end is None and stopped()):
            engine.cancel(number)
            raise AskingStopped
        if piece.end is not None:
            finish = "stop" if piece.end == "stop" else "length"
            return Written(text, len(prompt), num_written, finish, sampling.max_new_tokens)


def patiently(opening: Callable[[], Opened], stopped: Callable[[], bool]) -> Opened:
    """Returns what is opened, once its engine is there again, where it has died; raises AskingStopped as `stopped`."""
    while True:
        if stopped():
            raise AskingStopped
        try:
            return opening()
        except BusyError:
            time.sleep(TICK_SECONDS)


def _submitted(
    opening: Callable[[], Opened], opened: Opened, ask: Ask, sink: Callable[[Piece], None], stopped: Callable[[], bool]
) -> tuple[Engine, int]:
    """Returns the engine that took the question in, and its number there; the time it may take begins then.

    An engine that was closed meanwhile to make room for another takes nothing in any more, so it is opened again.
    """
    while True:
        try:
            now = replace(ask, deadline=time.monotonic() + ITEM_SECONDS)
            return opened.engine, opened.engine.submit(now, sink)
        except BusyError:
            time.sleep(TICK_SECONDS)
            opened = patiently(opening, stopped)
