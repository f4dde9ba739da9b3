"""Conversations about failed tasks fit the model, or are left out before anything is sampled."""

import json
import re
from types import SimpleNamespace

import pytest

from holdfast.data.example_json import to_json
from holdfast.errors import ConfigError
from holdfast.graders.parametrised import Plain
from holdfast.jobs.admission import Reader, train_problem
from holdfast.jobs.exam import Exam
from holdfast.jobs.folder import RunFolder
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.progress import Silent
from holdfast.jobs.reflection_exam import changes, examine_reflections
from holdfast.jobs.reminders import _registered
from holdfast.training.config import Recipe
from holdfast.training.reflection import Turns
from holdfast.training.reflection_check import check_reflection
from holdfast.types import Completion, Example, Message, Score

SHORT = [f"method.max_tokens.{turn}=6" for turn in ("attempt", "reflection", "retry")]
WORDS = [
    "method=reflect",
    *SHORT,
    "method.group_size=2",
    "method.templates.reflect=why?",
    "method.templates.retry=again",
]


def configured(*settings):
    return Recipe.from_overrides([*WORDS, *settings]).method


def task(name, prompt, answer=None):
    return Example(name, (Message("user", prompt), *([Message("assistant", answer)] if answer else [])), columns={})


def test_the_words_around_a_task_count_where_its_room_is_measured(tokenizer):
    recipe = Recipe.from_overrides([*WORDS, "evaluation.grader=exact"])
    longer = Recipe.from_overrides([*WORDS, "evaluation.grader=exact", "method.templates.task=please do this: {task}"])
    example = task("a", "x" * 20, "y")
    fits = next(n for n in range(40, 400) if train_problem(Reader(tokenizer, n), example, recipe) is None)
    problem = train_problem(Reader(tokenizer, fits), example, longer)
    assert problem is not None
    assert "together they do not fit" in problem
    assert train_problem(Reader(tokenizer, fits + len("please do this: ")), example, longer) is None


def test_what_is_admitted_can_be_tried_to_the_end(make_learner, tokenizer):
    """At the least context that admits the tasks no control is too long either, but gold for a long answer."""
    recipe = Recipe.from_overrides([*WORDS, "evaluation.grader=exact"])
    tasks = [task("long answer", "x" * 20, "z" * 300), task("short answer", "x" * 20, "y"), task("none", "x" * 20)]
    context = next(n for n in range(40, 400) if train_problem(Reader(tokenizer, n), tasks[0], recipe) is None)
    learner = make_learner(context=context)
    learner.generate = strict(learner)
    failing = Plain.of("stub", lambda completion, example: Score(0.0, passed=False, explanation="wrong"))
    report = check_reflection(learner, tasks, failing, recipe.method, which="candidate", seed=1)
    assert report.recovery.total == 3
    assert report.controls["gold"].total == 1


def strict(learner):
    """Generation that refuses what the model cannot read, and says as many plain letters as it may."""
    context = learner.context_length

    def generate(prompts, sampling, **more):
        longest = max(map(len, prompts)) + sampling.max_new_tokens
        assert longest <= context, f"{longest} tokens do not fit {context}"
        ids = tuple(learner.tokenizer("e" * sampling.max_new_tokens)["input_ids"])
        said = Completion("e" * sampling.max_new_tokens, ids, (0.0,) * len(ids), "length")
        return [[said] * sampling.num_samples for _ in prompts]

    return generate


@pytest.fixture
def job(tmp_path):
    """What the two jobs below read of a job, with what is told."""
    told = []
    recipe = Recipe.from_overrides([*WORDS, "evaluation.max_items=3"])
    bar = Silent().bar
    progress = SimpleNamespace(say=told.append, warn=told.append, bar=bar)
    files = SimpleNamespace(path_of=lambda digest: tmp_path / digest)
    return SimpleNamespace(
        told=told, recipe=recipe, folder=RunFolder(tmp_path), stop=StopSwitch(), progress=progress,
        note=lambda text, warning=False: told.append(text), workspace=SimpleNamespace(files=files),
    )  # fmt: skip


def write(path, tasks):
    path.write_text("".join(json.dumps(to_json(one)) + "\n" for one in tasks))


def test_test_items_too_long_for_a_retry_are_left_out_of_the_reflection_exam_and_said(make_learner, job, tmp_path):
    learner = make_learner(context=150)
    learner.generate = strict(learner)
    write(tmp_path / "test", [task(f"task {n}", "x" * (20 if n < 5 else 90), "y") for n in range(7)])
    skill = SimpleNamespace(test_hash="test", grader="exact")
    examine_reflections(job, learner, skill, job.recipe.method)
    assert "2 of 7 test items are left out where reflections are measured" in job.told[0]
    assert "do not fit the 150 tokens" in job.told[0]
    assert changes(job)
    measured = json.loads((tmp_path / "reflection.json").read_text())
    assert measured["before"]["shares"]["first try"]["total"] == 3  # evaluation.max_items


def test_where_no_item_fits_nothing_is_measured_of_reflections(make_learner, job, tmp_path):
    learner = make_learner(context=100)
    write(tmp_path / "test", [task("task", "x" * 90, "y")])
    examine_reflections(job, learner, SimpleNamespace(test_hash="test", grader="exact"), job.recipe.method)
    assert changes(job) == []
    assert len(job.told) == 1


def test_tasks_too_long_for_a_retry_make_no_reminders_of_one(make_learner, job, tmp_path):
    learner = make_learner(context=150)
    learner.generate = strict(learner)
    sizes = {"short": 20, "longer": 120, "too long": 149}
    write(tmp_path / "train", [task(name, "x" * size, "y") for name, size in sizes.items()])
    skill = SimpleNamespace(name="old", train_hash="train", grader="exact")
    exam = Exam(job.recipe.evaluation, job.recipe.method, 1)
    found = _registered(job, learner, skill, exam, job.recipe.rehearsal, 1)
    assert sorted(one.id for one in found) == ["longer", "short", "short reflect", "short retry", "too long"]
    assert "2 tasks are tried" in job.told[0]
    assert "1 more are too long" in job.told[0]


def test_the_task_is_filled_into_every_turn_that_names_it():
    words = ["method=reflect", "method.templates.reflect=You failed at: {task}. Why?"]
    turns = Turns(Recipe.from_overrides(words).method).retry(task("a", "add 1 {task}"), "2", "hm")
    assert [turn.content for turn in turns] == [
        "add 1 {task}", "2", "You failed at: add 1 {task}. Why?", "hm", "Now try the task again: add 1 {task}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("template", "known"),
    [
        ("task={task} {attempt}", "{attempt} of task; there is {task}"),
        ("reflect=why {prompt}?", "{prompt} of reflect; there is {task}"),
        ("retry=again: {tasks}", "{tasks} of retry; there is {task}"),
        ("gold={answer} to {task}", "{task} of gold; there is {answer} and {attempt}"),
    ],
)
def test_a_placeholder_that_nothing_is_filled_into_is_refused(template, known):
    with pytest.raises(ConfigError, match=re.escape(f"nothing is filled in for {known}")):
        Recipe.from_overrides(["method=reflect", f"method.templates.{template}"])


def test_braces_that_are_no_placeholder_stay():
    words = 'task={task} Answer as \\boxed{answer} or {"answer": {}}.'
    found = Recipe.from_overrides(["method=reflect", f"method.templates.{words}"]).method
    (turn,) = Turns(found).task(task("a", "1 + 1?"))
    assert turn.content == '1 + 1? Answer as \\boxed{answer} or {"answer": {}}.'
