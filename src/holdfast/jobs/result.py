"""What came out of an order to learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.jobs.overview import Matrix
    from holdfast.types import JSONValue, Version


@dataclass(frozen=True, slots=True)
class LearnResult:
    """The version that was made, whether it is current now, the gate's verdict, and the report.

    `words` says in sentences what was learned and what was kept. `attempts` lists every candidate with how it
    was made, its scores and the gate's decision. `data` counts the rows: used, rejected by kind, and where those are
    kept. `reflection` has what a run of reflect changed on held-out tasks. `already` is True when nothing had to be
    done.
    """

    status: Literal["accepted", "refused"]
    skill: str
    version: Version
    parent: Version
    run_id: str
    verdict: Mapping[str, JSONValue]
    attempts: list[Mapping[str, JSONValue]]
    words: list[str]
    matrix: Matrix
    report_path: Path
    data: Mapping[str, JSONValue]
    reflection: Mapping[str, JSONValue] | None = None
    already: bool = False

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the result as JSON."""
        return {
            "status": self.status,
            "skill": self.skill,
            "version": self.version.id,
            "parent": self.parent.id,
            "run": self.run_id,
            "scores": dict(self.version.scores),
            "scores_before": dict(self.parent.scores),
            "verdict": dict(self.verdict),
            "attempts": cast("JSONValue", self.attempts),
            "words": list(self.words),
            "matrix": self.matrix.to_json(),
            "report": str(self.report_path),
            "data": dict(self.data),
            "reflection": None if self.reflection is None else dict(self.reflection),
            "already": self.already,
        }
