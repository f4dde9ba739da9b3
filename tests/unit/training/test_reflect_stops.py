"""When a run of Reflect, Retry, Reward ends before its last step, and what is said of it."""

import pytest
import torch

from holdfast.errors import CollapseError, NothingToLearnError
from holdfast.graders.parametrised import Plain
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.methods.reflect_retry_reward import SAME_WINDOW, ReflectRetryReward
from holdfast.types import Completion, Example, Message, Score

SHORT = ("max_tokens.attempt=5", "max_tokens.reflection=6", "max_tokens.retry=5", "group_size=4")
TASKS = [
    Example(f"task {n}", (Message("user", f"what is {n} + 1?"), Message("assistant", str(n + 1)))) for n in range(8)
]
ALWAYS = Score(1.0, passed=True)
NEVER = Score(0.0, passed=False)


class Teacher:
    """Passes every answer, or none, or those of some tasks, as it is told to at the time."""

    def __init__(self, failing=()):
        self.failing = set(failing)

    def grade(self, completion, example):
        return NEVER if example.id in self.failing else ALWAYS


@pytest.fixture
def make(make_learner):
    """A function of settings and a grading function that gives a learner, the method and its run."""

    def build(grade, *settings, steps=4):
        words = [f"method.{setting}" for setting in (*SHORT, *settings)]
        recipe = Recipe.from_overrides(["method=reflect", f"steps={steps}", "batch.examples=2", *words])
        learner = make_learner()
        method = ReflectRetryReward(recipe.method, learner, TASKS, Plain.of("stub", grade))
        return learner, method, Run(learner, method, TASKS, recipe)

    return build


def test_a_run_whose_tasks_no_longer_fail_ends_well(make):
    teacher = Teacher(failing={task.id for task in TASKS})
    learner, method, run = make(teacher.grade, "attempts.source=online")
    steps = []
    for step in run:
        steps.append(step.index)
        if step.index == 2:
            teacher.failing.clear()
    assert steps == [1, 2]
    assert run.done == 2
    assert run.stopped == "no attempt at any of the 8 tasks failed, so there is nothing left to reflect on"
    state, weights = run.state_dict(), learner.candidate_state()
    learner, method, resumed = make(teacher.grade, "attempts.source=online")
    resumed.load_state_dict(state)
    assert list(resumed) == []
    assert method.stopped == run.stopped
    assert all(torch.equal(tensor, weights[name]) for name, tensor in learner.candidate_state().items())


def test_a_step_goes_on_until_it_finds_a_task_that_fails(make):
    *_, run = make(Teacher(failing={"task 3"}).grade, "attempts.source=online", "refill=0")
    assert [step.num_new for step in run] == [1, 1, 1, 1]


def test_a_round_with_fewer_groups_than_steps_goes_on(make):
    settings = ("attempts.source=online", "steps_per_generation=3", "refill=0")
    *_, run = make(Teacher(failing={"task 3"}).grade, *settings, steps=6)
    assert sum(step.num_new for step in run) == 2
    assert run.done == 6


@pytest.mark.parametrize(
    ("source", "words", "unsaid"),
    [
        (
            "mined",
            r"4 attempts each .*fail rates of 0 to 1.*or sample more attempts \(method\.attempts\.per_task\)",
            "?",
        ),
        ("online", "None of the 8 tasks failed at one attempt each at temperature 1. Give harder tasks", "rate"),
    ],
)
def test_tasks_that_never_fail_are_said_in_the_words_of_the_settings_that_count(make, source, words, unsaid):
    *_, run = make(lambda c, e: ALWAYS, f"attempts.source={source}")
    with pytest.raises(NothingToLearnError, match=words) as caught:
        next(iter(run))
    assert unsaid not in caught.value.message
    assert "graded" not in caught.value.message


@pytest.mark.parametrize("source", ["mined", "online"])
def test_a_grader_that_can_judge_nothing_is_said_instead_of_easy_tasks(make, source):
    def broken(completion, example):
        return Score(0.0, passed=False, explanation="the grader failed: no module named x", error_type="grader_failed")

    *_, run = make(broken, f"attempts.source={source}")
    with pytest.raises(NothingToLearnError, match=r"could not be graded.*: no module named x") as caught:
        next(iter(run))
    assert "harder" not in caught.value.message


def test_one_text_for_everything_is_told_in_steps(make):
    learner, _, run = make(Teacher({task.id for task in TASKS}).grade, "steps_per_generation=2", steps=20)
    generate = learner.generate
    same = Completion("be careful", (40, 41), (-1.0, -1.0), "stop")
    learner.generate = lambda prompts, sampling, **k: (
        [[same] * sampling.num_samples for _ in prompts]
        if sampling.max_new_tokens == 6
        else generate(prompts, sampling, **k)
    )
    with pytest.raises(CollapseError, match=f"for {2 * SAME_WINDOW} steps, 100% of all reflections were one text"):
        list(run)
    assert run.done == 2 * (SAME_WINDOW - 1)
