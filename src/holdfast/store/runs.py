"""Runs: one order of work each, with its state, its steps and what it had to say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, cast

from sqlalchemy import Connection, Row, func, select

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import tables
from holdfast.store.dialect import upsert
from holdfast.store.part import Part, from_text, to_text
from holdfast.store.records import EventRecord, RunRecord, StepRecord
from holdfast.types import JSONValue


class RunLog(Part):
    """Runs by id. Everything written is on disk when the method returns."""

    def start_run(self, *, kind: str, skill: str, recipe: Mapping[str, JSONValue], key: str = "") -> RunRecord:
        """Stores a new run in state "started". `key` names the work, so that `unfinished_run` finds it again."""
        with self._database.write() as connection:
            number = (connection.scalar(select(func.max(tables.runs.c.position))) or 0) + 1
            run_id, now = f"run-{number}", self._now()
            values = {"position": number, "id": run_id, "key": key, "kind": kind, "skill": skill, "state": "started"}
            connection.execute(
                tables.runs.insert().values(
                    **values, recipe=to_text(recipe), details="{}", created_at=now, updated_at=now
                )
            )
            return _run(_existing(connection, run_id))

    def unfinished_run(self, key: str) -> RunRecord | None:
        """Returns the newest run of this work that has not finished, to be resumed, or None."""
        table = tables.runs
        with self._database.read() as connection:
            wanted = select(table).where(table.c.key == key, table.c.finished_at.is_(None))
            row = connection.execute(wanted.order_by(table.c.position.desc()).limit(1)).one_or_none()
            return None if row is None else _run(row)

    def update_run(
        self, run_id: str, *, state: str | None = None, details: Mapping[str, JSONValue] | None = None
    ) -> RunRecord:
        """Moves the run to another state and adds to its details, in one transaction; returns it as it now is."""
        with self._database.write() as connection:
            run = _open(connection, run_id)
            merged = {**run.details, **(details or {})}
            self._set(connection, run_id, state=state or run.state, details=to_text(merged))
            return _run(_existing(connection, run_id))

    def finish_run(self, run_id: str, state: str, *, error: str | None = None) -> RunRecord:
        """Ends the run in its last state (such as "succeeded", "failed" or "cancelled")."""
        with self._database.write() as connection:
            _open(connection, run_id)
            self._set(connection, run_id, state=state, error=error, finished_at=self._now())
            return _run(_existing(connection, run_id))

    def run(self, run_id: str) -> RunRecord:
        """Returns the run."""
        with self._database.read() as connection:
            return _run(_existing(connection, run_id))

    def runs(self) -> list[RunRecord]:
        """Returns all runs, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.runs).order_by(tables.runs.c.position)).all()
            return [_run(row) for row in rows]

    def record_step(self, run_id: str, step: int, loss: float, metrics: Mapping[str, float] | None = None) -> None:
        """Stores one optimizer step; a resumed run that makes the step again replaces it."""
        if not math.isfinite(loss):
            raise StoreError(f"{run_id}, step {step}: the loss is {loss}, which is no number to store.")
        values = {"loss": loss, "metrics": to_text(metrics or {}), "recorded_at": self._now()}
        with self._database.write() as connection:
            upsert(connection, tables.steps, {"run_id": run_id, "step": step}, values)

    def steps(self, run_id: str) -> list[StepRecord]:
        """Returns the run's steps in order."""
        table = tables.steps
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.step)).all()
        return [
            StepRecord(row.step, row.loss, cast("dict[str, float]", from_text(row.metrics)), row.recorded_at)
            for row in rows
        ]

    def add_event(
        self,
        run_id: str,
        message: str,
        *,
        level: Literal["info", "warning", "error"] = "info",
        data: Mapping[str, JSONValue] | None = None,
    ) -> None:
        """Stores one thing that the run has to say."""
        with self._database.write() as connection:
            _existing(connection, run_id)
            connection.execute(
                tables.events.insert().values(
                    run_id=run_id, level=level, message=message, data=to_text(data or {}), at=self._now()
                )
            )

    def events(self, run_id: str) -> list[EventRecord]:
        """Returns what the run said, in order."""
        table = tables.events
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.id)).all()
        return [EventRecord(row.level, row.message, from_text(row.data), row.at) for row in rows]

    def _set(self, connection: Connection, run_id: str, **values: str | None) -> None:
        connection.execute(
            tables.runs.update().where(tables.runs.c.id == run_id).values(**values, updated_at=self._now())
        )


def _existing(connection: Connection, run_id: str) -> Row[tuple[object, ...]]:
    found = connection.execute(select(tables.runs).where(tables.runs.c.id == run_id)).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no run {run_id!r}.", param="run")
    return found


def _open(connection: Connection, run_id: str) -> RunRecord:
    run = _run(_existing(connection, run_id))
    if run.finished_at is not None:
        raise StoreError(f"Run {run_id!r} ended as {run.state!r} at {run.finished_at}; start a new one.")
    return run


def _run(row: Row[tuple[object, ...]]) -> RunRecord:
    found = dict(row._mapping)
    found.pop("position")
    recipe, details = from_text(str(found.pop("recipe"))), from_text(str(found.pop("details")))
    texts = {name: None if value is None else str(value) for name, value in found.items()}
    return RunRecord(**texts, recipe=recipe, details=details)  # pyright: ignore[reportArgumentType]
