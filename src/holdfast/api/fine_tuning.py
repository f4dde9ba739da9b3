"""`/v1/fine_tuning`: orders to learn, their events and checkpoints."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field

from holdfast.api.body import Body
from holdfast.api.lists import has_wanted_metadata, listed, page, seconds
from holdfast.api.state import Here, Reply
from holdfast.errors import RequestError
from holdfast.jobs.fine_tuned import checkpoint_name
from holdfast.jobs.fine_tuning import FINAL, create_job, estimated_finish, resume_job, stop_job
from holdfast.jobs.workspace import current_version

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.api.state import State
    from holdfast.store.job_queue import JobCheckpoint, JobEventRecord, JobRecord
    from holdfast.store.workspace import Workspace

router = APIRouter(prefix="/v1/fine_tuning", tags=["Fine-tuning"])
_NO_ERROR: Reply = {"code": None, "message": None, "param": None}


class CreateJob(Body):
    """What a fine-tuning job is made of. `skill`, `recipe` and `priority` are Holdfast's own."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: Annotated[str, Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    metadata: dict[str, Annotated[str, Field(max_length=512)]] | None = Field(default=None, max_length=16)
    integrations: list[dict[str, object]] | None = None
    hyperparameters: dict[str, object] | None = None
    method: dict[str, object] | None = None
    skill: Annotated[str, Field(max_length=80)] | None = None
    recipe: dict[str, object] | None = None
    priority: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = None


def job_object(workspace: Workspace, job: JobRecord) -> Reply:
    """Returns a job as the client reads it, with what the gate decided."""
    request = job.request
    method = cast("Reply", request.get("method")) or {"type": "supervised", "supervised": {"hyperparameters": {}}}
    told = cast("Reply", method.get(str(method.get("type"))) or {})
    given = cast("Reply", told.get("hyperparameters") or request.get("hyperparameters") or {})
    shared = {name: given.get(name, "auto") for name in ("n_epochs", "batch_size", "learning_rate_multiplier")}
    result = job.result
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": seconds(job.created_at),
        "started_at": seconds(job.started_at),
        "finished_at": seconds(job.finished_at),
        "estimated_finish": seconds(estimated_finish(workspace, job)),
        "model": request.get("model"),
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": "holdfast",
        "status": job.status,
        "trained_tokens": job.trained_tokens,
        "training_file": request.get("training_file"),
        "validation_file": request.get("validation_file"),
        "result_files": result.get("result_files", []),
        "hyperparameters": shared,
        "method": method,
        "seed": request.get("seed") or 0,
        "error": job.error or _NO_ERROR,
        "integrations": request.get("integrations") or [],
        "metadata": job.metadata or None,
        "suffix": request.get("suffix"),
        "skill": job.skill,
        "version": job.version,
        "priority": job.priority,
        "verdict": result.get("verdict"),
        "matrix": result.get("matrix"),
        "words": result.get("words", []),
        "data": result.get("data"),
        "attempts": result.get("attempts", []),
    }


def event_object(event: JobEventRecord) -> Reply:
    """Returns an event as the client reads it."""
    return {
        "id": f"ftevent-{event.id:012d}",
        "object": "fine_tuning.job.event",
        "created_at": seconds(event.at),
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": event.data,
    }


@router.post("/jobs")
def create(here: Here, body: CreateJob) -> Reply:
    """Orders a skill to be learned on top of the current version."""
    workspace = here.workspace
    version = here.served.version(body.model)
    current = current_version(workspace)
    if version.id not in (current.id, workspace.versions()[0].id):
        raise RequestError(
            f"model: a job learns on top of the current version {current.id}, not of {version.id}. Name the base, "
            "`current`, or roll back first.",
            param="model",
        )
    found = create_job(workspace, body.as_json(), here.recipe, grader_servers=here.served.grader_servers)
    return job_object(workspace, found)


@router.get("/jobs")
def list_jobs(
    here: Here, request: Request, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Reply:
    """Lists jobs, newest first; `metadata[KEY]=VALUE` keeps those that have it."""
    found = [job for job in here.workspace.jobs() if has_wanted_metadata(job.metadata, request.query_params)]
    return page(found, lambda job: job_object(here.workspace, job), after=after, limit=limit)


@router.get("/jobs/{job_id}")
def retrieve(here: Here, job_id: str) -> Reply:
    """Returns one job."""
    return job_object(here.workspace, here.workspace.job(job_id))


@router.post("/jobs/{job_id}/cancel")
def cancel(here: Here, job_id: str) -> Reply:
    """Cancels a job that is not decided yet."""
    return job_object(here.workspace, stop_job(here.workspace, job_id, "cancel"))


@router.post("/jobs/{job_id}/pause")
def pause(here: Here, job_id: str) -> Reply:
    """Pauses a job; everything it has done is kept."""
    return job_object(here.workspace, stop_job(here.workspace, job_id, "pause"))


@router.post("/jobs/{job_id}/resume")
def resume(here: Here, job_id: str) -> Reply:
    """Lets a paused job go on where it was."""
    return job_object(here.workspace, resume_job(here.workspace, job_id))


@router.get("/jobs/{job_id}/events", response_model=None)
async def events(
    here: Here,
    job_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    stream: Literal["true", "false"] = "false",
) -> Reply | StreamingResponse:
    """Lists what happened, newest first; with `stream=true` everything from the start on, as it happens."""
    workspace = here.workspace
    await run_in_threadpool(workspace.job, job_id)
    if stream == "true":
        return StreamingResponse(_streamed(here, job_id), media_type="text/event-stream")
    before = _number_of(after) if after is not None else None
    found = await run_in_threadpool(workspace.job_events, job_id, before=before, limit=limit + 1)
    return listed([event_object(event) for event in found[:limit]], has_more=len(found) > limit)


@router.get("/jobs/{job_id}/checkpoints")
def checkpoints(
    here: Here, job_id: str, after: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> Reply:
    """Lists the checkpoints, newest first; each can be asked by its name."""
    job = here.workspace.job(job_id)
    found = here.workspace.job_checkpoints(job_id)

    def shown(one: JobCheckpoint) -> Reply:
        return {
            "id": f"ftckpt_{one.number:012d}",
            "object": "fine_tuning.job.checkpoint",
            "created_at": seconds(one.created_at),
            "fine_tuned_model_checkpoint": checkpoint_name(here.workspace, job, one.step),
            "fine_tuning_job_id": job_id,
            "step_number": one.step,
            "metrics": one.metrics,
        }

    return page(found, shown, after=after, limit=limit)


def _number_of(event: str) -> int:
    number = event.removeprefix("ftevent-")
    if not number.isdecimal() or len(number) > 18:
        raise RequestError(f"after: {event!r} is not the id of an event.", param="after")
    return int(number)


async def _streamed(here: State, job_id: str) -> AsyncIterator[str]:
    """Yields every event of a job once, oldest first, until the job is decided and nothing is left to say.

    When the server stops, the stream ends without having said that all is told.
    """
    last, was_decided = 0, False
    while not here.is_stopping():
        is_decided = (await run_in_threadpool(here.workspace.job, job_id)).status in FINAL
        found = await run_in_threadpool(here.workspace.job_events, job_id, limit=1_000_000)
        for event in sorted((event for event in found if event.id > last), key=lambda event: event.id):
            last = event.id
            yield f"data: {json.dumps(event_object(event))}\n\n"
        if was_decided:
            yield "data: [DONE]\n\n"
            return
        was_decided = is_decided  # what is said of the decision is written just after it
        await asyncio.sleep(0.5)
