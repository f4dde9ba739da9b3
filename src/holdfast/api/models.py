"""`/v1/models`: every name under which something answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from holdfast.api.lists import seconds
from holdfast.api.state import Here, Reply
from holdfast.errors import RequestError

if TYPE_CHECKING:
    from holdfast.jobs.served import Named

router = APIRouter(prefix="/v1/models", tags=["Models"])


def model_object(named: Named) -> Reply:
    """Returns a model as the client reads it."""
    return {
        "id": named.name,
        "object": "model",
        "created": seconds(named.created_at),
        "owned_by": "holdfast",
        "kind": named.kind,
        "version": named.version,
    }


@router.get("")
def list_models(here: Here) -> Reply:
    """Lists the base, accepted versions, what jobs made, and aliases."""
    return {"object": "list", "data": [model_object(named) for named in here.served.names()]}


@router.get("/{model:path}")
def retrieve_model(here: Here, model: str) -> Reply:
    """Returns one model."""
    version = here.served.version(model)
    named = next((one for one in here.served.names() if one.name == model), None)
    if named is not None:
        return model_object(named)
    known = next(one for one in here.served.names() if one.version == version.id)
    return {**model_object(known), "id": model}


@router.delete("/{model:path}")
def delete_model(here: Here, model: str) -> Reply:
    """Takes the name of a fine-tuned model away; the version stays, since later ones build on it."""
    here.served.version(model)
    job = here.workspace.job_of_model(model)
    if job is None:
        raise RequestError(f"{model!r} is not the name of a fine-tuned model, so it cannot be deleted.", param="model")
    here.workspace.change_job(job.id, {"fine_tuned_model": None})
    return {"id": model, "object": "model", "deleted": True}
