"""Evaluations by id: what is asked of a model, and by which criteria the answers are judged."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Row, select

from holdfast.errors import NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class EvalRecord:
    """One evaluation. `config` tells where items come from, `criteria` are graders as they were given."""

    id: str
    name: str
    config: Mapping[str, JSONValue]
    criteria: Sequence[Mapping[str, JSONValue]]
    metadata: Mapping[str, JSONValue]
    created_at: str
    updated_at: str


class EvalBook(AuditLog):
    """Evaluations by id."""

    def add_eval(
        self,
        *,
        name: str,
        config: Mapping[str, JSONValue],
        criteria: Sequence[Mapping[str, JSONValue]],
        metadata: Mapping[str, JSONValue],
    ) -> EvalRecord:
        """Stores a new evaluation and returns it."""
        identity, now = f"eval_{secrets.token_hex(12)}", self._now()
        with self._database.write() as connection:
            connection.execute(
                tables.evals.insert().values(
                    id=identity, name=name, config=json.dumps(config), criteria=json.dumps(criteria),
                    metadata=json.dumps(metadata), created_at=now, updated_at=now,
                )
            )  # fmt: skip
            self._note(connection, "eval.create", identity, name=name)
            return _eval(_existing(connection, identity))

    def eval(self, identity: str) -> EvalRecord:
        """Returns an evaluation."""
        with self._database.read() as connection:
            return _eval(_existing(connection, identity))

    def evals(self, *, by_change: bool = False) -> list[EvalRecord]:
        """Returns all evaluations, the newest first, or the one changed last."""
        table = tables.evals
        order = (table.c.updated_at.desc(), table.c.position.desc()) if by_change else (table.c.position.desc(),)
        with self._database.read() as connection:
            return [_eval(row) for row in connection.execute(select(table).order_by(*order)).all()]

    def change_eval(self, identity: str, *, name: str | None, metadata: Mapping[str, JSONValue] | None) -> EvalRecord:
        """Gives an evaluation another name or other metadata; None leaves each as it is."""
        values = {"name": name, "metadata": None if metadata is None else json.dumps(metadata)}
        changed = {key: value for key, value in values.items() if value is not None}
        table = tables.evals
        with self._database.write() as connection:
            _existing(connection, identity)
            if changed:
                change = table.update().where(table.c.id == identity)
                connection.execute(change.values(**changed, updated_at=self._now()))
                self._note(connection, "eval.change", identity, changed=", ".join(sorted(changed)))
            return _eval(_existing(connection, identity))

    def remove_eval(self, identity: str) -> None:
        """Deletes an evaluation with all its runs; what still runs of it stops."""
        runs, items = tables.eval_runs, tables.eval_items
        with self._database.write() as connection:
            _existing(connection, identity)
            own = select(runs.c.id).where(runs.c.eval_id == identity)
            connection.execute(items.delete().where(items.c.run_id.in_(own)))
            connection.execute(runs.delete().where(runs.c.eval_id == identity))
            connection.execute(tables.evals.delete().where(tables.evals.c.id == identity))
            self._note(connection, "eval.delete", identity)


def _existing(connection: Connection, identity: str) -> Row[tuple[object, ...]]:
    found = connection.execute(select(tables.evals).where(tables.evals.c.id == identity)).one_or_none()
    if found is None:
        raise NotFoundError(f"There is no eval {identity!r}.", param="eval_id")
    return found


def _eval(row: Row[tuple[object, ...]]) -> EvalRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    for name in ("config", "criteria", "metadata"):
        values[name] = json.loads(str(values[name]))
    return EvalRecord(**values)  # pyright: ignore[reportArgumentType]
