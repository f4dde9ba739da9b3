"""Every item is asked, graded and kept."""

import pytest

from holdfast.errors import DataError, GraderError, ModelError
from holdfast.evaluation.run import evaluate
from holdfast.types import Completion, Example, Message, Score


def item(name, expected):
    return Example(name, (Message("user", name), Message("assistant", expected)))


ITEMS = [item("one", "1"), item("two", "2"), item("three", "3")]


def say(*texts):
    return lambda _items: [Completion(text, (), (), "stop") for text in texts]


def each(grade):
    return lambda answers: [grade(completion, example) for completion, example in answers]


@each
def exact(completion, example):
    if completion.text == "?":
        return Score(0.0, False, "no answer tag", "no_tag")
    right = completion.text == example.demonstration.content
    return Score(float(right), right, "same" if right else "other")


def test_each_item_keeps_its_answer_and_its_judgement_in_order():
    results = evaluate(ITEMS, say("1", "5", "3"), exact)
    assert [(r.item_id, r.value, r.passed, r.completion) for r in results] == [
        ("one", 1.0, True, "1"),
        ("two", 0.0, False, "5"),
        ("three", 1.0, True, "3"),
    ]
    assert results[1].explanation == "other"


def test_an_answer_that_cannot_be_graded_is_marked_and_does_not_stop_the_rest():
    results = evaluate(ITEMS, say("1", "?", "3"), exact)
    assert [r.error_type for r in results] == [None, "no_tag", None]
    assert results[1].explanation == "no answer tag"


def test_a_bug_in_a_grader_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        evaluate(ITEMS, say("1", "2", "3"), each(lambda _c, _e: Score(1 / 0, passed=True)))


def test_a_model_that_answers_too_few_items_is_refused():
    with pytest.raises(ModelError, match="2 of 3"):
        evaluate(ITEMS, say("1", "2"), exact)


def test_a_value_outside_zero_to_one_is_refused():
    with pytest.raises(GraderError, match="one"):
        evaluate(ITEMS, say("1", "2", "3"), each(lambda _c, _e: Score(7.0, passed=True)))


def test_an_empty_test_and_one_with_a_repeated_item_are_refused():
    with pytest.raises(DataError, match="empty"):
        evaluate([], say(), exact)
    with pytest.raises(DataError, match="item one twice"):
        evaluate([ITEMS[0], ITEMS[0]], say("1", "1"), exact)
