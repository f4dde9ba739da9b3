import dataclasses

import pytest
import torch

from holdfast.errors import ConfigError, NothingToLearnError, TeacherNotBetterError, TrainingError
from holdfast.models.layout import TokenRow
from holdfast.models.render import render_prompt
from holdfast.training.config import ClassifyConfig, SdftConfig
from holdfast.training.guards import check_alignment, check_teacher, mean_nll, require_better_teacher
from holdfast.training.methods import choose
from holdfast.training.monitors import Monitors
from holdfast.types import Example, Message, Score


def test_a_model_recognises_its_own_greedy_tokens(make_learner, chat_examples):
    learner = make_learner()
    prompts = [render_prompt(learner.tokenizer, example.prompt) for example in chat_examples[:4]]
    assert check_alignment(learner, prompts, max_new_tokens=8) == 1.0


def test_an_off_by_one_between_generation_and_scoring_is_caught(make_learner, chat_examples):
    learner = make_learner()
    forward = learner.hidden
    learner.hidden = lambda rows, which, **k: forward(
        [TokenRow(row.input_ids, [*row.mask[1:], False]) for row in rows], which, **k
    )
    prompts = [render_prompt(learner.tokenizer, example.prompt) for example in chat_examples[:4]]
    with pytest.raises(TrainingError, match="alignment self-test"):
        check_alignment(learner, prompts, max_new_tokens=8)


def test_the_likelihood_is_the_mean_over_rows_of_the_mean_over_tokens(make_learner):
    learner = make_learner()
    rows = [TokenRow([1, 9, 8, 7], [False, False, True, True]), TokenRow([1, 5, 6], [False, False, True])]
    wanted = []
    for row in rows:
        with torch.no_grad():
            logits = learner.hidden([row], "current") @ learner.head("current").weight.T
        picked = [t for t, used in zip(row.input_ids, row.mask, strict=True) if used]
        wanted.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor(picked))))
    assert mean_nll(learner, rows, batch=1) == pytest.approx(sum(wanted) / 2, rel=1e-5)
    assert mean_nll(learner, rows) == pytest.approx(sum(wanted) / 2, rel=1e-5)


def grade_by_prompt(learner, teacher_is_right):
    """A grader that counts an answer as right when the model had read the example (or had not)."""
    seen = []
    inner = learner.generate

    def generate(prompts, sampling, **k):
        seen.append("This is an example" in learner.tokenizer.decode(prompts[0]))
        return inner(prompts, sampling, **k)

    learner.generate = generate
    return lambda answers: [Score(float(seen[-1] is teacher_is_right), passed=True) for _ in answers]


def test_graded_answers_decide_whether_the_teacher_is_better(make_learner, chat_examples):
    learner = make_learner()
    report = check_teacher(learner, chat_examples, grade=grade_by_prompt(learner, True), max_new_tokens=4)
    assert (report.student_score, report.teacher_score, report.better) == (0.0, 1.0, True)
    require_better_teacher(report)
    learner = make_learner()
    worse = check_teacher(learner, chat_examples, grade=grade_by_prompt(learner, False), max_new_tokens=4)
    assert not worse.better
    with pytest.raises(TeacherNotBetterError, match="100% bare, 0% with the context"):
        require_better_teacher(worse)


def test_a_grader_that_sees_no_difference_leaves_the_decision_to_the_likelihood(make_learner, chat_examples):
    learner = make_learner()
    alike = check_teacher(
        learner, chat_examples, grade=lambda answers: [Score(0.5, passed=False)] * len(answers), max_new_tokens=4
    )
    plain = check_teacher(learner, chat_examples)
    assert (alike.student_score, alike.teacher_score) == (0.5, 0.5)
    assert alike.better is plain.better
    assert plain.words.split(" (")[0] in alike.words


def test_a_teacher_whose_answers_never_get_anything_cannot_teach_what_is_tested_in_the_same_form(
    make_learner, chat_examples, monkeypatch
):
    monkeypatch.setattr("holdfast.training.guards._likelihoods", lambda *_: (5.0, 3.0))
    learner = make_learner()
    for alike in (True, False):
        found = check_teacher(
            learner,
            chat_examples,
            grade=lambda answers: [Score(0.0, passed=False)] * len(answers),
            tested_alike=alike,
            max_new_tokens=4,
        )
        assert (found.student_nll, found.teacher_nll) == (5.0, 3.0)
        assert found.better is not alike


def test_without_a_grader_the_demonstrations_likelihood_decides(make_learner, chat_examples):
    report = check_teacher(make_learner(), chat_examples, num_examples=4)
    assert report.num_examples == 4
    assert report.better is (report.teacher_nll < report.student_nll)
    assert "nats a token bare" in report.words


def test_prompts_without_a_demonstration_cannot_be_checked_and_that_is_said(make_learner):
    bare = Example("p", (Message("user", "why?"),), privileged_context="because")
    report = check_teacher(make_learner(), [bare])
    assert report.better
    assert "not measured" in report.words


def test_a_monitor_goes_on_exactly_from_its_state(make_run, chat_examples):
    run = make_run(chat_examples, "method=sdft", "method.max_new_tokens=4")
    for _ in zip(range(2), run, strict=False):
        pass
    again = Monitors(run.recipe.guards)
    again.load_state_dict(run.monitors.state_dict())
    assert again == dataclasses.replace(run.monitors)
    assert len(again.kl) == 2


def test_a_moving_teacher_whose_kl_dies_late_is_a_collapse_and_a_frozen_one_has_taught(make_run, chat_examples):
    from holdfast.errors import CollapseError
    from holdfast.training.config import GuardsConfig
    from holdfast.training.method import Row

    rows = [Row([1, 2, 3, 4], [False, True, True, True], 1.0, completion_start=1, ended=True)]
    frozen, moving = (Monitors(GuardsConfig(window=2), moving_teacher=m) for m in (False, True))
    for monitors in (frozen, moving):
        for step in (1, 2):
            monitors.observe(step, rows, 0.5)
        monitors.observe(3, rows, 0.0)
    frozen.observe(4, rows, 0.0)
    with pytest.raises(CollapseError, match="it says nothing"):
        moving.observe(4, rows, 0.0)


def chat(**fields):
    messages = (Message("user", "q"), Message("assistant", "a"))
    return Example("x", fields.pop("messages", messages), **fields)


def test_the_method_is_chosen_by_the_form_of_the_data_and_the_reason_is_said():
    assert choose([chat(label="a"), chat(label="b")]).config == ClassifyConfig()
    assert choose([chat()]).config == SdftConfig()
    assert choose([chat(document="d")]).config == SdftConfig()
    with pytest.raises(ConfigError, match="1 of 2 examples have a label"):
        choose([chat(label="a"), chat()])
    with pytest.raises(NothingToLearnError, match="prompts only"):
        choose([chat(messages=(Message("user", "q"),))])
    with pytest.raises(NothingToLearnError, match=r"rejected\.jsonl"):
        choose([])
