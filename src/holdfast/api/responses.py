"""`/v1/responses`: a conversation in items, whole or event by event, and kept so that another goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool

from holdfast.api.chat import class_of, prepared
from holdfast.api.lists import page
from holdfast.api.response_object import Begun, ended, usage_of
from holdfast.api.response_request import LOGPROBS, ResponseRequest, in_own_words
from holdfast.api.response_stream import response_events
from holdfast.api.state import Here, Reply
from holdfast.api.writing import Stream, Writing, read_whole
from holdfast.errors import HoldfastError, RequestError
from holdfast.jobs.response_items import items_before, items_of
from holdfast.jobs.served import Classifying

if TYPE_CHECKING:
    from holdfast.api.state import State
    from holdfast.jobs.response_items import Item
    from holdfast.types import JSONValue

router = APIRouter(prefix="/v1/responses", tags=["Responses"])


@router.post("", response_model=None)
async def create(here: Here, request: Request, body: ResponseRequest) -> Reply | Stream:
    """Answers a conversation."""
    body.as_json()
    given = items_of(body.input)
    before = await run_in_threadpool(items_before, here.workspace, body.previous_response_id)
    chat = body.as_chat([*before, *given])
    turns = chat.turns()
    try:
        found, asks = await run_in_threadpool(prepared, here, chat, turns)
    except HoldfastError as error:
        raise in_own_words(error) from None
    begun = Begun(body, chat, given, found.version)
    if isinstance(found, Classifying):
        text = await class_of(chat, turns, found.predict)
        response = begun.told("completed", [begun.message(text, "completed")], usage=usage_of(0, 0))
        await _keep(here, begun, response)
        return response
    writing = Writing(found, asks)
    writing.start()
    num_prompt = len(asks[0].prompt)
    if body.stream:
        return Stream(response_events(begun, writing, num_prompt, lambda told: _keep(here, begun, told)), writing)
    await read_whole(request, writing)
    response = ended(begun, writing, num_prompt)
    await _keep(here, begun, response)
    return response


async def _keep(here: State, begun: Begun, response: Reply) -> None:
    """Stores a response, unless it was asked not to be."""
    if begun.body.keeps:
        told = cast("dict[str, JSONValue]", response)
        await run_in_threadpool(here.workspace.store_response, told, begun.given)


@router.get("/{response_id}")
def retrieve(
    here: Here,
    response_id: str,
    include: Annotated[list[str] | None, Query(alias="include[]")] = None,
    stream: Literal["true", "false"] = "false",
) -> Reply:
    """Returns a response that was kept."""
    _require_known(include)
    if stream == "true":
        raise RequestError("stream: a response that is there already is read whole. Leave it out.", param="stream")
    return dict(here.workspace.response(response_id).response)


@router.get("/{response_id}/input_items")
def input_items(
    here: Here,
    response_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    include: Annotated[list[str] | None, Query(alias="include[]")] = None,
) -> Reply:
    """Lists the items of a response's own request, the last one first."""
    _require_known(include)
    items = list(reversed(cast("list[Item]", here.workspace.response(response_id).input)))
    return page(items, lambda item: cast("Reply", item), after=after, limit=limit, order=order)


@router.delete("/{response_id}")
def delete(here: Here, response_id: str) -> Reply:
    """Deletes a response; what goes on from it cannot be gone on with."""
    here.workspace.forget_response(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


def _require_known(include: list[str] | None) -> None:
    unknown = next((one for one in include or [] if one != LOGPROBS), None)
    if unknown is not None:
        raise RequestError(f"include: {unknown!r} is not there; {LOGPROBS!r} is.", param="include")
