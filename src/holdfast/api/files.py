"""`/v1/files`: files that are given, listed, read and deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from holdfast.api.lists import page, seconds
from holdfast.api.state import Here, Reply
from holdfast.errors import RequestError
from holdfast.jobs.fine_tuning import judge_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.store.uploads import UploadRecord
    from holdfast.types import JSONValue

router = APIRouter(prefix="/v1/files", tags=["Files"])
PURPOSES = ("fine-tune", "evals", "batch", "assistants", "vision", "user_data")
_CHUNK = 1 << 20


def file_object(record: UploadRecord, problems: Sequence[dict[str, JSONValue]] | None = None) -> Reply:
    """Returns a file as the client reads it; `problems` are the lines that are not used, where it was just read."""
    shown: Reply = {
        "id": record.id,
        "object": "file",
        "bytes": record.num_bytes,
        "created_at": seconds(record.created_at),
        "expires_at": seconds(record.expires_at),
        "filename": record.filename,
        "purpose": record.purpose,
        "status": record.status,
        "status_details": record.status_details,
        "sha256": record.sha256,
    }
    if problems:
        shown["problems"] = list(problems)
    return shown


@router.post("")
async def create_file(
    here: Here,
    file: UploadFile,
    purpose: Annotated[str, Form()],
    expires_anchor: Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")] = None,
    expires_seconds: Annotated[int | None, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000)] = None,
) -> Reply:
    """Takes a file in. A training file is read in full: every line that cannot be used is named with its number."""
    del expires_anchor
    if purpose not in PURPOSES:
        raise RequestError(f"purpose: {purpose!r} is not one of {', '.join(PURPOSES)}.", param="purpose")
    expires = None
    if expires_seconds is not None:
        expires = (datetime.now(UTC) + timedelta(seconds=expires_seconds)).isoformat(timespec="microseconds")
    workspace = here.workspace
    with workspace.receiving(here.limits.file_bytes) as given:
        while chunk := await file.read(_CHUNK):
            await run_in_threadpool(given.write, chunk)
        if not given.num_bytes:
            raise RequestError("The file is empty.", param="file")
        name = file.filename or "file"
        record = await run_in_threadpool(
            workspace.keep_upload, given, filename=name, purpose=purpose, expires_at=expires
        )
    try:
        record, problems = await run_in_threadpool(judge_file, workspace, record)
    except Exception:
        await run_in_threadpool(workspace.remove_upload, record.id)
        raise
    return file_object(record, problems)


@router.get("")
def list_files(
    here: Here,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> Reply:
    """Lists files."""
    found = list(reversed(here.workspace.all_uploads(purpose=purpose)))
    return page(found, file_object, after=after, limit=limit, order=order)


@router.get("/{file_id}")
def retrieve_file(here: Here, file_id: str) -> Reply:
    """Returns one file."""
    return file_object(here.workspace.upload(file_id))


@router.get("/{file_id}/content")
def file_content(here: Here, file_id: str) -> FileResponse:
    """Returns a file's bytes."""
    record = here.workspace.upload(file_id)
    kind = "text/csv" if record.purpose == "fine-tune-results" else "application/octet-stream"
    return FileResponse(here.workspace.upload_path(file_id), media_type=kind, filename=record.filename)


@router.delete("/{file_id}")
def delete_file(here: Here, file_id: str) -> Reply:
    """Deletes a file."""
    here.workspace.remove_upload(file_id)
    return {"id": file_id, "object": "file", "deleted": True}
