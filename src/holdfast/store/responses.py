"""Responses that were kept: what was asked, what was answered, and which response it goes on from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Row, select

from holdfast.errors import NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response as it was given; `input` holds the items of its own request, without those before."""

    id: str
    model: str
    previous: str | None
    metadata: Mapping[str, JSONValue]
    input: Sequence[Mapping[str, JSONValue]]
    response: Mapping[str, JSONValue]
    created_at: str


class ResponseShelf(AuditLog):
    """Responses by id."""

    def store_response(self, response: Mapping[str, JSONValue], given: Sequence[Mapping[str, JSONValue]]) -> None:
        """Keeps a response under its own id, with the items that were asked."""
        previous = response.get("previous_response_id")
        with self._database.write() as connection:
            connection.execute(
                tables.responses.insert().values(
                    id=str(response["id"]), model=str(response["model"]),
                    previous=None if previous is None else str(previous),
                    metadata=json.dumps(response.get("metadata") or {}), input=json.dumps(given),
                    response=json.dumps(response), created_at=self._now(),
                )
            )  # fmt: skip

    def response(self, name: str) -> StoredResponse:
        """Returns a response that was kept."""
        table = tables.responses
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.id == name)).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no response {name!r}.", param="response_id")
        return _response(row)

    def responses(self) -> list[StoredResponse]:
        """Returns all responses that were kept, newest first."""
        table = tables.responses
        with self._database.read() as connection:
            return [_response(row) for row in connection.execute(select(table).order_by(table.c.position.desc())).all()]

    def forget_response(self, name: str) -> None:
        """Deletes a response."""
        self.response(name)
        table = tables.responses
        with self._database.write() as connection:
            connection.execute(table.delete().where(table.c.id == name))
            self._note(connection, "response.delete", name)


def _response(row: Row[tuple[object, ...]]) -> StoredResponse:
    values = cast("dict[str, object]", dict(row._mapping))
    values.pop("position")
    for name in ("metadata", "input", "response"):
        values[name] = json.loads(str(values[name]))
    return StoredResponse(**values)  # pyright: ignore[reportArgumentType]
