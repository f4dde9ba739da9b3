"""What a retry gains by its own reflection and by every control, measured on failed tasks."""

import hashlib

import pytest
import torch

from holdfast.graders.parametrised import Plain
from holdfast.training.config import Recipe
from holdfast.training.reflection_check import check_reflection, doubts, words
from holdfast.types import Example, Message, Score

CONFIG = Recipe.from_overrides(
    [
        "method=reflect",
        "method.group_size=3",
        *(f"method.max_tokens.{turn}=6" for turn in ("attempt", "reflection", "retry")),
    ]
).method
TASKS = [
    Example(f"task {n}", (Message("user", f"what is {n}?"), *([Message("assistant", "e")] if n % 2 else [])))
    for n in range(12)
]


def number(completion, example):
    return hashlib.sha256(f"{example.id} {completion.text}".encode()).digest()[0]


def coin(completion, example):
    """A third of all texts pass, and which do is settled for ever."""
    passed = number(completion, example) % 3 == 0
    return Score(float(passed), passed, f"kind {number(completion, example) % 2}: by a coin")


def broken(completion, example):
    """Some texts cannot be graded."""
    if number(completion, example) % 5 == 1:
        return Score(0.0, passed=False, explanation="broken: by a coin", error_type="grader_error")
    return coin(completion, example)


def check(make_learner, grade, tasks=TASKS):
    return check_reflection(make_learner(), tasks, Plain.of("stub", grade), CONFIG, which="candidate", seed=3)


def test_gains_are_the_recovery_less_each_control_on_the_same_tasks(make_learner):
    report = check(make_learner, coin)
    assert set(report.gains) == {"bare", "blind", "generic", "donor"}
    for name, differences in report.gains.items():
        assert len(differences) == report.recovery.total
        assert sum(differences) / len(differences) == pytest.approx(report.recovery.share - report.controls[name].share)
    best = max(count.share for name, count in report.controls.items() if name != "gold")
    assert report.gain == pytest.approx(report.recovery.share - best)


def test_each_failed_task_has_one_mean_and_only_those_with_an_answer_can_give_it_away(make_learner):
    report = check(make_learner, coin)
    assert len(report.lengths) == len(report.ended) == report.recovery.total
    assert all(0 < length <= 6 for length in report.lengths)
    assert report.length == pytest.approx(sum(report.lengths) / len(report.lengths))
    assert len(report.leaks) == report.controls["gold"].total < report.recovery.total
    assert all(share in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0) for share in report.leaks)


def test_what_cannot_be_graded_is_no_mistake_and_in_no_gain(make_learner):
    report = check(make_learner, broken)
    assert report.not_graded
    assert sum(report.reasons.values()) == report.first.total - report.first.passed
    assert sum(report.reasons_after.values()) == report.recovery.total - report.recovery.passed
    assert set(report.reasons) | set(report.reasons_after) <= {"kind 0", "kind 1"}
    assert all(len(differences) <= report.recovery.total for differences in report.gains.values())


def test_a_grader_that_can_judge_nothing_is_named_instead_of_easy_tasks(make_learner):
    def none(completion, example):
        return Score(0.0, passed=False, explanation="no module x", error_type="grader_failed")

    report = check(make_learner, none)
    (doubt,) = doubts(report)
    assert doubt.startswith("whether any task fails is not known, for 12 of 12 answers could not be graded")
    assert doubt.endswith("no module x")
    assert words(report)[-1].startswith("12 of 12 answers could not be graded")

    def only_at_first(completion, example):
        return none(completion, example) if seen.pop() else Score(0.0, passed=False)

    seen = [True] * 500 + [False] * 12
    report = check(make_learner, only_at_first)
    assert "no retry could be graded" in doubts(report)[0]
    assert not any("could not be graded" in text for text in words(check(make_learner, coin)))
    assert "no task fails" in doubts(check(make_learner, lambda completion, example: Score(1.0, passed=True)))[0]


def test_where_nothing_fails_there_is_nothing_to_gain(make_learner):
    report = check(make_learner, lambda completion, example: Score(1.0, passed=True))
    assert report.gain == report.length == 0.0
    assert report.gains == report.controls == {}


def test_two_versions_can_be_asked_about_the_same_failures(make_learner):
    learner = make_learner()
    with torch.no_grad():
        for _, parameter in learner.trainable():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    grade = Plain.of("stub", coin)
    before, own, same = (
        check_reflection(learner, TASKS, grade, CONFIG, which=which, attempts_by=attempts_by, seed=3)
        for which, attempts_by in (("current", None), ("candidate", None), ("candidate", "current"))
    )
    assert same.first == before.first != own.first
    assert same.reasons == before.reasons
    assert same.recovery.total == before.recovery.total
    assert (same.recovery, same.reasons_after) != (before.recovery, before.reasons_after)
