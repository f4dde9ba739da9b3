"""`/v1/fine_tuning/checkpoints/{name}/permissions`: which projects may ask what another one's job made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from holdfast.api.body import Body
from holdfast.api.lists import listed, page, seconds
from holdfast.api.state import Here, Reply
from holdfast.jobs.fine_tuned import grant, require_fine_tuned
from holdfast.store.key_ring import PROJECT_NAME

if TYPE_CHECKING:
    from holdfast.store.permissions import PermissionRecord

router = APIRouter(prefix="/v1/fine_tuning/checkpoints/{checkpoint:path}/permissions", tags=["Fine-tuning"])


class CreatePermissions(Body):
    """The projects that are let ask."""

    project_ids: Annotated[
        list[Annotated[str, Field(pattern=f"^{PROJECT_NAME}$")]], Field(min_length=1, max_length=100)
    ]


def permission_object(record: PermissionRecord) -> Reply:
    """Returns a grant as the client reads it."""
    return {
        "id": record.id,
        "object": "checkpoint.permission",
        "created_at": seconds(record.created_at),
        "project_id": record.project,
    }


@router.post("")
def create(here: Here, checkpoint: str, body: CreatePermissions) -> Reply:
    """Lets projects ask a fine-tuned model, or one checkpoint of it."""
    found = grant(here.workspace, checkpoint, body.project_ids)
    return listed([permission_object(record) for record in found], has_more=False)


@router.get("")
def list_permissions(
    here: Here,
    checkpoint: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    order: Literal["ascending", "descending"] = "descending",
    project_id: str | None = None,
) -> Reply:
    """Lists who was let ask."""
    require_fine_tuned(here.workspace, checkpoint)
    found = [one for one in here.workspace.permissions(checkpoint) if project_id in (None, one.project)]
    wanted = "asc" if order == "ascending" else "desc"
    return page(found, permission_object, after=after, limit=limit, order=wanted)


@router.delete("/{permission_id}")
def delete(here: Here, checkpoint: str, permission_id: str) -> Reply:
    """Takes a grant back."""
    here.workspace.remove_permission(checkpoint, permission_id)
    return {"id": permission_id, "object": "checkpoint.permission", "deleted": True}
