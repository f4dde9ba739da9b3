"""Answers that a client asked to be kept: with the conversation, and the words by which they are found again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Row, select

from holdfast.errors import NotFoundError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.store.part import from_text, to_text
from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One answer as it was given; `messages` is what was asked."""

    id: str
    model: str
    version: str
    metadata: Mapping[str, JSONValue]
    messages: Sequence[Mapping[str, JSONValue]]
    answer: Mapping[str, JSONValue]
    created_at: str


class AnswerShelf(AuditLog):
    """Stored answers by id."""

    def store_answer(
        self,
        answer: Mapping[str, JSONValue],
        *,
        version: str,
        messages: Sequence[Mapping[str, JSONValue]],
        metadata: Mapping[str, JSONValue],
    ) -> None:
        """Keeps an answer under its own id."""
        with self._database.write() as connection:
            connection.execute(
                tables.stored_completions.insert().values(
                    id=str(answer["id"]), model=str(answer["model"]), version=version, metadata=to_text(metadata),
                    messages=json.dumps(messages), answer=to_text(answer), created_at=self._now(),
                )
            )  # fmt: skip

    def stored_answer(self, name: str) -> StoredAnswer:
        """Returns a stored answer."""
        table = tables.stored_completions
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.id == name)).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no stored completion {name!r}.", param="completion_id")
        return _answer(row)

    def stored_answers(self) -> list[StoredAnswer]:
        """Returns all stored answers, newest first."""
        table = tables.stored_completions
        with self._database.read() as connection:
            return [_answer(row) for row in connection.execute(select(table).order_by(table.c.position.desc())).all()]

    def describe_answer(self, name: str, metadata: Mapping[str, JSONValue]) -> StoredAnswer:
        """Gives a stored answer other metadata."""
        self.stored_answer(name)
        table = tables.stored_completions
        with self._database.write() as connection:
            connection.execute(table.update().where(table.c.id == name).values(metadata=to_text(metadata)))
        return self.stored_answer(name)

    def forget_answer(self, name: str) -> None:
        """Deletes a stored answer."""
        self.stored_answer(name)
        table = tables.stored_completions
        with self._database.write() as connection:
            connection.execute(table.delete().where(table.c.id == name))
            self._note(connection, "answer.delete", name)


def _answer(row: Row[tuple[object, ...]]) -> StoredAnswer:
    found = row._mapping
    return StoredAnswer(
        id=str(found["id"]),
        model=str(found["model"]),
        version=str(found["version"]),
        metadata=from_text(str(found["metadata"])),
        messages=cast("list[dict[str, JSONValue]]", json.loads(str(found["messages"]))),
        answer=from_text(str(found["answer"])),
        created_at=str(found["created_at"]),
    )
