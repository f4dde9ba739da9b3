"""The server's application: routers, errors, health, and what is true of every request."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from holdfast.api import (
    chat,
    completions,
    embeddings,
    errors,
    eval_runs,
    evals,
    files,
    fine_tuning,
    graders,
    metrics,
    models,
    permissions,
    responses,
    stored,
    uploads,
)
from holdfast.api.access import Access

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast.api.state import State

_PARTS = (
    files,
    uploads,
    graders,
    fine_tuning,
    permissions,
    models,
    chat,
    stored,
    completions,
    embeddings,
    responses,
    evals,
    eval_runs,
    metrics,
)


def create_app(state: State) -> FastAPI:
    """Returns the application over one workspace."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.evals.start()
        try:
            yield
        finally:
            await run_in_threadpool(state.evals.stop)

    version = metadata.version("holdfast")
    app = FastAPI(title="Holdfast", version=version, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.holdfast = state
    errors.add_handlers(app)
    for part in _PARTS:
        app.include_router(part.router)

    @app.get("/healthz", tags=["Health"])
    def healthz() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Tells that the process is there."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["Health"])
    def readyz() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        """Tells that the workspace can be read and something can be asked."""
        return {"status": "ok", "current": state.served.version("current").id}

    app.add_middleware(Access, state=state)
    return app
