"""What new data is compared with: the tests of all other skills, and what accepted versions learned."""

from holdfast.jobs.compared import earlier_tests, earlier_training
from holdfast.store.workspace import Workspace
from holdfast.types import Skill, Version


def test_a_skill_that_only_a_refused_version_saw_was_not_trained_on(tmp_path):
    with Workspace.create(tmp_path / "w") as workspace:
        train = workspace.files.put_bytes(b"")
        base = workspace.add_version(Version("", None, "holdfast:tiny", "", {}, "candidate"))
        workspace.promote(base.id)
        for name in ("kept", "refused"):
            workspace.add_skill(Skill(name, train, train, "exact"))
            made = workspace.add_version(Version("", base.id, "holdfast:tiny", "", {}, "candidate", skill=name))
            (workspace.promote if name == "kept" else workspace.refuse)(made.id)
        assert set(earlier_training(workspace, "new")) == {"kept"}
        assert set(earlier_tests(workspace, "new")) == {"the test of kept", "the test of refused"}
