"""The matrix and the tree that people and programs see."""

import pytest

from holdfast.errors import StoreError
from holdfast.evaluation.run import ItemResult
from holdfast.jobs.overview import skill_matrix, version_tree
from holdfast.jobs.workspace import add_base, roll_back
from holdfast.store.workspace import Workspace
from holdfast.types import Skill, Version


@pytest.fixture
def workspace(tmp_path):
    """The bare base and two skills in a row, each of four items; the second stage costs the first skill one."""
    with Workspace.create(tmp_path / "home") as made:
        add_base(made, "holdfast:tiny")
        for name, parent in (("refunds", "v1"), ("tools", "v2")):
            made.add_skill(Skill(name, "t", f"h-{name}", "exact"))
            version = made.add_version(Version("", parent, "holdfast:tiny", "", {}, "candidate", skill=name))
            made.promote(version.id)
        for version, skill, right in (
            ("v2", "refunds", 4),
            ("v3", "refunds", 3),
            ("v2", "tools", 0),
            ("v3", "tools", 4),
        ):
            made.save_scores(version, skill, [ItemResult(str(n), float(n < right), n < right, "") for n in range(4)])
        yield made


def test_the_matrix_holds_every_measured_cell_and_what_was_forgotten(workspace):
    found = skill_matrix(workspace)
    assert found.skills == ["refunds", "tools"]
    assert found.num_items == {"refunds": 4, "tools": 4}
    assert [row.scores for row in found.rows] == [{}, {"refunds": 1.0, "tools": 0.0}, {"refunds": 0.75, "tools": 1.0}]
    assert found.average_accuracy == 0.875
    assert found.backward_transfer == -0.25
    assert found.forgetting == 0.25


def test_the_tree_names_parents_and_the_current_version(workspace):
    assert [(node.id, node.parent, node.current) for node in version_tree(workspace)] == [
        ("v1", None, False),
        ("v2", "v1", False),
        ("v3", "v2", True),
    ]


def test_a_classifier_cannot_be_made_current(workspace):
    candidate = Version("", "v3", "holdfast:tiny", "", {}, "candidate", skill="tweets")
    version = workspace.add_version(candidate, facts={"kind": "classify"})
    workspace.accept(version.id)
    with pytest.raises(StoreError, match="is a classifier"):
        roll_back(workspace, version.id)
    assert workspace.current().id == "v3"


def test_a_rollback_moves_the_mark_and_the_matrix_speaks_of_the_new_line(workspace):
    assert roll_back(workspace, None) == ("v3", "v2")
    assert skill_matrix(workspace).average_accuracy == 0.5
