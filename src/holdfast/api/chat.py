"""`/v1/chat/completions`: a conversation in, the next turn out, whole or piece by piece."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from holdfast.api.chat_request import ChatRequest, as_text, require_plain
from holdfast.api.state import Here, Reply
from holdfast.errors import HoldfastError, RequestError
from holdfast.graders.calls import calls_in
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.api.state import State
    from holdfast.jobs.classify import Predict
    from holdfast.jobs.served import Opened
    from holdfast.serving.engine import Ask, Piece, Sink
    from holdfast.types import Version

router = APIRouter(prefix="/v1/chat/completions", tags=["Chat"])


@dataclass(slots=True)
class Choice:
    """One of the answers, as far as it is written."""

    index: int
    text: str = ""
    pieces: list[Piece] = field(default_factory=list["Piece"])
    end: str | None = None

    def take(self, piece: Piece) -> None:
        """Adds what came."""
        self.text += piece.text
        if piece.id is not None:
            self.pieces.append(piece)
        self.end = piece.end


class Writing:
    """The answers of one request while they are written: submits them, hands their pieces on, cancels what is left."""

    def __init__(self, opened: Opened, asks: list[Ask]) -> None:
        self.opened = opened
        self.choices = [Choice(index) for index in range(len(asks))]
        self._asks = asks
        self._numbers: list[int] = []
        self._queue: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()

    def start(self) -> None:
        """Hands every ask to the engine; if one is refused, those before it are cancelled."""
        loop = asyncio.get_running_loop()

        def sink_of(index: int) -> Sink:
            return lambda piece: _put(loop, self._queue, (index, piece))

        try:
            for index, ask in enumerate(self._asks):
                self._numbers.append(self.opened.engine.submit(ask, sink_of(index)))
        except HoldfastError:
            self.cancel()
            raise

    def cancel(self) -> None:
        """Ends whatever is still being written."""
        for number in self._numbers:
            self.opened.engine.cancel(number)

    async def pieces(self) -> AsyncIterator[tuple[Choice, Piece]]:
        """Yields pieces as they come, until every answer has ended."""
        left = len(self.choices)
        try:
            while left:
                index, piece = await self._queue.get()
                choice = self.choices[index]
                choice.take(piece)
                if piece.end == "error":
                    raise HoldfastError(f"The model could not write this: {piece.problem}")
                left -= piece.end is not None
                yield choice, piece
        finally:
            if left:
                self.cancel()


def _put(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[tuple[int, Piece]], item: tuple[int, Piece]) -> None:
    """Hands a piece to the loop from the engine's thread; a loop that has ended wants none."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(queue.put_nowait, item)


@router.post("", response_model=None)
async def create(here: Here, request: Request, body: ChatRequest) -> Reply | StreamingResponse:
    """Answers a conversation."""
    if body.n is not None and body.n > here.limits.max_choices:
        raise RequestError(f"n: at most {here.limits.max_choices} answers are written.", param="n")
    turns = body.turns()
    version = await run_in_threadpool(here.served.version, body.model)
    predict = await run_in_threadpool(here.served.classifier, version)
    if predict is not None:
        return await _classified(body, version, turns, predict)
    opened = await run_in_threadpool(here.served.open, version)
    asks = await run_in_threadpool(_asks, here, opened, body, turns)
    writing = Writing(opened, asks)
    writing.start()
    if body.stream:
        return StreamingResponse(_streamed(writing, body, len(asks[0].prompt)), media_type="text/event-stream")
    return await _whole(request, writing, body, len(asks[0].prompt))


def _asks(here: State, opened: Opened, body: ChatRequest, turns: tuple[Message, ...]) -> list[Ask]:
    """Returns what the engine is asked: one completion for each choice."""
    from holdfast.models.render import render_prompt
    from holdfast.serving.engine import Ask
    from holdfast.serving.rules import Grammar

    tokenizer = opened.tokenizer
    require_plain(tokenizer, turns)
    prompt = tuple(render_prompt(tokenizer, turns, body.described_tools()))
    grammar = body.grammar(tokenizer)
    sampling = body.sampling(opened.engine.context - len(prompt), body.most)
    deadline = time.monotonic() + here.limits.seconds
    asks: list[Ask] = []
    for sample in range(body.n or 1):
        rules = body.rules(len(tokenizer))
        if grammar is not None:
            rules.append(Grammar(tokenizer, grammar))
        top = body.top_logprobs or 0 if body.logprobs else 0
        asks.append(Ask(prompt, sampling, opened.adapter, sample, tuple(rules), top, deadline))
    return asks


async def _whole(request: Request, writing: Writing, body: ChatRequest, num_prompt: int) -> Reply:
    """Waits for every answer, unless the client goes away."""
    listening = asyncio.ensure_future(_gone(request))
    reading = asyncio.ensure_future(_read(writing))
    try:
        await asyncio.wait({listening, reading}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            writing.cancel()
        await reading
    finally:
        listening.cancel()
        reading.cancel()
    choices = [_choice(writing, choice, body) for choice in writing.choices]
    written = sum(len(choice.pieces) for choice in writing.choices)
    return _completion(body, writing.opened.version, choices, num_prompt, written)


async def _read(writing: Writing) -> None:
    async for _ in writing.pieces():
        pass


async def _gone(request: Request) -> None:
    """Returns when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _completion(body: ChatRequest, version: Version, choices: list[Reply], num_prompt: int, written: int) -> Reply:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.model,
        "system_fingerprint": version.id,
        "choices": choices,
        "usage": _usage(num_prompt, written),
    }


def _usage(num_prompt: int, written: int) -> Reply:
    return {"prompt_tokens": num_prompt, "completion_tokens": written, "total_tokens": num_prompt + written}


def _choice(writing: Writing, choice: Choice, body: ChatRequest) -> Reply:
    calls = _calls(choice, body)
    message: Reply = {"role": "assistant", "content": None if calls else choice.text, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    return {
        "index": choice.index,
        "message": message,
        "logprobs": _logprobs(writing, choice.pieces) if body.logprobs else None,
        "finish_reason": "tool_calls" if calls else _finish(choice),
    }


def _finish(choice: Choice) -> str:
    return "stop" if choice.end == "stop" else "length"


def _calls(choice: Choice, body: ChatRequest) -> list[Reply]:
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


def _logprobs(writing: Writing, pieces: list[Piece]) -> Reply:
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


async def _streamed(writing: Writing, body: ChatRequest, num_prompt: int) -> AsyncIterator[str]:
    """Yields chunks; with tools a turn is held back to its end, since only then it is known to be a call."""
    name, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    holds = bool(body.described_tools())

    def chunk(choices: list[Reply], usage: Reply | None = None) -> str:
        told: Reply = {
            "id": name,
            "object": "chat.completion.chunk",
            "created": created,
            "model": body.model,
            "system_fingerprint": writing.opened.version.id,
            "choices": choices,
        }
        if body.shows_usage:
            told["usage"] = usage
        return f"data: {as_text(told)}\n\n"

    for choice in writing.choices:
        yield chunk([_delta(choice.index, {"role": "assistant", "content": "", "refusal": None})])
    try:
        async for choice, piece in writing.pieces():
            logprobs = _logprobs(writing, [piece]) if body.logprobs and piece.id is not None else None
            if not holds and (piece.text or logprobs):
                yield chunk([_delta(choice.index, {"content": piece.text}, logprobs=logprobs)])
            if piece.end is not None:
                for part in _ending(choice, body, holds=holds):
                    yield chunk([part])
    except HoldfastError as error:
        yield f"data: {as_text({'error': {'message': error.message, 'type': 'server_error', 'code': error.code}})}\n\n"
        return
    if body.shows_usage:
        yield chunk([], _usage(num_prompt, sum(len(choice.pieces) for choice in writing.choices)))
    yield "data: [DONE]\n\n"


def _ending(choice: Choice, body: ChatRequest, *, holds: bool) -> list[Reply]:
    """Returns the last parts of an answer: what was held back, and why it ended."""
    calls = _calls(choice, body) if holds else []
    parts: list[Reply] = []
    if calls:
        told = [{"index": index, **call} for index, call in enumerate(calls)]
        parts.append(_delta(choice.index, {"tool_calls": told}))
    elif holds and choice.text:
        parts.append(_delta(choice.index, {"content": choice.text}))
    return [*parts, _delta(choice.index, {}, finish="tool_calls" if calls else _finish(choice))]


def _delta(index: int, delta: Reply, *, finish: str | None = None, logprobs: Reply | None = None) -> Reply:
    return {"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}


async def _classified(body: ChatRequest, version: Version, turns: tuple[Message, ...], predict: Predict) -> Reply:
    """Returns the class of the last turn's text as an answer."""
    if body.stream:
        raise RequestError("stream: a classifier answers with one word; ask it without.", param="stream")
    item = Example("", (Message("user", turns[-1].content),))
    label = (await run_in_threadpool(predict, [item], None))[0]
    message: Reply = {"role": "assistant", "content": label, "refusal": None}
    choices: list[Reply] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    return _completion(body, version, choices, 0, 0)
