"""Orders to learn that wait, run and are decided: a queue in the database, with a lease for whoever works on one.

A worker that takes a job holds it for some seconds and renews that again and again. A worker that dies stops renewing,
and the next one takes the job up where it is. Nothing is handed over in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from sqlalchemy import Connection, Row, or_, select

from holdfast.errors import NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.store.dialect import upsert
from holdfast.store.part import from_text, to_text
from holdfast.types import JSONValue

Wanted: TypeAlias = Literal["run", "pause", "cancel"]
WAITING, RUNNING = ("queued",), ("running",)
"""The states in which a worker may take a job: the second only when nobody holds it any more."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One order to learn over HTTP. `request` is what was asked for, `result` what came out; times are ISO 8601."""

    id: str
    status: str
    wanted: Wanted
    priority: int
    request: Mapping[str, JSONValue]
    metadata: Mapping[str, JSONValue]
    recipe: Mapping[str, JSONValue]
    skill: str
    run_id: str | None
    version: str | None
    fine_tuned_model: str | None
    result: Mapping[str, JSONValue]
    error: Mapping[str, JSONValue] | None
    trained_tokens: int | None
    attempts: int
    leased_by: str | None
    leased_until: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    project: str | None


@dataclass(frozen=True, slots=True)
class JobEventRecord:
    """One thing that happened to a job."""

    id: int
    level: Literal["info", "warn", "error"]
    type: Literal["message", "metrics"]
    message: str
    data: Mapping[str, JSONValue]
    at: str


@dataclass(frozen=True, slots=True)
class JobCheckpoint:
    """Weights that a job's training went through; `number` is theirs alone."""

    number: int
    step: int
    metrics: Mapping[str, JSONValue]
    weights_hash: str
    created_at: str


class JobQueue(AuditLog):
    """Jobs by id, and which of them is whose."""

    def add_job(
        self,
        *,
        request: Mapping[str, JSONValue],
        metadata: Mapping[str, JSONValue],
        recipe: Mapping[str, JSONValue],
        skill: str,
        priority: int = 0,
        project: str | None = None,
    ) -> JobRecord:
        """Stores a new job in state `validating_files` and returns it; `project` is that of whoever ordered it."""
        name = f"ftjob-{secrets.token_hex(12)}"
        with self._database.write() as connection:
            connection.execute(
                tables.jobs.insert().values(
                    id=name,
                    status="validating_files",
                    wanted="run",
                    priority=priority,
                    request=to_text(request),
                    metadata=to_text(metadata),
                    recipe=to_text(recipe),
                    skill=skill,
                    result="{}",
                    attempts=0,
                    created_at=self._now(),
                    project=project,
                )
            )
            self._note(connection, "job.create", name, skill=skill)
            return _job(_existing(connection, name))

    def job(self, name: str) -> JobRecord:
        """Returns the job."""
        with self._database.read() as connection:
            return _job(_existing(connection, name))

    def jobs(self) -> list[JobRecord]:
        """Returns all jobs, newest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.jobs).order_by(tables.jobs.c.position.desc())).all()
            return [_job(row) for row in rows]

    def held_jobs(self) -> list[JobRecord]:
        """Returns the jobs that a worker holds, or held when it died."""
        table = tables.jobs
        held = (table.c.status == "running") & table.c.leased_by.is_not(None)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(select(table).where(held)).all()]

    def job_of_model(self, model: str) -> JobRecord | None:
        """Returns the job that made the model of this name, or None."""
        with self._database.read() as connection:
            wanted = select(tables.jobs).where(tables.jobs.c.fine_tuned_model == model)
            row = connection.execute(wanted).one_or_none()
            return None if row is None else _job(row)

    def job_of_version(self, version: str) -> JobRecord | None:
        """Returns the job that made a version which was accepted, or None."""
        table = tables.jobs
        wanted = select(table).where(table.c.version == version, table.c.fine_tuned_model.is_not(None))
        with self._database.read() as connection:
            row = connection.execute(wanted.order_by(table.c.position).limit(1)).one_or_none()
            return None if row is None else _job(row)

    def job_with_ending(self, ending: str) -> JobRecord | None:
        """Returns the job whose id ends so, or None where there is none, or more than one."""
        with self._database.read() as connection:
            wanted = select(tables.jobs).where(tables.jobs.c.id.endswith(ending, autoescape=True)).limit(2)
            rows = connection.execute(wanted).all()
            return _job(rows[0]) if len(rows) == 1 else None

    def change_job(
        self,
        name: str,
        values: Mapping[str, str | int | None],
        *,
        when: tuple[str, ...] = (),
        held_by: str | None = None,
    ) -> JobRecord | None:
        """Sets columns of the job and returns it.

        None if it is not in one of the states `when` (any, if empty), or another has it than the worker `held_by`.

        Mappings are given as the text that `to_text` makes.
        """
        with self._database.write() as connection:
            row = _existing(connection, name)
            job = _job(row)
            if (when and job.status not in when) or (held_by is not None and job.leased_by != held_by):
                return None
            connection.execute(tables.jobs.update().where(tables.jobs.c.id == name).values(dict(values)))
            changed = {key: values[key] for key in ("status", "wanted", "fine_tuned_model") if key in values}
            if changed:
                self._note(connection, "job.change", name, **changed)
            return _job(_existing(connection, name))

    def take_job(self, worker: str, *, seconds: float) -> JobRecord | None:
        """Returns the next job for `worker`, which holds it for `seconds`; None if there is none.

        The highest priority comes first, then the oldest; a job that runs and is held by nobody any more comes before
        those that wait.
        """
        table = tables.jobs
        with self._database.write() as connection:
            free = or_(table.c.leased_until.is_(None), table.c.leased_until <= self._now())
            able = table.c.status.in_((*WAITING, *RUNNING)) & free & (table.c.wanted == "run")
            order = (table.c.status == "running").desc(), table.c.priority.desc(), table.c.position
            row = connection.execute(select(table).where(able).order_by(*order).limit(1)).one_or_none()
            if row is None:
                return None
            job = _job(row)
            now = self._now()
            values = {"status": "running", "leased_by": worker, "leased_until": self._later(seconds)}
            values["started_at"] = job.started_at or now
            change = table.update().where(table.c.id == job.id).values(**values, attempts=job.attempts + 1)
            connection.execute(change)
            self._note(connection, "job.take", job.id, worker=worker)
            return _job(_existing(connection, job.id))

    def renew_lease(self, name: str, worker: str, *, seconds: float) -> Wanted | None:
        """Holds the job for `seconds` more and returns what is wanted of it; None if it is another's by now."""
        table = tables.jobs
        with self._database.write() as connection:
            job = _job(_existing(connection, name))
            if job.leased_by != worker:
                return None
            connection.execute(table.update().where(table.c.id == name).values(leased_until=self._later(seconds)))
            return job.wanted

    def add_job_event(
        self,
        name: str,
        message: str,
        *,
        level: Literal["info", "warn", "error"] = "info",
        type: Literal["message", "metrics"] = "message",
        data: Mapping[str, JSONValue] | None = None,
    ) -> None:
        """Stores one thing that happened to the job."""
        with self._database.write() as connection:
            connection.execute(
                tables.job_events.insert().values(
                    job_id=name, level=level, type=type, message=message, data=to_text(data or {}), at=self._now()
                )
            )

    def job_events(
        self,
        name: str,
        *,
        before: int | None = None,
        limit: int = 20,
        type: Literal["message", "metrics"] | None = None,
    ) -> list[JobEventRecord]:
        """Returns up to `limit` events of the job, newest first, older than the one numbered `before`."""
        table = tables.job_events
        wanted = select(table).where(table.c.job_id == name).order_by(table.c.id.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(table.c.id < before)
        if type is not None:
            wanted = wanted.where(table.c.type == type)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return [JobEventRecord(r.id, r.level, r.type, r.message, from_text(r.data), r.at) for r in rows]

    def add_job_checkpoint(
        self, name: str, step: int, metrics: Mapping[str, JSONValue], weights_hash: str = ""
    ) -> None:
        """Stores that the job has a checkpoint after `step`; the same step again replaces it."""
        values = {"metrics": to_text(metrics), "weights_hash": weights_hash, "created_at": self._now()}
        with self._database.write() as connection:
            upsert(connection, tables.job_checkpoints, {"job_id": name, "step": step}, values)

    def job_checkpoints(self, name: str) -> list[JobCheckpoint]:
        """Returns the job's checkpoints, newest first."""
        table = tables.job_checkpoints
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.job_id == name).order_by(table.c.step.desc())).all()
        return [JobCheckpoint(r.id, r.step, from_text(r.metrics), r.weights_hash, r.created_at) for r in rows]


def _existing(connection: Connection, name: str) -> Row[tuple[object, ...]]:
    found = connection.execute(select(tables.jobs).where(tables.jobs.c.id == name)).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no fine-tuning job {name!r}.", param="fine_tuning_job_id")
    return found


def _job(row: Row[tuple[object, ...]]) -> JobRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    for name in ("request", "metadata", "recipe", "result"):
        values[name] = from_text(str(values[name]))
    values["error"] = None if values["error"] is None else from_text(str(values["error"]))
    return JobRecord(**values)  # pyright: ignore[reportArgumentType]
