"""The skills a team taught, in the order they were added."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, cast

from sqlalchemy import Connection, Row, select

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import tables
from holdfast.store.audit import AuditLog
from holdfast.types import Skill

_FIELDS = ("name", "train_hash", "test_hash", "grader", "kind")


class SkillBook(AuditLog):
    """Skills by name."""

    def add_skill(self, skill: Skill, *, replace: bool = False) -> None:
        """Registers the skill; the same skill again is no change.

        Other data under a name that is taken is refused unless `replace` is set. Scores belong to the test they were
        measured on, so replacing a test leaves the skill unmeasured and never mixes two tests.
        """
        with self._database.write() as connection:
            found = _row(connection, skill.name)
            if found is None:
                connection.execute(tables.skills.insert().values(**asdict(skill), created_at=self._now()))
                self._note(connection, "skill.add", skill.name, train=skill.train_hash, test=skill.test_hash)
            elif _skill(found) != skill:
                if not replace:
                    raise StoreError(
                        f"Skill {skill.name!r} is registered with other data, another test or another grader. "
                        "Choose another name, or replace it on purpose.",
                        param="skill",
                    )
                connection.execute(
                    tables.skills.update().where(tables.skills.c.name == skill.name).values(**asdict(skill))
                )
                self._note(connection, "skill.replace", skill.name, train=skill.train_hash, test=skill.test_hash)

    def skill(self, name: str) -> Skill:
        """Returns the skill of that name."""
        with self._database.read() as connection:
            return skill_in(connection, name)

    def skills(self) -> list[Skill]:
        """Returns all skills in the order they were added."""
        with self._database.read() as connection:
            return [_skill(row) for row in connection.execute(select(tables.skills).order_by(tables.skills.c.position))]


def skill_in(connection: Connection, name: str) -> Skill:
    """Returns the skill of that name within a transaction."""
    found = _row(connection, name)
    if found is None:
        known = ", ".join(connection.scalars(select(tables.skills.c.name).order_by(tables.skills.c.position)))
        raise NotFoundError(f"There is no skill {name!r}. Known: {known or 'none yet'}.", param="skill")
    return _skill(found)


def _row(connection: Connection, name: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(select(tables.skills).where(tables.skills.c.name == name)).one_or_none()


def _skill(row: Row[tuple[object, ...]]) -> Skill:
    values = {field: str(row._mapping[field]) for field in _FIELDS}
    kind = cast('Literal["chat", "classify"]', values.pop("kind"))
    return Skill(**values, kind=kind)
