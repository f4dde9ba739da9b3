"""What a workspace knows, for people and programs: the accuracy matrix and the tree of versions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from holdfast.evaluation.forgetting import average_accuracy, backward_transfer, forgetting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue, Version


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One version's accuracy on every skill it was measured on."""

    version: str
    skill: str
    status: str
    current: bool
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Matrix:
    """R[version, skill], and what it says in words."""

    skills: list[str]
    num_items: Mapping[str, int]
    rows: list[MatrixRow]
    average_accuracy: float | None
    backward_transfer: float | None
    forgetting: float | None
    words: list[str]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the matrix as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Node:
    """One version in the tree."""

    id: str
    parent: str | None
    base: str
    skill: str
    status: str
    current: bool
    scores: Mapping[str, float]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the version as JSON."""
        return asdict(self)


def version_tree(workspace: Workspace) -> list[Node]:
    """Returns every version, parents before children."""
    current = workspace.current()
    now = current.id if current is not None else None
    return [Node(v.id, v.parent, v.base, v.skill, v.status, v.id == now, dict(v.scores)) for v in workspace.versions()]


def lineage(workspace: Workspace, version: Version) -> list[Version]:
    """Returns the versions from the base down to `version`."""
    path = [version]
    while path[-1].parent is not None:
        path.append(workspace.version(path[-1].parent))
    return path[::-1]


def skill_matrix(workspace: Workspace) -> Matrix:
    """Returns the accuracy of every version on every skill, and what the current line forgot."""
    found = workspace.matrix()
    skills = list(found.skills)
    num_items = {name: max((row[j] for row in found.items), default=0) for j, name in enumerate(skills)}
    nodes = version_tree(workspace)
    rows = [MatrixRow(node.id, node.skill, node.status, node.current, node.scores) for node in nodes]
    current = workspace.current()
    line = lineage(workspace, current) if current is not None else []
    table = [[version.scores.get(name) for name in skills] for version in line]
    if not table or all(value is None for value in table[-1]):
        return Matrix(skills, num_items, rows, None, None, None, [])
    learned = [next((i for i, version in enumerate(line) if version.skill == name), None) for name in skills]
    average, transfer, lost = average_accuracy(table), backward_transfer(table, learned), forgetting(table, learned)
    words = [f"Average accuracy of the current version: {average:.1%}."]
    if len(line) > 2:
        words.append(f"Backward transfer {100 * transfer:+.1f} points, forgetting {100 * lost:.1f} points.")
    return Matrix(skills, num_items, rows, average, transfer, lost, words)
