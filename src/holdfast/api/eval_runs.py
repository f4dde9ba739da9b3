"""`/v1/evals/{eval_id}/runs`: runs of an evaluation, and what became of each item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from holdfast.api.eval_request import CreateRun
from holdfast.api.lists import listed, page, seconds
from holdfast.api.state import Here, Reply
from holdfast.errors import RequestError
from holdfast.evaluation.eval_page import EvalPage, ItemLine, render_eval_page
from holdfast.jobs.eval_orders import create_run

if TYPE_CHECKING:
    from holdfast.store.eval_runs import EvalItemRecord, EvalRunRecord, ItemStatus
    from holdfast.store.evals import EvalRecord

router = APIRouter(prefix="/v1/evals/{eval_id}/runs", tags=["Evals"])
_COUNTS = ("passed", "failed", "errored")
_STATUS: dict[str, ItemStatus] = {"pass": "pass", "fail": "fail", "failed": "fail", "error": "error"}
_MOST_SHOWN = 1000
"""So many items stand on the page of a run."""


def run_object(request: Request, record: EvalRecord, run: EvalRunRecord) -> Reply:
    """Returns a run as the client reads it."""
    counts, criteria = _figures(run)
    usage = cast("dict[str, dict[str, int]]", run.figures.get("usage") or {})
    return {
        "id": run.id,
        "object": "eval.run",
        "eval_id": run.eval_id,
        "name": run.name,
        "status": run.status,
        "model": run.source.get("model") or "",
        "versions": dict(run.versions),
        "created_at": seconds(run.created_at),
        "started_at": seconds(run.started_at),
        "finished_at": seconds(run.finished_at),
        "data_source": dict(run.source),
        "error": run.error,
        "metadata": dict(run.metadata),
        "num_items": run.num_items,
        "result_counts": {"total": sum(counts.values()), **counts},
        "per_model_usage": [{"model_name": model, **tokens} for model, tokens in usage.items()],
        "per_testing_criteria_results": [
            {"testing_criteria": str(one["name"]), **criteria.get(str(one["name"]), dict.fromkeys(_COUNTS, 0))}
            for one in record.criteria
        ],
        "report_url": f"{request.base_url}v1/evals/{run.eval_id}/runs/{run.id}/report",
    }


def item_object(run: EvalRunRecord, item: EvalItemRecord) -> Reply:
    """Returns what became of an item as the client reads it."""
    return {
        "id": item.id,
        "object": "eval.run.output_item",
        "eval_id": run.eval_id,
        "run_id": run.id,
        "created_at": seconds(item.done_at),
        "datasource_item_id": item.number,
        "datasource_item": dict(item.item),
        "status": item.status,
        "results": list(item.results),
        "sample": item.sample,
    }


@router.post("")
def create(here: Here, request: Request, eval_id: str, body: CreateRun) -> Reply:
    """Orders a run: its items are read and kept, and asked one after the other in the background."""
    record = here.workspace.eval(eval_id)
    run = create_run(here.workspace, here.served, record, body.as_json())
    here.evals.wake()
    return run_object(request, record, run)


@router.get("")
def list_runs(
    here: Here,
    request: Request,
    eval_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
    status: Literal["queued", "in_progress", "completed", "canceled", "failed"] | None = None,
) -> Reply:
    """Lists the runs of an evaluation."""
    record = here.workspace.eval(eval_id)
    found = [run for run in here.workspace.eval_runs(eval_id) if status in (None, run.status)]
    return page(found, lambda run: run_object(request, record, run), after=after, limit=limit, order=order)


@router.get("/{run_id}")
def retrieve(here: Here, request: Request, eval_id: str, run_id: str) -> Reply:
    """Returns one run, with what is counted so far."""
    return run_object(request, here.workspace.eval(eval_id), here.workspace.eval_run(run_id, eval_id))


@router.post("/{run_id}")
@router.post("/{run_id}/cancel")
def cancel(here: Here, request: Request, eval_id: str, run_id: str) -> Reply:
    """Cancels a run that is not decided; what is done of it stays."""
    record = here.workspace.eval(eval_id)
    here.workspace.eval_run(run_id, eval_id)
    here.workspace.end_eval_run(run_id, "canceled")
    return run_object(request, record, here.workspace.eval_run(run_id, eval_id))


@router.delete("/{run_id}")
def delete(here: Here, eval_id: str, run_id: str) -> Reply:
    """Deletes a run with its items."""
    here.workspace.eval_run(run_id, eval_id)
    here.workspace.remove_eval_run(run_id)
    return {"object": "eval.run.deleted", "deleted": True, "run_id": run_id}


@router.get("/{run_id}/output_items")
def list_items(
    here: Here,
    eval_id: str,
    run_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "asc",
    status: Literal["pass", "fail", "failed", "error"] | None = None,
) -> Reply:
    """Lists the items that are done, in the order in which they came; `error` are those that could not be judged."""
    run = here.workspace.eval_run(run_id, eval_id)
    found = here.workspace.eval_items(
        run_id,
        status=None if status is None else _STATUS[status],
        after=None if after is None else _number_of(here, run_id, after),
        limit=limit + 1,
        newest_first=order == "desc",
    )
    return listed([item_object(run, item) for item in found[:limit]], has_more=len(found) > limit)


@router.get("/{run_id}/output_items/{output_item_id}")
def retrieve_item(here: Here, eval_id: str, run_id: str, output_item_id: str) -> Reply:
    """Returns what became of one item."""
    run = here.workspace.eval_run(run_id, eval_id)
    return item_object(run, here.workspace.eval_item(run_id, output_item_id))


@router.get("/{run_id}/report")
def report(here: Here, eval_id: str, run_id: str) -> HTMLResponse:
    """Returns a run as a page to read."""
    record, run = here.workspace.eval(eval_id), here.workspace.eval_run(run_id, eval_id)
    items = here.workspace.eval_items(run_id, limit=_MOST_SHOWN)
    counts, criteria = _figures(run)
    shown = EvalPage(
        title=f"{record.name}: {run.name}",
        status=run.status,
        created_at=run.created_at,
        error=str((run.error or {}).get("message", "")),
        num_items=run.num_items,
        counts=counts,
        criteria=criteria,
        items=[_line(item) for item in items],
    )
    return HTMLResponse(render_eval_page(shown))


def _line(item: EvalItemRecord) -> ItemLine:
    sample = item.sample or {}
    spoken = cast("list[dict[str, object]]", sample.get("output") or [])
    problem = cast("dict[str, object]", sample.get("error") or {}).get("message")
    told = [f"{one['name']}: {one['explanation']}" for one in item.results]
    return ItemLine(
        number=item.number,
        status=item.status,
        item=dict(item.item),
        answer="\n".join(str(turn.get("content") or "") for turn in spoken),
        results=[str(problem)] if problem else told,
    )


def _figures(run: EvalRunRecord) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    counts = cast("dict[str, int]", run.figures.get("counts") or dict.fromkeys(_COUNTS, 0))
    return counts, cast("dict[str, dict[str, int]]", run.figures.get("criteria") or {})


def _number_of(here: Here, run_id: str, after: str) -> int:
    try:
        return here.workspace.eval_item(run_id, after).number
    except LookupError:
        raise RequestError(f"after: there is no {after!r} in this list.", param="after") from None
