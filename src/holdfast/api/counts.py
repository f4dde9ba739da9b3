"""What a server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.serving.engine import Load

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Counts:
    """The counts of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "path", "status")
        self.requests = Counter("holdfast_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "holdfast_request_seconds", "Time to answer.", ("path",), buckets=_SECONDS, registry=self.registry
        )
        self.running = Gauge("holdfast_running", "Completions being written.", registry=self.registry)
        self.waiting = Gauge("holdfast_waiting", "Completions that wait.", registry=self.registry)
        self.jobs = Gauge("holdfast_jobs", "Fine-tuning jobs by status.", ("status",), registry=self.registry)

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Counts one request; `path` is the route's, so that ids make no new series."""
        self.requests.labels(method, path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def shown(self, loads: Sequence[Load], jobs: Mapping[str, int]) -> bytes:
        """Returns all counts, with what the engines do now and the number of jobs by status."""
        self.running.set(sum(load.num_running for load in loads))
        self.waiting.set(sum(load.num_waiting for load in loads))
        self.jobs.clear()
        for status, count in jobs.items():
            self.jobs.labels(status).set(count)
        return generate_latest(self.registry)
