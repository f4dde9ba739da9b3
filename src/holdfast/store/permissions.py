"""Which projects may ask a fine-tuned model besides the one that ordered it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, Row, select

from holdfast.errors import NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog


@dataclass(frozen=True, slots=True)
class PermissionRecord:
    """One grant: that a project may ask a model, or one checkpoint of it, by its name."""

    id: str
    checkpoint: str
    project: str
    created_at: str


class PermissionBook(AuditLog):
    """Grants by id."""

    def grant(self, checkpoint: str, projects: Sequence[str]) -> list[PermissionRecord]:
        """Lets projects ask a checkpoint, all or none, and returns the grants; one that is there already stays."""
        table = tables.checkpoint_permissions
        with self._database.write() as connection:
            found: list[PermissionRecord] = []
            for project in dict.fromkeys(projects):
                row = _granted(connection, checkpoint, project)
                if row is None:
                    identity = f"cp_{secrets.token_hex(12)}"
                    values = {"id": identity, "checkpoint": checkpoint, "project": project, "created_at": self._now()}
                    connection.execute(table.insert().values(**values))
                    self._note(connection, "permission.create", identity, checkpoint=checkpoint, project=project)
                    row = _granted(connection, checkpoint, project)
                assert row is not None
                found.append(_record(row))
        return found

    def permissions(self, checkpoint: str) -> list[PermissionRecord]:
        """Returns the grants for a checkpoint, newest first."""
        table = tables.checkpoint_permissions
        wanted = select(table).where(table.c.checkpoint == checkpoint).order_by(table.c.position.desc())
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(wanted).all()]

    def granted_to(self, project: str) -> set[str]:
        """Returns the names that a project was let ask."""
        table = tables.checkpoint_permissions
        with self._database.read() as connection:
            return set(connection.scalars(select(table.c.checkpoint).where(table.c.project == project)))

    def remove_permission(self, checkpoint: str, identity: str) -> None:
        """Takes a grant back."""
        table = tables.checkpoint_permissions
        own = (table.c.id == identity) & (table.c.checkpoint == checkpoint)
        with self._database.write() as connection:
            if connection.execute(table.delete().where(own)).rowcount == 0:
                raise NotFoundError(f"There is no permission {identity!r} for {checkpoint}.", param="permission_id")
            self._note(connection, "permission.delete", identity, checkpoint=checkpoint)


def _granted(connection: Connection, checkpoint: str, project: str) -> Row[tuple[object, ...]] | None:
    table = tables.checkpoint_permissions
    own = (table.c.checkpoint == checkpoint) & (table.c.project == project)
    return connection.execute(select(table).where(own)).one_or_none()


def _record(row: Row[tuple[object, ...]]) -> PermissionRecord:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    return PermissionRecord(**values)  # pyright: ignore[reportArgumentType]
