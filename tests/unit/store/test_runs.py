"""Runs keep their state, steps and events."""

import pytest

from holdfast.errors import NotFoundError, StoreError
from holdfast.store.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, database):
    with Workspace.create(tmp_path, database=database) as made:
        yield made


def start(workspace, key="k"):
    return workspace.start_run(kind="learn", skill="add", recipe={"seed": 0}, key=key).id


def test_a_run_is_started_updated_and_finished(workspace):
    run_id = start(workspace)
    assert workspace.run(run_id).state == "started"
    workspace.update_run(run_id, state="training", details={"reminders": "abc"})
    workspace.update_run(run_id, details={"version": "v2"})
    run = workspace.finish_run(run_id, "succeeded")
    assert (run.state, run.details, run.recipe) == ("succeeded", {"reminders": "abc", "version": "v2"}, {"seed": 0})
    assert run.finished_at is not None
    assert workspace.runs() == [run]


def test_a_finished_run_does_not_change_any_more(workspace):
    run_id = start(workspace)
    workspace.finish_run(run_id, "failed", error="the loss is not a number")
    assert workspace.run(run_id).error == "the loss is not a number"
    for call in (lambda: workspace.update_run(run_id, state="x"), lambda: workspace.finish_run(run_id, "succeeded")):
        with pytest.raises(StoreError, match="start a new one"):
            call()


def test_the_newest_unfinished_run_of_the_same_work_is_found_again(workspace):
    first, second, other = start(workspace), start(workspace), start(workspace, key="other")
    assert workspace.unfinished_run("k").id == second
    workspace.finish_run(second, "cancelled")
    assert workspace.unfinished_run("k").id == first
    workspace.finish_run(first, "failed")
    assert workspace.unfinished_run("k") is None
    assert workspace.unfinished_run("other").id == other


def test_a_step_made_again_by_a_resumed_run_replaces_the_first(workspace):
    run_id = start(workspace)
    workspace.record_step(run_id, 1, 0.5, {"kl": 0.25})
    workspace.record_step(run_id, 0, 1.0)
    workspace.record_step(run_id, 1, 0.75, {"kl": 0.125})
    assert [(s.step, s.loss, s.metrics) for s in workspace.steps(run_id)] == [(0, 1.0, {}), (1, 0.75, {"kl": 0.125})]


def test_what_is_no_number_is_not_stored(workspace):
    run_id = start(workspace)
    with pytest.raises(StoreError, match="the loss is nan"):
        workspace.record_step(run_id, 0, float("nan"))
    with pytest.raises(StoreError, match="finite"):
        workspace.record_step(run_id, 0, 1.0, {"kl": float("inf")})
    with pytest.raises(StoreError, match="refused by the database"):
        workspace.record_step("run-9", 0, 1.0)
    assert workspace.steps(run_id) == []


def test_events_come_back_in_order(workspace):
    run_id = start(workspace)
    workspace.add_event(run_id, "reading data")
    workspace.add_event(run_id, "short answers", level="warning", data={"mean": 3})
    assert [(e.level, e.message, e.data) for e in workspace.events(run_id)] == [
        ("info", "reading data", {}),
        ("warning", "short answers", {"mean": 3}),
    ]


def test_an_unknown_run_is_named(workspace):
    for call in (workspace.run, lambda run_id: workspace.add_event(run_id, "x"), workspace.update_run):
        with pytest.raises(NotFoundError, match="run-9"):
            call("run-9")


def test_a_run_has_a_folder_for_its_checkpoints(workspace):
    folder = workspace.run_folder(start(workspace))
    assert folder.is_dir()
    assert folder == workspace.run_folder("run-1")
