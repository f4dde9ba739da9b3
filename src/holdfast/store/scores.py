"""Per-item results of every version on every skill, the matrix made from them, and the gate's verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from sqlalchemy import Connection, case, func, select

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import tables
from holdfast.store.part import Part, from_text, to_text
from holdfast.store.records import ItemScore, Matrix, StoredScore, VerdictRecord
from holdfast.store.skills import skill_in
from holdfast.types import JSONValue


class ScoreBook(Part):
    """Scores by version, skill and item; verdicts by version."""

    def save_scores(
        self, version: str, skill: str, results: Sequence[ItemScore], *, test_hash: str | None = None
    ) -> None:
        """Stores the results, in place of earlier ones on the same test, in one transaction.

        `test_hash` None means the registered test of the skill; give it for an ability that is not registered.
        """
        if not results:
            raise StoreError(f"There is no result of {version!r} on {skill!r} to store.")
        with self._database.write() as connection:
            found = connection.scalar(select(func.count()).where(tables.versions.c.id == version))
            if not found:
                raise NotFoundError(f"There is no version {version!r} to store scores of.", param="version")
            test = skill_in(connection, skill).test_hash if test_hash is None else test_hash
            table = tables.scores
            connection.execute(
                table.delete().where(table.c.version == version, table.c.skill == skill, table.c.test_hash == test)
            )
            rows = [_row(version, skill, test, position, result) for position, result in enumerate(results)]
            connection.execute(table.insert(), rows)

    def scores(self, version: str, skill: str, *, test_hash: str | None = None) -> list[StoredScore]:
        """Returns the version's results on the skill's test in the test's order; empty if it was not measured."""
        table = tables.scores
        with self._database.read() as connection:
            test = skill_in(connection, skill).test_hash if test_hash is None else test_hash
            wanted = select(table).where(table.c.version == version, table.c.skill == skill, table.c.test_hash == test)
            rows = connection.execute(wanted.order_by(table.c.position)).all()
        return [
            StoredScore(row.item_id, row.value, bool(row.passed), row.completion, row.explanation, row.error_type)
            for row in rows
        ]

    def matrix(self) -> Matrix:
        """Returns R over all measured versions and all skills: registered ones as added, then other abilities."""
        with self._database.read() as connection:
            cells = _cells(connection)
            registered = list(connection.scalars(select(tables.skills.c.name).order_by(tables.skills.c.position)))
            order = list(connection.scalars(select(tables.versions.c.id).order_by(tables.versions.c.position)))
        measured = {version for version, _ in cells}
        versions = tuple(version for version in order if version in measured)
        skills = (*registered, *sorted({skill for _, skill in cells} - set(registered)))
        empty = (None, 0)
        values = tuple(tuple(cells.get((version, skill), empty)[0] for skill in skills) for version in versions)
        items = tuple(tuple(cells.get((version, skill), empty)[1] for skill in skills) for version in versions)
        return Matrix(versions, skills, values, items)

    def save_verdict(
        self,
        version: str,
        decision: Literal["accept", "reject", "inconclusive"],
        details: Mapping[str, JSONValue],
        *,
        against: str | None = None,
    ) -> None:
        """Stores what the gate decided about the version, compared with `against`."""
        with self._database.write() as connection:
            connection.execute(
                tables.verdicts.insert().values(
                    version=version,
                    against=against,
                    decision=decision,
                    details=to_text(details),
                    decided_at=self._now(),
                )
            )

    def verdicts(self, version: str) -> list[VerdictRecord]:
        """Returns the gate's decisions about the version, oldest first."""
        table = tables.verdicts
        with self._database.read() as connection:
            rows = connection.execute(select(table).where(table.c.version == version).order_by(table.c.id)).all()
        return [
            VerdictRecord(row.version, row.against, row.decision, from_text(row.details), row.decided_at)
            for row in rows
        ]


def mean_scores(connection: Connection) -> dict[str, dict[str, float]]:
    """Returns {version: {skill: mean value of its graded items}} on the skills' present tests."""
    means: dict[str, dict[str, float]] = {}
    for (version, skill), (value, _) in _cells(connection).items():
        if value is not None:
            means.setdefault(version, {})[skill] = value
    return means


def _cells(connection: Connection) -> dict[tuple[str, str], tuple[float | None, int]]:
    """Returns (mean, graded items) by version and skill, each skill on one test: the registered or the newest."""
    table = tables.scores
    graded = table.c.error_type.is_(None)
    wanted = (
        select(
            table.c.version,
            table.c.skill,
            table.c.test_hash,
            func.avg(case((graded, table.c.value))).label("mean"),
            func.sum(case((graded, 1), else_=0)).label("items"),
        )
        .join(tables.versions, tables.versions.c.id == table.c.version)
        .group_by(table.c.version, table.c.skill, table.c.test_hash, tables.versions.c.position)
        .order_by(tables.versions.c.position, table.c.skill, table.c.test_hash)
    )
    rows = connection.execute(wanted).all()
    tests = {row.skill: row.test_hash for row in rows}
    tests |= {row.name: row.test_hash for row in connection.execute(select(tables.skills))}
    return {(row.version, row.skill): (row.mean, int(row.items)) for row in rows if row.test_hash == tests[row.skill]}


def _row(version: str, skill: str, test: str, position: int, result: ItemScore) -> dict[str, object]:
    return {
        "version": version,
        "skill": skill,
        "test_hash": test,
        "position": position,
        "item_id": result.item_id,
        "value": result.value,
        "passed": int(result.passed),
        "completion": result.completion,
        "explanation": result.explanation,
        "error_type": result.error_type,
    }
