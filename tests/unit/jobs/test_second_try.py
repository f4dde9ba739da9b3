"""Second tries: what a retry changes of a result, and what is told of first try and recovery."""

from types import SimpleNamespace

import pytest

from holdfast.evaluation.run import ItemResult
from holdfast.jobs.evaluate import _tries
from holdfast.jobs.progress import Silent
from holdfast.jobs.second_try import recovery, second_tries
from holdfast.training.config import ReflectConfig
from holdfast.training.reflection import Tried
from holdfast.types import Completion, Example, Message, Score

SCORES = {
    "recovers": Score(1.0, passed=True, explanation="right"),
    "fails again": Score(0.0, passed=False, explanation="wrong"),
    "breaks": Score(0.0, passed=False, explanation="no answer of the judge", error_type="grader_failed"),
}


def said(text):
    return Completion(text, (), (), "stop")


@pytest.fixture
def results(monkeypatch):
    """Results of four items of which three failed, after these were tried again."""

    def retry(talk, tasks, grader, **more):
        return [[Tried(said("I forgot"), said("again"), SCORES[example.id])] for example, _ in tasks]

    monkeypatch.setattr("holdfast.training.reflection.reflect_and_retry", retry)
    monkeypatch.setattr("holdfast.training.reflection.render_prompt", lambda tokenizer, turns, tools: [1])
    items = [Example(name, (Message("user", "?"),)) for name in ("passes", *SCORES)]
    first = {item.id: ItemResult(item.id, 0.0, item.id == "passes", "first", "not equal") for item in items}
    learner = SimpleNamespace(tokenizer=None, context_length=10_000)
    return first | second_tries(learner, "current", items, first, None, ReflectConfig(), 0, progress=Silent())


def test_a_retry_that_cannot_be_graded_leaves_the_failure_as_it_was(results):
    assert results["breaks"] == ItemResult("breaks", 0.0, passed=False, completion="first", explanation="not equal")
    assert results["fails again"].completion == "again"
    assert results["recovers"].passed


def test_first_try_and_recovery_are_told_apart(results):
    found = list(results.values())
    assert recovery(found) == (1, 1, 3)
    assert _tries(found) == "first try 1 of 4, recovered 1 of 3"
    ungraded = ItemResult("x", 0.0, passed=False, completion="", error_type="grader_failed")
    assert recovery([ungraded]) == (0, 0, 0)
