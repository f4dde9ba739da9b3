"""Other data that new data is compared with: the tests of earlier skills and their training data."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from holdfast.data.example_json import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from holdfast.store.workspace import Workspace
    from holdfast.types import Example


def earlier_tests(workspace: Workspace | None, skill: str) -> dict[str, Callable[[], Iterable[Example]]]:
    """Returns the test of every other skill of the workspace, by what to call it."""
    return _stored(workspace, skill, "test_hash", "the test of {}")


def earlier_training(workspace: Workspace | None, skill: str) -> dict[str, Callable[[], Iterable[Example]]]:
    """Returns the training data of every other skill that a version learned which was accepted, by the skill's name.

    What only a refused version saw, no served one has seen.
    """
    found = _stored(workspace, skill, "train_hash", "{}")
    if workspace is None:
        return found
    learned = {version.skill for version in workspace.versions() if version.status == "accepted"}
    return {name: read for name, read in found.items() if name in learned}


def _stored(
    workspace: Workspace | None, skill: str, which: str, title: str
) -> dict[str, Callable[[], Iterable[Example]]]:
    if workspace is None:
        return {}
    hashes = {other.name: str(getattr(other, which)) for other in workspace.skills() if other.name != skill}
    return {
        title.format(name): partial(_items_of, workspace, found)
        for name, found in hashes.items()
        if workspace.files.has(found)
    }


def _items_of(workspace: Workspace, content: str) -> Iterator[Example]:
    with workspace.files.path_of(content).open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield from_json(json.loads(line))
