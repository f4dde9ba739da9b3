"""The same order is never worked on twice: under way it is taken up, decided it is returned."""

import pytest

from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.order import Order, decided_run, open_job
from holdfast.jobs.progress import Silent
from holdfast.jobs.workspace import add_base
from holdfast.store.workspace import Workspace
from holdfast.training.config import Recipe
from holdfast.types import Version

ORDER = Order("refunds", "data", Recipe())


@pytest.fixture
def workspace(tmp_path):
    with Workspace.create(tmp_path / "home") as made:
        add_base(made, "holdfast:tiny")
        yield made


def opened(workspace, order=ORDER, **more):
    return open_job(workspace, order, progress=Silent(), stop=StopSwitch(), resume=more.get("resume", True))


def promoted(workspace, parent="v1"):
    version = workspace.add_version(Version("", parent, "holdfast:tiny", "", {}, "candidate", skill="refunds"))
    workspace.promote(version.id, expect=parent)
    return version


def test_the_key_depends_on_skill_data_and_recipe_and_on_nothing_else():
    assert Order("refunds", "data", Recipe()).key == ORDER.key
    others = [Order("x", "data", Recipe()), Order("refunds", "x", Recipe()), Order("refunds", "data", Recipe(seed=1))]
    assert len({ORDER.key, *(other.key for other in others)}) == 4


def test_an_unfinished_run_is_taken_up_where_it_is(workspace):
    first = opened(workspace)
    first.mark("preparing")
    second = opened(workspace)
    assert second.run_id == first.run_id
    assert "was cut off while it was preparing" in second.progress.said[0]


def test_a_failed_run_is_taken_up_too(workspace):
    opened(workspace).mark("failed")
    again = opened(workspace)
    assert (again.run_id, again.stage) == ("run-1", "validating_files")


def test_a_new_start_leaves_the_old_run_cancelled(workspace):
    opened(workspace)
    assert opened(workspace, resume=False).run_id == "run-2"
    assert workspace.run("run-1").state == "cancelled"


def test_a_run_whose_starting_version_is_no_longer_current_is_not_taken_up(workspace):
    opened(workspace)
    promoted(workspace)
    job = opened(workspace)
    assert (job.run_id, job.parent.id) == ("run-2", "v2")


def test_a_run_that_died_after_its_promotion_is_taken_up_with_its_old_parent(workspace):
    job = opened(workspace)
    version = promoted(workspace)
    workspace.update_run(job.run_id, details={"version": version.id})
    again = opened(workspace)
    assert (again.run_id, again.parent.id) == ("run-1", "v1")


def test_a_success_holds_while_its_version_is_in_the_current_line(workspace):
    job = opened(workspace)
    version = promoted(workspace)
    workspace.update_run(job.run_id, details={"version": version.id})
    workspace.finish_run(job.run_id, "succeeded")
    assert decided_run(workspace, ORDER).id == job.run_id
    promoted(workspace, parent="v2")
    assert decided_run(workspace, ORDER).id == job.run_id
    workspace.rollback("v1")
    assert decided_run(workspace, ORDER) is None


def test_a_refusal_holds_while_the_version_it_was_compared_with_is_current(workspace):
    job = opened(workspace)
    workspace.finish_run(job.run_id, "refused")
    assert decided_run(workspace, ORDER).id == job.run_id
    promoted(workspace)
    assert decided_run(workspace, ORDER) is None
