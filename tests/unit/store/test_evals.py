"""Runs of evaluations in the store: who holds one, what is stored once, and what a dead holder leaves behind."""

from datetime import UTC, datetime, timedelta

import pytest

from holdfast.errors import InvalidStateError, NotFoundError
from holdfast.store.eval_runs import GivenItem, Outcome
from holdfast.store.workspace import Workspace

PASS = Outcome("pass", {"model": "m"}, [{"name": "same", "passed": True}], {"m": {"prompt_tokens": 3}})
FAIL = Outcome("fail", {"model": "m"}, [{"name": "same", "passed": False}], {"m": {"prompt_tokens": 4}})
ERROR = Outcome("error", {}, [{"name": "same", "passed": False, "error": {"code": "x"}}], {})


class Clock:
    def __init__(self):
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workspace(tmp_path, clock):
    with Workspace.create(tmp_path / "w", clock=clock) as found:
        yield found


@pytest.fixture
def order(workspace):
    """A function that orders a run of so many items."""
    record = workspace.add_eval(name="e", config={}, criteria=[], metadata={})

    def ordered(num=3):
        items = [GivenItem({"number": number}) for number in range(num)]
        return workspace.add_eval_run(record.id, items, name="r", source={}, metadata={}, versions={}, seed=1)

    return ordered


def test_a_run_is_held_by_one_until_its_lease_is_over(workspace, order, clock):
    first, second = order(), order()
    assert workspace.take_eval_run("a", seconds=20).id == first.id
    assert workspace.take_eval_run("b", seconds=20).id == second.id
    assert workspace.take_eval_run("c", seconds=20) is None
    clock.now += timedelta(seconds=15)
    assert workspace.renew_eval_run(first.id, "a", seconds=20)
    clock.now += timedelta(seconds=10)
    assert workspace.take_eval_run("c", seconds=20).id == second.id
    assert not workspace.renew_eval_run(second.id, "b", seconds=20)
    workspace.release_eval_run(first.id, "b")
    assert workspace.take_eval_run("d", seconds=20) is None
    workspace.release_eval_run(first.id, "a")
    assert workspace.take_eval_run("d", seconds=20).id == first.id


def test_a_run_that_was_broken_off_comes_before_those_that_wait(workspace, order, clock):
    first, second = order(), order()
    workspace.take_eval_run("a", seconds=20)
    workspace.take_eval_run("b", seconds=20)
    order()
    clock.now += timedelta(seconds=30)
    assert [workspace.take_eval_run("c", seconds=20).id for _ in range(2)] == [first.id, second.id]


def test_an_item_is_stored_once_by_who_holds_the_run_and_counted_in_the_same_breath(workspace, order):
    run = order()
    workspace.take_eval_run("a", seconds=20)
    items = workspace.waiting_eval_items(run.id, after=-1, limit=10)
    assert [item.number for item in items] == [0, 1, 2]
    assert not workspace.save_eval_item(items[0], "b", PASS)
    assert workspace.save_eval_item(items[0], "a", PASS)
    assert workspace.save_eval_item(items[0], "a", FAIL)  # done already: nothing is changed
    assert workspace.save_eval_item(items[1], "a", FAIL)
    assert workspace.save_eval_item(items[2], "a", ERROR)
    assert workspace.eval_run(run.id).figures == {
        "counts": {"passed": 1, "failed": 1, "errored": 1},
        "usage": {"m": {"prompt_tokens": 7}},
        "criteria": {"same": {"passed": 1, "failed": 1, "errored": 1}},
    }
    assert [item.status for item in workspace.eval_items(run.id, limit=10)] == ["pass", "fail", "error"]
    assert not workspace.waiting_eval_items(run.id, after=-1, limit=10)


def test_a_run_that_is_cancelled_or_gone_takes_no_item_any_more(workspace, order):
    run, other = order(), order()
    workspace.take_eval_run("a", seconds=20)
    workspace.take_eval_run("a", seconds=20)
    item, left = (workspace.waiting_eval_items(each.id, after=-1, limit=1)[0] for each in (run, other))
    workspace.end_eval_run(run.id, "canceled")
    assert not workspace.save_eval_item(item, "a", PASS)
    assert workspace.end_eval_run(run.id, "completed", worker="a") is None
    with pytest.raises(InvalidStateError, match="canceled"):
        workspace.end_eval_run(run.id, "canceled")
    workspace.remove_eval(other.eval_id)
    assert not workspace.save_eval_item(left, "a", PASS)
    assert not workspace.renew_eval_run(other.id, "a", seconds=20)
    with pytest.raises(NotFoundError):
        workspace.eval_run(other.id)
    with pytest.raises(NotFoundError, match="no eval"):
        order()
