"""The file of mined failures: there as soon as they are, and never smaller than it was."""

import json
from types import SimpleNamespace

import pytest

from holdfast.jobs.failures import FailureFile
from holdfast.jobs.folder import RunFolder
from holdfast.training.config import Recipe
from holdfast.training.reflection import Failure


def failure(number, step=0):
    return Failure(f"task {number}", "I said:\n\u2028\x85 «no»", "not equal", 0.5, step)


@pytest.fixture
def job(tmp_path):
    recipe = Recipe.from_overrides(["method=reflect", "seed=7", "evaluation.grader=exact"])
    return SimpleNamespace(folder=RunFolder(tmp_path), parent=SimpleNamespace(id="v3"), recipe=recipe)


@pytest.fixture
def rows(tmp_path):
    """What the file holds: for each row the training, the step and the task."""

    def read():
        lines = (tmp_path / "attempts.jsonl").read_text(encoding="utf-8").split("\n")
        assert lines.pop() == ""
        return [(row["training"], row["step"], row["example_id"]) for row in map(json.loads, lines)]

    return read


def test_what_was_mined_is_written_at_the_next_look_and_only_then(job, rows, tmp_path):
    method = SimpleNamespace(failures=[])
    file = FailureFile(job, method, 0)
    file.keep()
    assert list(tmp_path.iterdir()) == []
    method.failures += [failure(1), failure(2)]
    file.keep()
    assert rows() == [(0, 0, "task 1"), (0, 0, "task 2")]
    before = (tmp_path / "attempts.jsonl").stat()
    file.keep()
    assert (tmp_path / "attempts.jsonl").stat() == before
    method.failures.append(failure(1, step=5))
    file.keep()
    assert rows() == [(0, 0, "task 1"), (0, 0, "task 2"), (0, 5, "task 1")]


def test_every_row_says_where_it_comes_from(job, tmp_path):
    FailureFile(job, SimpleNamespace(failures=[failure(1)]), 2).keep()
    (line,) = (tmp_path / "attempts.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    row = json.loads(line)
    assert Failure(**{key: row.pop(key) for key in ("example_id", "attempt", "explanation", "fail_rate", "step")}) == (
        failure(1)
    )
    assert row == {"training": 2, "version": "v3", "grader": "exact", "temperature": 1.0, "seed": 7}


def test_what_a_resumed_training_will_mine_again_stays_until_it_does(job, rows):
    FailureFile(job, SimpleNamespace(failures=[failure(1), failure(2), failure(3, step=5)]), 0).keep()
    whole = rows()
    method = SimpleNamespace(failures=[failure(1), failure(2)])
    resumed = FailureFile(job, method, 0)
    resumed.keep()
    assert rows() == whole
    method.failures.append(failure(3, step=5))
    resumed.keep()
    assert rows() == whole


def test_where_the_resumed_training_mined_something_else_the_file_says_what_was_learned_from(job, rows):
    FailureFile(job, SimpleNamespace(failures=[failure(1), failure(2, step=5), failure(3, step=5)]), 0).keep()
    FailureFile(job, SimpleNamespace(failures=[failure(1), failure(4, step=5)]), 0).keep()
    assert rows() == [(0, 0, "task 1"), (0, 5, "task 4")]


def test_a_remedy_s_training_leaves_the_rows_of_the_one_before(job, rows):
    FailureFile(job, SimpleNamespace(failures=[failure(1), failure(2)]), 0).keep()
    for _ in range(2):
        FailureFile(job, SimpleNamespace(failures=[failure(1)]), 3).keep()
        assert rows() == [(0, 0, "task 1"), (0, 0, "task 2"), (3, 0, "task 1")]


def test_a_method_that_mines_nothing_leaves_no_file(job, tmp_path):
    FailureFile(job, SimpleNamespace(), 0).keep()
    assert list(tmp_path.iterdir()) == []
