"""What the store hands out: plain records of what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from holdfast.types import JSONValue


class ItemScore(Protocol):
    """One item's result as an evaluation made it."""

    @property
    def item_id(self) -> str:
        """The item's content hash."""
        ...

    @property
    def value(self) -> float:
        """The grade in [0, 1]."""
        ...

    @property
    def passed(self) -> bool:
        """Whether the answer counts as right."""
        ...

    @property
    def completion(self) -> str:
        """The answer's text."""
        ...

    @property
    def explanation(self) -> str:
        """Why the grader gave this value."""
        ...

    @property
    def error_type(self) -> str | None:
        """Why the answer could not be graded, or None."""
        ...


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One item's result as it was stored."""

    item_id: str
    value: float
    passed: bool
    completion: str
    explanation: str
    error_type: str | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """R: mean value of the graded items, one row a version and one column a skill; None where not measured."""

    versions: tuple[str, ...]
    skills: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    items: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One order of work: where it stands and what its finished stages produced. `finished_at` None: not finished."""

    id: str
    key: str
    kind: str
    skill: str
    state: str
    recipe: Mapping[str, JSONValue]
    details: Mapping[str, JSONValue]
    error: str | None
    created_at: str
    updated_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step as it was recorded."""

    step: int
    loss: float
    metrics: Mapping[str, float]
    recorded_at: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that a run has to say."""

    level: Literal["info", "warning", "error"]
    message: str
    data: Mapping[str, JSONValue]
    at: str


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One decision of the gate about `version`, compared with `against`."""

    version: str
    against: str | None
    decision: Literal["accept", "reject", "inconclusive"]
    details: Mapping[str, JSONValue]
    decided_at: str


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of `current`."""

    from_version: str | None
    to_version: str
    kind: Literal["promote", "rollback"]
    moved_at: str
