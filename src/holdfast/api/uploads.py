"""`/v1/uploads`: a large file in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, UploadFile
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from holdfast.api.body import Body
from holdfast.api.files import PURPOSES, file_object
from holdfast.api.lists import seconds
from holdfast.api.state import Here, Reply
from holdfast.errors import RequestError
from holdfast.jobs.fine_tuning import judge_file

if TYPE_CHECKING:
    from holdfast.store.pending import PendingRecord

router = APIRouter(prefix="/v1/uploads", tags=["Uploads"])
PART_BYTES = 64 << 20
_CHUNK = 1 << 20


class BeginUpload(Body):
    """What is going to be given."""

    filename: str
    purpose: str
    bytes: Annotated[int, Field(ge=1, le=2**62)]
    mime_type: str
    expires_after: dict[str, object] | None = None


class CompleteUpload(Body):
    """In which order the parts are joined."""

    part_ids: Annotated[list[str], Field(min_length=1)]
    md5: str | None = None


def upload_object(record: PendingRecord, file: Reply | None = None) -> Reply:
    """Returns an upload as the client reads it."""
    return {
        "id": record.id,
        "object": "upload",
        "bytes": record.num_bytes,
        "created_at": seconds(record.created_at),
        "expires_at": seconds(record.expires_at),
        "filename": record.filename,
        "purpose": record.purpose,
        "status": record.status,
        "file": file,
    }


@router.post("")
def begin(here: Here, body: BeginUpload) -> Reply:
    """Announces a file."""
    if body.purpose not in PURPOSES:
        raise RequestError(f"purpose: {body.purpose!r} is not one of {', '.join(PURPOSES)}.", param="purpose")
    if body.bytes > here.limits.file_bytes:
        raise RequestError(f"bytes: at most {here.limits.file_bytes:,} are taken.", param="bytes")
    record = here.workspace.begin_upload(
        filename=body.filename, purpose=body.purpose, mime_type=body.mime_type, num_bytes=body.bytes
    )
    return upload_object(record)


@router.post("/{upload_id}/parts")
async def add_part(here: Here, upload_id: str, data: UploadFile) -> Reply:
    """Takes a part in."""
    with here.workspace.receiving(PART_BYTES) as given:
        while chunk := await data.read(_CHUNK):
            await run_in_threadpool(given.write, chunk)
        part = await run_in_threadpool(here.workspace.add_part, upload_id, given)
    now = seconds(here.workspace.now())
    return {"id": part, "object": "upload.part", "created_at": now, "upload_id": upload_id}


@router.post("/{upload_id}/complete")
def complete(here: Here, upload_id: str, body: CompleteUpload) -> Reply:
    """Joins the parts into a file, which is judged as one that was given whole."""
    record, file = here.workspace.complete_upload(upload_id, body.part_ids, body.md5)
    return upload_object(record, file_object(*judge_file(here.workspace, file)))


@router.post("/{upload_id}/cancel")
def cancel(here: Here, upload_id: str) -> Reply:
    """Gives an upload up."""
    return upload_object(here.workspace.cancel_upload(upload_id))
