"""`/v1/chat/completions` that were kept (`store: true`): listed, read, described, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from pydantic import Field

from holdfast.api.body import Body
from holdfast.api.lists import has_wanted_metadata, page
from holdfast.api.state import Here, Reply

if TYPE_CHECKING:
    from holdfast.store.answers import StoredAnswer

router = APIRouter(prefix="/v1/chat/completions", tags=["Chat"])


class Described(Body):
    """Metadata by which an answer is found again."""

    metadata: dict[str, Annotated[str, Field(max_length=512)]] = Field(max_length=16)


def stored_object(stored: StoredAnswer) -> Reply:
    """Returns a stored answer as the client reads it."""
    return {**stored.answer, "metadata": dict(stored.metadata), "version": stored.version}


@router.get("")
def list_stored(
    here: Here,
    request: Request,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
    model: str | None = None,
) -> Reply:
    """Lists stored answers; `metadata[KEY]=VALUE` keeps those that have it."""
    found = [
        one
        for one in here.workspace.stored_answers()
        if model in (None, one.model) and has_wanted_metadata(one.metadata, request.query_params)
    ]
    return page(found, stored_object, after=after, limit=limit, order=order)


@router.get("/{completion_id}")
def retrieve_stored(here: Here, completion_id: str) -> Reply:
    """Returns a stored answer."""
    return stored_object(here.workspace.stored_answer(completion_id))


@router.get("/{completion_id}/messages")
def messages_of_stored(
    here: Here,
    completion_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
) -> Reply:
    """Lists the turns that were asked."""
    stored = here.workspace.stored_answer(completion_id)
    turns: list[Reply] = [
        {"id": f"{stored.id}-{number}", "name": None, **cast("Reply", turn)}
        for number, turn in enumerate(stored.messages)
    ]
    return page(list(reversed(turns)), lambda turn: turn, after=after, limit=limit, order=order)


@router.post("/{completion_id}")
def describe_stored(here: Here, completion_id: str, body: Described) -> Reply:
    """Gives a stored answer other metadata: feedback, for example."""
    return stored_object(here.workspace.describe_answer(completion_id, body.metadata))


@router.delete("/{completion_id}")
def delete_stored(here: Here, completion_id: str) -> Reply:
    """Deletes a stored answer."""
    here.workspace.forget_answer(completion_id)
    return {"id": completion_id, "object": "chat.completion.deleted", "deleted": True}
