"""Runs of evaluations, with a lease for whoever works on one, and the result of every item as it came.

Whether an item is done stands in the item itself. A run that was broken off is gone on with: what is done stays, what
waits is asked. Counts and tokens are added up in the transaction that stores the item.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from sqlalchemy import Connection, Row, func, or_, select

from holdfast.errors import InvalidStateError, NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.types import JSONValue

RunStatus: TypeAlias = Literal["queued", "in_progress", "completed", "failed", "canceled"]
ItemStatus: TypeAlias = Literal["pass", "fail", "error"]
_COUNTED = {"pass": "passed", "fail": "failed", "error": "errored"}
_OPEN = ("queued", "in_progress")


@dataclass(frozen=True, slots=True)
class EvalRunRecord:
    """One run. `source` is what was asked for, `versions` who answers under which name, `figures` what came out."""

    id: str
    eval_id: str
    name: str
    source: Mapping[str, JSONValue]
    metadata: Mapping[str, JSONValue]
    versions: Mapping[str, str]
    seed: int
    num_items: int
    status: RunStatus
    figures: Mapping[str, JSONValue]
    error: Mapping[str, JSONValue] | None
    leased_by: str | None
    leased_until: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class GivenItem:
    """One item as it came: `given` is the answer that came with it, `problem` why it could not be read."""

    item: Mapping[str, JSONValue]
    given: Mapping[str, JSONValue] | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item; `usage` holds the calls and tokens of each model that was asked for it."""

    status: ItemStatus
    sample: Mapping[str, JSONValue]
    results: Sequence[Mapping[str, JSONValue]]
    usage: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class EvalItemRecord:
    """One item of a run, and what became of it if it is done."""

    id: str
    run_id: str
    number: int
    item: Mapping[str, JSONValue]
    given: Mapping[str, JSONValue] | None
    problem: str | None
    status: Literal["waiting", "pass", "fail", "error"]
    sample: Mapping[str, JSONValue] | None
    results: Sequence[Mapping[str, JSONValue]]
    done_at: str | None


class EvalRuns(AuditLog):
    """Runs by id, and which of them is whose."""

    def add_eval_run(
        self,
        eval_id: str,
        items: Sequence[GivenItem],
        *,
        name: str,
        source: Mapping[str, JSONValue],
        metadata: Mapping[str, JSONValue],
        versions: Mapping[str, str],
        seed: int,
    ) -> EvalRunRecord:
        """Stores a new run with all its items, in state `queued`, and returns it."""
        identity = f"evalrun_{secrets.token_hex(12)}"
        rows = [
            {
                "id": f"outputitem_{secrets.token_hex(12)}",
                "run_id": identity,
                "number": number,
                "item": json.dumps(one.item),
                "given": None if one.given is None else json.dumps(one.given),
                "problem": one.problem,
                "status": "waiting",
            }
            for number, one in enumerate(items)
        ]
        with self._database.write() as connection:
            if connection.scalar(select(tables.evals.c.id).where(tables.evals.c.id == eval_id)) is None:
                raise NotFoundError(f"There is no eval {eval_id!r}.", param="eval_id")
            connection.execute(
                tables.eval_runs.insert().values(
                    id=identity, eval_id=eval_id, name=name, source=json.dumps(source), metadata=json.dumps(metadata),
                    versions=json.dumps(versions), seed=seed, num_items=len(rows), status="queued", figures="{}",
                    created_at=self._now(),
                )
            )  # fmt: skip
            connection.execute(tables.eval_items.insert(), rows)
            self._note(connection, "eval_run.create", identity, eval_id=eval_id, num_items=len(rows))
            return _run(_existing(connection, identity))

    def eval_run(self, identity: str, eval_id: str | None = None) -> EvalRunRecord:
        """Returns a run, of `eval_id` if that is given."""
        with self._database.read() as connection:
            found = _run(_existing(connection, identity))
        if eval_id not in (None, found.eval_id):
            raise _no_run(identity)
        return found

    def eval_runs(self, eval_id: str) -> list[EvalRunRecord]:
        """Returns the runs of an evaluation, newest first."""
        table = tables.eval_runs
        wanted = select(table).where(table.c.eval_id == eval_id).order_by(table.c.position.desc())
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(wanted).all()]

    def open_eval_runs(self) -> list[EvalRunRecord]:
        """Returns the runs that wait or are under way, oldest first."""
        table = tables.eval_runs
        wanted = select(table).where(table.c.status.in_(_OPEN)).order_by(table.c.position)
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(wanted).all()]

    def take_eval_run(self, worker: str, *, seconds: float) -> EvalRunRecord | None:
        """Returns the next run for `worker`, which holds it for `seconds`; one that was broken off comes first."""
        table = tables.eval_runs
        with self._database.write() as connection:
            free = or_(table.c.leased_until.is_(None), table.c.leased_until <= self._now())
            order = (table.c.status == "in_progress").desc(), table.c.position
            wanted = select(table).where(table.c.status.in_(_OPEN) & free).order_by(*order).limit(1)
            row = connection.execute(wanted).one_or_none()
            if row is None:
                return None
            found = _run(row)
            held = {"status": "in_progress", "leased_by": worker, "leased_until": self._later(seconds)}
            held["started_at"] = found.started_at or self._now()
            connection.execute(table.update().where(table.c.id == found.id).values(**held))
            self._note(connection, "eval_run.take", found.id, worker=worker)
            return _run(_existing(connection, found.id))

    def renew_eval_run(self, identity: str, worker: str, *, seconds: float) -> bool:
        """Holds the run for `seconds` more; False if it is another's by now, decided, or gone."""
        table = tables.eval_runs
        own = (table.c.id == identity) & (table.c.status == "in_progress") & (table.c.leased_by == worker)
        with self._database.write() as connection:
            done = connection.execute(table.update().where(own).values(leased_until=self._later(seconds)))
            return done.rowcount == 1

    def release_eval_run(self, identity: str, worker: str) -> None:
        """Lets go of a run, so that the next worker goes on with it at once."""
        table = tables.eval_runs
        own = (table.c.id == identity) & (table.c.leased_by == worker)
        with self._database.write() as connection:
            connection.execute(table.update().where(own).values(leased_by=None, leased_until=None))

    def waiting_eval_items(self, run_id: str, *, after: int, limit: int) -> list[EvalItemRecord]:
        """Returns up to `limit` items of the run that are not done, in order, from behind the number `after`."""
        table = tables.eval_items
        own = (table.c.run_id == run_id) & (table.c.status == "waiting") & (table.c.number > after)
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(own).order_by(table.c.number).limit(limit)).all()
        return [_item(row) for row in rows]

    def save_eval_item(self, item: EvalItemRecord, worker: str, outcome: Outcome) -> bool:
        """Stores what became of an item, and counts it; False if the run is not `worker`'s to go on with any more."""
        runs, items = tables.eval_runs, tables.eval_items
        with self._database.write() as connection:
            row = connection.execute(select(runs).where(runs.c.id == item.run_id)).one_or_none()
            if row is None or row.status != "in_progress" or row.leased_by != worker:
                return False
            waiting = (items.c.id == item.id) & (items.c.status == "waiting")
            values = {"status": outcome.status, "sample": json.dumps(outcome.sample), "done_at": self._now()}
            done = connection.execute(
                items.update().where(waiting).values(**values, results=json.dumps(outcome.results))
            )
            if done.rowcount == 1:
                figures = json.dumps(_added(json.loads(row.figures), outcome))
                connection.execute(runs.update().where(runs.c.id == item.run_id).values(figures=figures))
            return True

    def end_eval_run(
        self,
        identity: str,
        status: Literal["completed", "failed", "canceled"],
        *,
        worker: str | None = None,
        error: Mapping[str, JSONValue] | None = None,
    ) -> EvalRunRecord | None:
        """Decides a run that is not decided yet; with `worker` only if it is its own, and None if it is not.

        Raises:
            InvalidStateError: it is decided already.
        """
        table = tables.eval_runs
        with self._database.write() as connection:
            row = connection.execute(select(table).where(table.c.id == identity)).one_or_none()
            found = None if row is None else _run(row)
            if worker is not None and (found is None or (found.status, found.leased_by) != ("in_progress", worker)):
                return None
            if found is None:
                raise _no_run(identity)
            if found.status not in _OPEN:
                raise InvalidStateError(f"The run is {found.status}, so it cannot be {status}.", param="run_id")
            values = {"status": status, "leased_by": None, "leased_until": None, "finished_at": self._now()}
            told = None if error is None else json.dumps(error)
            connection.execute(table.update().where(table.c.id == identity).values(**values, error=told))
            self._note(connection, "eval_run.change", identity, status=status)
            return _run(_existing(connection, identity))

    def remove_eval_run(self, identity: str) -> None:
        """Deletes a run with its items; if it still runs it stops."""
        with self._database.write() as connection:
            _existing(connection, identity)
            connection.execute(tables.eval_items.delete().where(tables.eval_items.c.run_id == identity))
            connection.execute(tables.eval_runs.delete().where(tables.eval_runs.c.id == identity))
            self._note(connection, "eval_run.delete", identity)

    def eval_item(self, run_id: str, identity: str) -> EvalItemRecord:
        """Returns an item of the run that is done."""
        table = tables.eval_items
        own = (table.c.run_id == run_id) & (table.c.id == identity) & (table.c.status != "waiting")
        with self._database.read() as connection:
            row = connection.execute(select(table).where(own)).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no output item {identity!r} in this run.", param="output_item_id")
        return _item(row)

    def eval_items(
        self,
        run_id: str,
        *,
        status: ItemStatus | None = None,
        after: int | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> list[EvalItemRecord]:
        """Returns up to `limit` items of the run that are done, from behind the one with the number `after`."""
        table = tables.eval_items
        wanted = select(table).where(table.c.run_id == run_id, table.c.status != "waiting")
        if status is not None:
            wanted = wanted.where(table.c.status == status)
        if after is not None:
            wanted = wanted.where(table.c.number < after if newest_first else table.c.number > after)
        wanted = wanted.order_by(table.c.number.desc() if newest_first else table.c.number).limit(limit)
        with self._database.read() as connection:
            return [_item(row) for row in connection.execute(wanted).all()]

    def num_open_eval_runs(self) -> int:
        """Returns how many runs wait or are under way."""
        table = tables.eval_runs
        with self._database.read() as connection:
            return int(connection.scalar(select(func.count()).select_from(table).where(table.c.status.in_(_OPEN))) or 0)


def _added(figures: dict[str, dict[str, dict[str, int]]], outcome: Outcome) -> dict[str, object]:
    """Returns the figures of a run with one more item."""
    counts = cast("dict[str, int]", figures.get("counts") or dict.fromkeys(_COUNTED.values(), 0))
    counts[_COUNTED[outcome.status]] += 1
    usage = figures.get("usage") or {}
    for model, tokens in outcome.usage.items():
        before = usage.get(model) or {}
        usage[model] = {key: before.get(key, 0) + value for key, value in tokens.items()}
    criteria = figures.get("criteria") or {}
    for result in outcome.results:
        told = criteria.setdefault(str(result["name"]), dict.fromkeys(_COUNTED.values(), 0))
        told["errored" if result.get("error") else "passed" if result["passed"] else "failed"] += 1
    return {"counts": counts, "usage": usage, "criteria": criteria}


def _no_run(identity: str) -> NotFoundError:
    return NotFoundError(f"There is no eval run {identity!r}.", param="run_id")


def _existing(connection: Connection, identity: str) -> Row[tuple[object, ...]]:
    found = connection.execute(select(tables.eval_runs).where(tables.eval_runs.c.id == identity)).one_or_none()
    if found is None:
        raise _no_run(identity)
    return found


def _run(row: Row[tuple[object, ...]]) -> EvalRunRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    for name in ("source", "metadata", "versions", "figures", "error"):
        values[name] = None if values[name] is None else json.loads(str(values[name]))
    return EvalRunRecord(**values)  # pyright: ignore[reportArgumentType]


def _item(row: Row[tuple[object, ...]]) -> EvalItemRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    for name in ("item", "given", "sample", "results"):
        values[name] = None if values[name] is None else json.loads(str(values[name]))
    values["results"] = values["results"] or []
    return EvalItemRecord(**values)  # pyright: ignore[reportArgumentType]
