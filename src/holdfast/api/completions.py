"""`/v1/completions`: a text in, what may follow it out."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from holdfast.api.chat_request import Sampled
from holdfast.api.state import Here, Reply
from holdfast.api.writing import DONE, Stream, Writing, event, failure, finish_of, read_whole, usage_of
from holdfast.errors import HoldfastError, RequestError
from holdfast.jobs.served import Classifying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.api.state import State
    from holdfast.api.writing import Choice
    from holdfast.jobs.served import Opened
    from holdfast.serving.engine import Ask, Piece

router = APIRouter(prefix="/v1/completions", tags=["Completions"])


class CompletionRequest(Sampled):
    """A completion as it is asked for. A prompt is a text, several, or the ids of tokens."""

    prompt: str | list[str] | list[int] | list[list[int]]
    max_tokens: Annotated[int, Field(ge=1)] | None = 16
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    echo: bool | None = None

    def prompts(self) -> list[str | list[int]]:
        """Returns every prompt."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if given and isinstance(given[0], int):
            return [cast("list[int]", given)]
        return list(cast("list[str | list[int]]", given))


@router.post("", response_model=None)
async def create(here: Here, request: Request, body: CompletionRequest) -> Reply | Stream:
    """Continues each prompt."""
    opened, asks = await run_in_threadpool(_prepared, here, body)
    writing = Writing(opened, asks)
    writing.start()
    num_prompt = sum(len(ask.prompt) for ask in asks[:: body.n or 1])
    if body.stream:
        return Stream(_streamed(writing, body, num_prompt), writing)
    await read_whole(request, writing)
    choices = [_choice(writing, choice, asks[choice.index], body) for choice in writing.choices]
    written = sum(len(choice.pieces) for choice in writing.choices)
    return {**_head(body), "choices": choices, "usage": usage_of(num_prompt, written)}


def _prepared(here: State, body: CompletionRequest) -> tuple[Opened, list[Ask]]:
    """Returns the engine that answers, and what it is asked."""
    found = here.served.answering(body.model)
    if isinstance(found, Classifying):
        raise RequestError("model: a classifier continues no text; ask it by chat completions.", param="model")
    return found, _asks(here, found, body)


def _head(body: CompletionRequest) -> Reply:
    name = f"cmpl-{secrets.token_hex(12)}"
    return {"id": name, "object": "text_completion", "created": int(time.time()), "model": body.model}


def _asks(here: State, opened: Opened, body: CompletionRequest) -> list[Ask]:
    from holdfast.serving.engine import Ask

    prompts, num = body.prompts(), body.n or 1
    if not prompts or len(prompts) * num > here.limits.max_choices:
        raise RequestError(f"prompt: 1 to {here.limits.max_choices} completions are written at once.", param="prompt")
    deadline = time.monotonic() + here.limits.seconds
    rules = body.rules(opened.tokenizer)
    asks: list[Ask] = []
    for prompt in prompts:
        ids = _ids(opened, prompt)
        sampling = body.sampling(opened.engine.context - len(ids), body.max_tokens)
        top = body.logprobs
        for sample in range(num):
            asks.append(Ask(ids, sampling, opened.adapter, sample, rules, top, deadline))
    return asks


def _ids(opened: Opened, prompt: str | list[int]) -> tuple[int, ...]:
    """Returns a prompt's tokens; text stands for itself, so control tokens written in it are not read as such."""
    if isinstance(prompt, str):
        ids = opened.tokenizer.encode(prompt, add_special_tokens=False, split_special_tokens=True)
        begin = opened.tokenizer.bos_token_id
        ids = [*([cast("int", begin)] if begin is not None else []), *ids]
    else:
        ids = prompt
    if not ids:
        raise RequestError("prompt: it is empty, and this model has no token to begin with.", param="prompt")
    if any(not 0 <= token < len(opened.tokenizer) for token in ids):
        raise RequestError("prompt: an id is not one of the model's tokens.", param="prompt")
    return tuple(ids)


def _choice(writing: Writing, choice: Choice, ask: Ask, body: CompletionRequest) -> Reply:
    before = _shown(writing, ask.prompt) if body.echo else ""
    return {
        "index": choice.index,
        "text": before + choice.text,
        "logprobs": _logprobs(writing, choice.pieces) if body.logprobs is not None else None,
        "finish_reason": finish_of(choice),
    }


def _shown(writing: Writing, ids: tuple[int, ...]) -> str:
    return cast("str", writing.opened.tokenizer.decode(list(ids), skip_special_tokens=True))


def _logprobs(writing: Writing, pieces: list[Piece]) -> Reply:
    tokenizer = writing.opened.tokenizer

    def text(token: int) -> str:
        return cast("str", tokenizer.decode([token]))

    texts = [text(cast("int", piece.id)) for piece in pieces]
    places = [sum(map(len, texts[:number])) for number in range(len(texts))]
    return {
        "tokens": texts,
        "token_logprobs": [piece.logprob for piece in pieces],
        "top_logprobs": [{text(token): logprob for token, logprob in piece.top} for piece in pieces],
        "text_offset": places,
    }


async def _streamed(writing: Writing, body: CompletionRequest, num_prompt: int) -> AsyncIterator[str]:
    head = _head(body)

    def chunk(choices: list[Reply], usage: Reply | None = None) -> str:
        told = {**head, "choices": choices, **({"usage": usage} if body.shows_usage else {})}
        return event(told)

    try:
        async for choice, piece in writing.pieces(joined=body.logprobs is None):
            has_logprobs = body.logprobs is not None and piece.id is not None
            part: Reply = {"index": choice.index, "text": piece.text, "finish_reason": None}
            part["logprobs"] = _logprobs(writing, [piece]) if has_logprobs else None
            if piece.end is not None:
                part["finish_reason"] = finish_of(choice)
            if piece.text or has_logprobs or piece.end is not None:
                yield chunk([part])
    except HoldfastError as error:
        yield failure(error)
        return
    if body.shows_usage:
        yield chunk([], usage_of(num_prompt, sum(len(choice.pieces) for choice in writing.choices)))
    yield DONE
