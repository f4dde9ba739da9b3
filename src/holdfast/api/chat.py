"""`/v1/chat/completions`: a conversation in, the next turn out, whole or piece by piece."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from holdfast.api.chat_request import ChatRequest, as_text
from holdfast.api.state import Here, Reply
from holdfast.api.writing import DONE, Stream, Writing, failure, finish_of, read_whole, usage_of
from holdfast.errors import HoldfastError, RequestError
from holdfast.graders.calls import calls_in
from holdfast.jobs.asking import require_plain
from holdfast.jobs.served import Classifying
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.api.state import State
    from holdfast.api.writing import Choice
    from holdfast.jobs.classify import Predict
    from holdfast.jobs.served import Opened
    from holdfast.serving.engine import Ask, Piece
    from holdfast.types import JSONValue, Version

router = APIRouter(prefix="/v1/chat/completions", tags=["Chat"])


@router.post("", response_model=None)
async def create(here: Here, request: Request, body: ChatRequest) -> Reply | Stream:
    """Answers a conversation."""
    if body.n is not None and body.n > here.limits.max_choices:
        raise RequestError(f"n: at most {here.limits.max_choices} answers are written.", param="n")
    turns = body.turns()
    found, asks = await run_in_threadpool(prepared, here, body, turns)
    if isinstance(found, Classifying):
        return await _classified(body, found, turns)
    writing = Writing(found, asks)
    writing.start()
    if body.stream:
        return Stream(_streamed(here, writing, body, len(asks[0].prompt)), writing)
    answer = await _whole(request, writing, body, len(asks[0].prompt))
    if body.store:
        await run_in_threadpool(_keep, here, found.version, body, answer)
    return answer


def prepared(here: State, body: ChatRequest, turns: tuple[Message, ...]) -> tuple[Opened | Classifying, list[Ask]]:
    """Returns what answers, and what it is asked if it is an engine."""
    found = here.served.answering(body.model)
    return found, [] if isinstance(found, Classifying) else _asks(here, found, body, turns)


def _keep(here: State, version: Version, body: ChatRequest, answer: Reply) -> None:
    """Stores an answer for those who asked to be able to come back to it."""
    here.workspace.store_answer(
        cast("dict[str, JSONValue]", answer),
        version=version.id,
        messages=cast("list[dict[str, JSONValue]]", body.messages),
        metadata=cast("dict[str, JSONValue]", body.metadata or {}),
    )


def _asks(here: State, opened: Opened, body: ChatRequest, turns: tuple[Message, ...]) -> list[Ask]:
    """Returns what the engine is asked: one completion for each choice."""
    from holdfast.models.render import render_prompt
    from holdfast.serving.engine import Ask

    tokenizer = opened.tokenizer
    require_plain(tokenizer, turns)
    prompt = tuple(render_prompt(tokenizer, turns, body.described_tools()))
    rules = body.rules(tokenizer)
    sampling = body.sampling(opened.engine.context - len(prompt), body.most)
    deadline = time.monotonic() + here.limits.seconds
    top = (body.top_logprobs or 0) if body.logprobs else None
    return [Ask(prompt, sampling, opened.adapter, sample, rules, top, deadline) for sample in range(body.n or 1)]


async def _whole(request: Request, writing: Writing, body: ChatRequest, num_prompt: int) -> Reply:
    await read_whole(request, writing)
    return _answer(writing, body, num_prompt)


def _answer(writing: Writing, body: ChatRequest, num_prompt: int) -> Reply:
    """Returns the whole answer, once it is written."""
    choices = [_choice(writing, choice, body) for choice in writing.choices]
    written = sum(len(choice.pieces) for choice in writing.choices)
    return _completion(body, writing.opened.version, choices, num_prompt, written)


def _completion(body: ChatRequest, version: Version, choices: list[Reply], num_prompt: int, written: int) -> Reply:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.model,
        "system_fingerprint": version.id,
        "choices": choices,
        "usage": usage_of(num_prompt, written),
    }


def _choice(writing: Writing, choice: Choice, body: ChatRequest) -> Reply:
    calls = calls_made(choice, body)
    message: Reply = {"role": "assistant", "content": None if calls else choice.text, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return {
        "index": choice.index,
        "message": message,
        "logprobs": logprobs_of(writing, choice.pieces) if body.logprobs else None,
        "finish_reason": "tool_calls" if calls else finish_of(choice),
    }


def calls_made(choice: Choice, body: ChatRequest) -> list[Reply]:
    """Returns the calls of tools that the answer makes."""
    names = {_name(tool) for tool in body.described_tools()}
    found = [call for call in calls_in(choice.text) if call.name in names] if names else []
    if body.parallel_tool_calls is False:
        found = found[:1]
    return [
        {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": call.name, "arguments": as_text(call.arguments)},
        }
        for call in found
    ]


def _name(tool: object) -> str:
    described = cast("dict[str, object]", tool)
    return str(cast("dict[str, object]", described.get("function", described)).get("name"))


def logprobs_of(writing: Writing, pieces: list[Piece]) -> Reply:
    """Returns the tokens of pieces with their log-probabilities, as `logprobs` of a choice."""
    tokenizer = writing.opened.tokenizer

    def shown(token: int, logprob: float) -> Reply:
        text = cast("str", tokenizer.decode([token]))
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    return {
        "content": [
            {**shown(cast("int", one.id), one.logprob), "top_logprobs": [shown(*each) for each in one.top]}
            for one in pieces
        ],
        "refusal": None,
    }


async def _streamed(here: State, writing: Writing, body: ChatRequest, num_prompt: int) -> AsyncIterator[str]:
    """Yields the events of a stream."""
    name, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    told: Reply = {
        "id": name,
        "object": "chat.completion.chunk",
        "created": created,
        "model": body.model,
        "system_fingerprint": writing.opened.version.id,
    }
    before = as_text(told)[:-1]  # the same in every chunk, so it is written once

    def chunk(choices: list[Reply], usage: Reply | None = None) -> str:
        shown = f',"usage":{as_text(usage)}' if body.shows_usage else ""
        return f'data: {before},"choices":{as_text(choices)}{shown}}}\n\n'

    try:
        async for part in _parts(writing, body):
            yield chunk([part])
    except HoldfastError as error:
        yield failure(error)
        return
    if body.shows_usage:
        yield chunk([], usage_of(num_prompt, sum(len(choice.pieces) for choice in writing.choices)))
    if body.store:
        version = writing.opened.version
        answer = {**_answer(writing, body, num_prompt), "id": name, "created": created}
        await run_in_threadpool(_keep, here, version, body, answer)
    yield DONE


async def _parts(writing: Writing, body: ChatRequest) -> AsyncIterator[Reply]:
    """Yields what is new in each answer; with tools a turn is held back to its end, when it is known to be a call."""
    holds = bool(body.described_tools())
    for choice in writing.choices:
        yield _delta(choice.index, {"role": "assistant", "content": "", "refusal": None})
    async for choice, piece in writing.pieces(joined=not body.logprobs):
        logprobs = logprobs_of(writing, [piece]) if body.logprobs and piece.id is not None else None
        if not holds and (piece.text or logprobs):
            yield _delta(choice.index, {"content": piece.text}, logprobs=logprobs)
        if piece.end is not None:
            for part in _ending(choice, body, holds=holds):
                yield part


def _ending(choice: Choice, body: ChatRequest, *, holds: bool) -> list[Reply]:
    """Returns the last parts of an answer: what was held back, and why it ended."""
    calls = calls_made(choice, body) if holds else []
    parts: list[Reply] = []
    if calls:
        told = [{"index": index, **call} for index, call in enumerate(calls)]
        parts.append(_delta(choice.index, {"tool_calls": told}))
    elif holds and choice.text:
        parts.append(_delta(choice.index, {"content": choice.text}))
    return [*parts, _delta(choice.index, {}, finish="tool_calls" if calls else finish_of(choice))]


def _delta(index: int, delta: Reply, *, finish: str | None = None, logprobs: Reply | None = None) -> Reply:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


async def _classified(body: ChatRequest, found: Classifying, turns: tuple[Message, ...]) -> Reply:
    """Returns the class of the last turn's text as an answer."""
    label = await class_of(body, turns, found.predict)
    message: Reply = {"role": "assistant", "content": label, "refusal": None}
    choices: list[Reply] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    return _completion(body, found.version, choices, 0, 0)


async def class_of(body: ChatRequest, turns: tuple[Message, ...], predict: Predict) -> str:
    """Returns the class of the last turn's text."""
    if body.stream:
        raise RequestError("stream: a classifier answers with one word; ask it without.", param="stream")
    item = Example("", (Message("user", turns[-1].content),))
    return (await run_in_threadpool(predict, [item], None))[0]
