"""The tree of versions and the alias `current`, which one transaction moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, cast

from sqlalchemy import Connection, Row, func, select

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.store.dialect import upsert
from holdfast.store.part import from_text, to_text
from holdfast.store.records import AliasMove
from holdfast.store.scores import mean_scores
from holdfast.types import JSONValue, Version

_CURRENT: Final = "current"
_UNCHECKED: Final = "<whatever is current>"  # no version id: ids hold no such characters


class VersionTree(AuditLog):
    """Versions by id, and which one is `current`."""

    def add_version(self, version: Version, *, facts: Mapping[str, JSONValue] | None = None) -> Version:
        """Stores the version and returns it; an empty `id` is replaced by the next free one (v1, v2, ...).

        `facts` are what else tells how it was made: seed, data hashes, environment.
        """
        with self._database.write() as connection:
            if version.parent is not None:
                _existing(connection, version.parent)
            number = (connection.scalar(select(func.max(tables.versions.c.position))) or 0) + 1
            name = version.id or f"v{number}"
            if _row(connection, name) is not None:
                raise StoreError(f"Version {name!r} is stored already; versions are never overwritten.")
            connection.execute(
                tables.versions.insert().values(
                    position=number,
                    id=name,
                    parent=version.parent,
                    base=version.base,
                    weights_hash=version.weights_hash,
                    recipe=to_text(version.recipe),
                    status=version.status,
                    skill=version.skill,
                    facts=to_text(facts or {}),
                    created_at=self._now(),
                )
            )
            self._note(connection, "version.add", name, parent=version.parent, skill=version.skill)
            return _version(_existing(connection, name), {})

    def version(self, version_id: str) -> Version:
        """Returns the version with its scores."""
        with self._database.read() as connection:
            return _version(_existing(connection, version_id), mean_scores(connection).get(version_id, {}))

    def serving(self, name: str) -> Version | None:
        """Returns the version that a name stands for, without its scores: cheap enough for every request.

        A name is a version's id, `current`, or the base's, which stands for the version that has no weights of its own.
        """
        table = tables.versions
        with self._database.read() as connection:
            row = _row(connection, (_current_id(connection) or "") if name == _CURRENT else name)
            if row is None:
                bare = select(table).where(table.c.base == name, table.c.weights_hash == "")
                row = connection.execute(bare.order_by(table.c.position).limit(1)).one_or_none()
            return None if row is None else _version(row, {})

    def made_at(self, version_id: str) -> str:
        """Returns when the version was stored, as ISO 8601."""
        with self._database.read() as connection:
            _existing(connection, version_id)
            wanted = select(tables.versions.c.created_at).where(tables.versions.c.id == version_id)
            return str(connection.scalar(wanted))

    def versions(self) -> list[Version]:
        """Returns all versions with their scores, oldest first."""
        with self._database.read() as connection:
            means = mean_scores(connection)
            rows = connection.execute(select(tables.versions).order_by(tables.versions.c.position)).all()
            return [_version(row, means.get(str(row._mapping["id"]), {})) for row in rows]

    def facts(self, version_id: str) -> dict[str, JSONValue]:
        """Returns what was stored about how the version was made."""
        with self._database.read() as connection:
            return from_text(str(_existing(connection, version_id)._mapping["facts"]))

    def accept(self, version_id: str) -> None:
        """Marks a candidate as accepted without making it current: for what serves beside it, such as a classifier."""
        with self._database.write() as connection:
            if _existing(connection, version_id)._mapping["status"] == "refused":
                raise StoreError(f"Version {version_id!r} was refused by the gate, so it cannot be accepted.")
            _set_status(connection, version_id, "accepted")
            self._note(connection, "version.accept", version_id)

    def refuse(self, version_id: str) -> None:
        """Marks a candidate as refused: it is kept, and never becomes current."""
        with self._database.write() as connection:
            if _existing(connection, version_id)._mapping["status"] == "accepted":
                raise StoreError(f"Version {version_id!r} was accepted before; roll back instead of refusing it.")
            _set_status(connection, version_id, "refused")
            self._note(connection, "version.refuse", version_id)

    def current(self) -> Version | None:
        """Returns the version that serves and that the next skill starts from, or None before the first."""
        with self._database.read() as connection:
            name = _current_id(connection)
            return (
                None if name is None else _version(_existing(connection, name), mean_scores(connection).get(name, {}))
            )

    def promote(self, version_id: str, *, expect: str | None = _UNCHECKED) -> None:
        """Makes the version current and accepted, in one transaction.

        `expect` is the version that was current when the decision was made (None: there was none). If another one is
        current by now nothing changes and `StoreError` is raised: the candidate was compared with the wrong version.
        """
        with self._database.write() as connection:
            status = _existing(connection, version_id)._mapping["status"]
            if status == "refused":
                raise StoreError(f"Version {version_id!r} was refused by the gate, so it cannot become current.")
            _set_status(connection, version_id, "accepted")
            self._move(connection, version_id, "promote", expect)

    def rollback(self, to: str | None = None, *, expect: str | None = _UNCHECKED) -> Version:
        """Moves `current` back in one transaction and returns the version that it now is.

        Without `to` it is the version from which the current one was promoted; again, and it is the one before.
        """
        with self._database.write() as connection:
            target = to if to is not None else _previous(connection)
            row = _existing(connection, target)
            if row._mapping["status"] != "accepted":
                raise StoreError(f"Version {target!r} was never accepted, so it cannot be rolled back to.")
            self._move(connection, target, "rollback", expect)
            return _version(row, mean_scores(connection).get(target, {}))

    def moves(self) -> list[AliasMove]:
        """Returns every move of `current`, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(tables.alias_moves).order_by(tables.alias_moves.c.id)).all()
        return [AliasMove(row.from_version, row.to_version, row.kind, row.moved_at) for row in rows]

    def _move(
        self, connection: Connection, target: str, kind: Literal["promote", "rollback"], expect: str | None
    ) -> None:
        before = _current_id(connection)
        if expect not in (_UNCHECKED, before):
            raise StoreError(
                f"Version {target!r} was judged against {expect or 'no version'}, but {before or 'none'} is current by "
                "now, so nothing was moved. Evaluate it again against the current version."
            )
        if before == target:
            return
        now = self._now()
        upsert(connection, tables.aliases, {"name": _CURRENT}, {"version": target, "moved_at": now})
        connection.execute(
            tables.alias_moves.insert().values(
                alias=_CURRENT, from_version=before, to_version=target, kind=kind, moved_at=now
            )
        )
        self._note(connection, f"version.{kind}", target, before=before)


def _previous(connection: Connection) -> str:
    """Returns the version that was current when the current one was last promoted."""
    current = _current_id(connection)
    moves = tables.alias_moves
    promoted = (
        select(moves.c.from_version)
        .where(moves.c.to_version == current, moves.c.kind == "promote")
        .order_by(moves.c.id.desc())
        .limit(1)
    )
    before = connection.scalar(promoted)
    if before is None:
        raise StoreError(f"There is no version before {current or 'the first'} to roll back to.")
    return str(before)


def _current_id(connection: Connection) -> str | None:
    return connection.scalar(select(tables.aliases.c.version).where(tables.aliases.c.name == _CURRENT))


def _row(connection: Connection, version_id: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(tables.versions).where(tables.versions.c.id == version_id)).one_or_none()


def _existing(connection: Connection, version_id: str) -> Row[tuple[object, ...]]:
    found = _row(connection, version_id)
    if found is None:
        newest = tables.versions.c.position.desc()
        known = ", ".join(connection.scalars(select(tables.versions.c.id).order_by(newest).limit(8)))
        raise NotFoundError(
            f"There is no version {version_id!r}. Newest first: {known or 'none yet'}.", param="version"
        )
    return found


def _set_status(connection: Connection, version_id: str, status: Literal["accepted", "refused"]) -> None:
    connection.execute(tables.versions.update().where(tables.versions.c.id == version_id).values(status=status))


def _version(row: Row[tuple[object, ...]], scores: Mapping[str, float]) -> Version:
    found = row._mapping
    return Version(
        id=str(found["id"]),
        parent=None if found["parent"] is None else str(found["parent"]),
        base=str(found["base"]),
        weights_hash=str(found["weights_hash"]),
        recipe=from_text(str(found["recipe"])),
        status=cast('Literal["candidate", "accepted", "refused"]', found["status"]),
        skill=str(found["skill"]),
        scores=scores,
    )
