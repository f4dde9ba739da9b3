"""`/v1/evals`: evaluations, each with the criteria by which answers are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query

from holdfast.api.eval_request import CreateEval, UpdateEval
from holdfast.api.lists import page, seconds
from holdfast.api.state import Here, Reply
from holdfast.jobs.eval_orders import create_eval

if TYPE_CHECKING:
    from holdfast.store.evals import EvalRecord

router = APIRouter(prefix="/v1/evals", tags=["Evals"])


def eval_object(record: EvalRecord) -> Reply:
    """Returns an evaluation as the client reads it."""
    return {
        "id": record.id,
        "object": "eval",
        "name": record.name,
        "created_at": seconds(record.created_at),
        "updated_at": seconds(record.updated_at),
        "data_source_config": dict(record.config),
        "testing_criteria": list(record.criteria),
        "metadata": dict(record.metadata),
    }


@router.post("")
def create(here: Here, body: CreateEval) -> Reply:
    """Makes an evaluation; its criteria are tried before it is kept."""
    return eval_object(create_eval(here.workspace, here.served, body.as_json()))


@router.get("")
def list_evals(
    here: Here,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
    order_by: Literal["created_at", "updated_at"] = "created_at",
) -> Reply:
    """Lists evaluations."""
    found = here.workspace.evals(by_change=order_by == "updated_at")
    return page(found, eval_object, after=after, limit=limit, order=order)


@router.get("/{eval_id}")
def retrieve(here: Here, eval_id: str) -> Reply:
    """Returns one evaluation."""
    return eval_object(here.workspace.eval(eval_id))


@router.post("/{eval_id}")
def update(here: Here, eval_id: str, body: UpdateEval) -> Reply:
    """Gives an evaluation another name or other metadata."""
    return eval_object(here.workspace.change_eval(eval_id, name=body.name, metadata=body.metadata))


@router.delete("/{eval_id}")
def delete(here: Here, eval_id: str) -> Reply:
    """Deletes an evaluation with all its runs."""
    here.workspace.remove_eval(eval_id)
    return {"object": "eval.deleted", "deleted": True, "eval_id": eval_id}
