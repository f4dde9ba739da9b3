"""The events of a response while it is written, in their order, each with its number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, cast

from holdfast.api.chat import logprobs_of
from holdfast.api.chat_request import as_text
from holdfast.api.response_object import ended
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from holdfast.api.response_object import Begun
    from holdfast.api.state import Reply
    from holdfast.api.writing import Writing


class _Events:
    """Numbers events and writes them down."""

    def __init__(self) -> None:
        self._numbers = count()

    def event(self, kind: str, **fields: object) -> str:
        told = {"type": f"response.{kind}", "sequence_number": next(self._numbers), **fields}
        return f"event: response.{kind}\ndata: {as_text(told)}\n\n"


async def response_events(
    begun: Begun, writing: Writing, num_prompt: int, keep: Callable[[Reply], Awaitable[None]]
) -> AsyncIterator[str]:
    """Yields the events of a response; with tools a turn is held back to its end, when it is known to be a call.

    `keep` is given the whole response before its end is told, so that whoever reads that can go on from it.
    """
    events = _Events()
    yield events.event("created", response=begun.told("in_progress"))
    yield events.event("in_progress", response=begun.told("in_progress"))
    holds = bool(begun.chat.described_tools())
    try:
        if not holds:
            for told in _opening(events, begun):
                yield told
        async for _, piece in writing.pieces():
            logprobs = logprobs_of(writing, [piece])["content"] if begun.chat.logprobs and piece.id is not None else []
            if not holds and (piece.text or logprobs):
                yield _delta(events, begun, piece.text, logprobs)
        response = ended(begun, writing, num_prompt)
        await keep(response)
    except HoldfastError as error:
        yield events.event("failed", response=begun.told("failed", error=error))
        return
    for told in _end(events, begun, response, holds=holds):
        yield told


def _end(events: _Events, begun: Begun, response: Reply, *, holds: bool) -> Iterator[str]:
    """Yields what ends a response: its items, as far as they were not told yet, and the whole."""
    output = cast("list[Reply]", response["output"])
    if output[0]["type"] == "message":
        if holds:
            yield from _opening(events, begun)
            yield from _held(events, begun, output[0])
        yield from _closing(events, begun, output[0])
    else:
        for place, item in enumerate(output):
            yield from _called(events, item, place)
    yield events.event(str(response["status"]), response=response)


def _opening(events: _Events, begun: Begun) -> Iterator[str]:
    yield events.event("output_item.added", output_index=0, item=begun.message(None, "in_progress"))
    place = {"item_id": begun.message_id, "output_index": 0, "content_index": 0}
    yield events.event("content_part.added", **place, part=begun.part(""))


def _delta(events: _Events, begun: Begun, text: str, logprobs: object) -> str:
    place = {"item_id": begun.message_id, "output_index": 0, "content_index": 0}
    return events.event("output_text.delta", **place, delta=text, logprobs=logprobs)


def _held(events: _Events, begun: Begun, item: Reply) -> Iterator[str]:
    """Yields the text that was held back, if there is any."""
    part = cast("list[Reply]", item["content"])[0]
    if part["text"]:
        yield _delta(events, begun, str(part["text"]), part["logprobs"])


def _closing(events: _Events, begun: Begun, item: Reply) -> Iterator[str]:
    part = cast("list[Reply]", item["content"])[0]
    place = {"item_id": begun.message_id, "output_index": 0, "content_index": 0}
    yield events.event("output_text.done", **place, text=part["text"], logprobs=part["logprobs"])
    yield events.event("content_part.done", **place, part=part)
    yield events.event("output_item.done", output_index=0, item=item)


def _called(events: _Events, item: Reply, place: int) -> Iterator[str]:
    begun = {**item, "status": "in_progress", "arguments": ""}
    where = {"item_id": item["id"], "output_index": place}
    yield events.event("output_item.added", output_index=place, item=begun)
    yield events.event("function_call_arguments.delta", **where, delta=item["arguments"])
    yield events.event("function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"])
    yield events.event("output_item.done", output_index=place, item=item)
