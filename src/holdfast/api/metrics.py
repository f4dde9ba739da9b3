"""`/metrics` for Prometheus: requests, what runs and waits, and the queue."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from holdfast.api.state import Here

router = APIRouter(tags=["Health"])


@router.get("/metrics")
def metrics(here: Here) -> Response:
    """Returns the counts in Prometheus' text format."""
    loads = [engine.status() for engine in here.served.engines()]
    jobs = Counter(job.status for job in here.workspace.jobs())
    return Response(here.counts.shown(loads, jobs), media_type=CONTENT_TYPE_LATEST)
