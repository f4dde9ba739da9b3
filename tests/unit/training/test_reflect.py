"""Reflect, Retry, Reward: what is trained, what is not, and that it is the loss it says it is."""

import hashlib
from dataclasses import replace

import pytest
import torch

from holdfast.errors import CollapseError, ConfigError, NothingToLearnError
from holdfast.graders.parametrised import Plain
from holdfast.models.layout import TokenRow, apart
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.methods.reflect_retry_reward import SAME_WINDOW, ReflectRetryReward
from holdfast.training.policy_loss import PolicyObjective, policy_loss, spread, token_shares
from holdfast.training.reflection import Conversation, obedience, share_with_answer, visible
from holdfast.types import Completion, Example, Message, Score

SHORT = ("max_tokens.attempt=5", "max_tokens.reflection=6", "max_tokens.retry=5", "group_size=4")
TASKS = [
    Example(f"task {n}", (Message("user", f"what is {n} + 1?"), Message("assistant", str(n + 1)))) for n in range(8)
]


def coin(completion, example):
    """Half of all texts pass, and which do is settled for ever."""
    passed = hashlib.sha256(f"{example.id} {completion.text}".encode()).digest()[0] % 2 == 0
    return Score(float(passed), passed, "by a coin")


def configured(*settings):
    """The method's settings, each said as after `method.`."""
    return Recipe.from_overrides(["method=reflect", *(f"method.{setting}" for setting in settings)]).method


def grading(function):
    return Plain.of("stub", function)


@pytest.fixture
def make(make_learner):
    """A function of settings that gives a learner whose two versions differ, and the method."""

    def build(*settings, grade=coin, examples=TASKS):
        learner = make_learner()
        with torch.no_grad():
            for _, parameter in learner.trainable():
                parameter.mul_(1.05)
        return learner, ReflectRetryReward(configured(*SHORT, *settings), learner, examples, grading(grade))

    return build


def test_only_reflections_are_trained_and_the_retry_is_nowhere(make):
    learner, method = make()
    rows = method.make_batch(learner, TASKS[:3], 1)
    assert len(rows) == 3
    for row in rows:
        start = row.branches[0]
        assert row.mask == [False] * start + [True] * (len(row.input_ids) - start)
        assert sum(row.policy.lengths) == len(row.input_ids) - start
        text = learner.tokenizer.decode(row.input_ids[:start])
        example = next(task for task in TASKS if task.id == row.example_id)
        failure = next(f for f in method.failures if f.example_id == row.example_id and f.attempt in text)
        talk = Conversation(learner, method.config)
        assert row.input_ids[:start] == talk.ids(talk.reflect(example, failure.attempt), example)
        assert "Now try the task again" not in text
        assert example.demonstration.content not in text.split("?")[1].split("You tried")[0].replace(
            failure.attempt, ""
        )


def dense(learner, row, which):
    """Log-probabilities of the tokens of each branch, from whole logits."""
    found = []
    for alone in apart(TokenRow(row.input_ids, row.mask, row.branches)):
        states = learner.hidden([alone], which)
        logits = torch.nn.functional.linear(states, learner.head(which).weight)
        ids = torch.tensor([t for t, used in zip(alone.input_ids, alone.mask, strict=True) if used])
        found.append(logits.log_softmax(-1).gather(1, ids[:, None])[:, 0])
    return torch.cat(found)


@pytest.mark.parametrize(
    "settings", [("policy.preset=paper",), ("policy.preset=modern",), ("policy.loss=dr_grpo", "policy.beta=0.5")]
)
def test_loss_and_gradient_are_those_of_the_dense_computation(make, settings):
    learner, method = make(*settings)
    rows = method.make_batch(learner, TASKS[:3], 2)
    lengths = [n for row in rows for n in row.policy.lengths]
    objective = PolicyObjective.of(method.config.policy)
    logp = torch.cat([dense(learner, row, "candidate") for row in rows])
    with torch.no_grad():
        reference = torch.cat([dense(learner, row, "current") for row in rows])
    advantages = spread([a for row in rows for a in row.policy.advantages], lengths, logp)
    found = policy_loss(logp, logp.detach(), advantages, lengths, objective, reference)
    wanted = found.total(token_shares(lengths, objective.shares, 6), lengths)
    wanted.backward()
    gradients = {name: p.grad.clone() for name, p in learner.trainable()}
    for _, parameter in learner.trainable():
        parameter.grad = None
    loss = method.loss(learner, rows)
    loss.value.backward()
    assert loss.value.item() == pytest.approx(wanted.item(), abs=1e-6)
    assert any(gradient.abs().max() > 1e-4 for gradient in gradients.values())
    for name, parameter in learner.trainable():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-5, rtol=1e-5)


def test_micro_batches_and_unshared_prefixes_add_up_to_the_same_gradient(make):
    found = []
    for packed, sizes in ((True, (4,)), (True, (1, 3)), (False, (2, 2))):
        learner, method = make()
        rows = method.make_batch(learner, TASKS[:4], 3)
        method.packed = packed
        total, start = 0.0, 0
        for size in sizes:
            loss = method.loss(learner, rows[start : start + size]).value
            loss.backward()
            total, start = total + loss.item(), start + size
        found.append((total, torch.cat([p.grad.flatten() for _, p in learner.trainable()])))
    for total, gradient in found[1:]:
        assert total == pytest.approx(found[0][0], abs=1e-6)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-5, rtol=1e-5)


def test_groups_without_a_signal_are_replaced(make):
    def only_some(completion, example):
        passed = coin(completion, example).passed and example.id in ("task 1", "task 5")
        return Score(float(passed), passed)

    learner, method = make("refill=7", grade=only_some)
    rows = method.make_batch(learner, TASKS[:2], 4)
    taught = {row.example_id for row in rows if any(row.policy.advantages)}
    assert taught
    assert taught <= {"task 1", "task 5"}
    learner, method = make("refill=0", grade=only_some)
    (alone,) = method.make_batch(learner, [TASKS[0], TASKS[2]], 4)
    assert alone.example_id == "task 0"
    assert not any(alone.policy.advantages)


def test_without_any_signal_nothing_moves(make):
    learner, method = make("policy.beta=0", grade=lambda c, e: Score(0.0, passed=False))
    rows = method.make_batch(learner, TASKS[:2], 5)
    assert method.measured["groups_with_signal"] == 0.0
    loss = method.loss(learner, rows)
    loss.value.backward()
    assert loss.value.item() == 0.0
    assert all(not p.grad.any() for _, p in learner.trainable())


def test_a_retry_that_cannot_be_graded_has_no_advantage(make):
    def broken(completion, example):
        score = coin(completion, example)
        return replace(score, error_type="time_out") if len(completion.text) % 3 == 0 else score

    learner, method = make("group_size=8", grade=broken)
    rows = method.make_batch(learner, TASKS, 6)
    assert method.measured["not_graded"] > 0
    for row in rows:
        graded = [a for a in row.policy.advantages if a]
        assert not graded or abs(sum(graded)) < 1e-4


def test_the_step_s_tokens_share_its_loss(make):
    learner, method = make("policy.preset=modern")
    rows = method.make_batch(learner, TASKS[:3], 7)
    total = sum(n * share for row in rows for n, share in zip(row.policy.lengths, row.policy.shares, strict=True))
    assert total == pytest.approx(1.0)
    assert sum(row.weight for row in rows) == pytest.approx(1.0)


def test_failures_are_mined_within_the_band_and_say_where_they_come_from(make):
    learner, method = make("attempts.per_task=6", "attempts.min_fail_rate=0.2", "attempts.max_fail_rate=0.8")
    method.make_batch(learner, TASKS[:2], 8)
    assert method.failures
    for failure in method.failures:
        assert 0.2 <= failure.fail_rate <= 0.8
        assert failure.step == 0
        example = next(task for task in TASKS if task.id == failure.example_id)
        assert not coin(Completion(failure.attempt, (), (), "stop"), example).passed


def test_failures_are_mined_anew(make):
    learner, method = make("attempts.remine_every=2")
    steps = []
    for seed in range(5):
        method.make_batch(learner, TASKS[:2], seed)
        steps.append(method.failures[-1].step)
    assert steps == [0, 0, 2, 2, 4]


def test_attempts_can_be_online(make):
    learner, method = make("attempts.source=online", "refill=1")
    rows = method.make_batch(learner, TASKS[:3], 9)
    assert 0 < len(rows) <= 3
    assert not method.failures


@pytest.mark.parametrize("attempts", ["mined", "online"])
def test_tasks_that_never_fail_are_said(make, attempts):
    learner, method = make(f"attempts.source={attempts}", grade=lambda c, e: Score(1.0, passed=True))
    with pytest.raises(NothingToLearnError, match="Give harder tasks"):
        method.make_batch(learner, TASKS[:2], 1)


def test_one_text_for_everything_stops_the_run(make):
    learner, method = make()
    generate = learner.generate
    same = Completion("be careful", (40, 41), (-1.0, -1.0), "stop")
    learner.generate = lambda prompts, sampling, **k: (
        [[same] * sampling.num_samples for _ in prompts]
        if sampling.max_new_tokens == 6
        else generate(prompts, sampling, **k)
    )
    for seed in range(SAME_WINDOW - 1):
        method.make_batch(learner, TASKS[:3], seed)
    with pytest.raises(CollapseError, match="100% of all reflections were one text"):
        method.make_batch(learner, TASKS[:3], SAME_WINDOW)


@pytest.mark.parametrize("settings", [(), ("steps_per_generation=2",), ("attempts.source=online",)])
def test_a_resumed_run_ends_with_the_same_bits(make, settings):
    def run(learner, method):
        words = [f"method.{setting}" for setting in settings]
        recipe = Recipe.from_overrides(
            ["method=reflect", "steps=4", "batch.examples=2", "optimizer.learning_rate=0.01", *words]
        )
        return Run(learner, method, TASKS, recipe)

    learner, method = make(*settings)
    whole = run(learner, method)
    states = {step.index: whole.state_dict() for step in whole}
    wanted = learner.candidate_state()
    for after in (1, 3):
        learner, method = make(*settings)
        resumed = run(learner, method)
        resumed.load_state_dict(states[after])
        assert [step.index for step in resumed] == list(range(after + 1, 5))
        for name, tensor in learner.candidate_state().items():
            assert torch.equal(tensor, wanted[name]), name


def test_old_log_probabilities_are_those_of_sampling(make):
    learner, method = make("steps_per_generation=2")
    rows = [row for part in range(2) for row in method.make_batch(learner, TASKS[:4], 10, part)]
    for row in rows:
        torch.testing.assert_close(row.policy.old, dense(learner, row, "candidate").detach(), atol=1e-5, rtol=0)
        torch.testing.assert_close(row.policy.reference, dense(learner, row, "current").detach(), atol=1e-5, rtol=0)


def test_presets():
    paper, modern = configured("policy.preset=paper").policy, configured().policy
    assert (paper.chosen_loss, paper.chosen_beta, paper.chosen_epsilon_high) == ("grpo", 0.001, 0.2)
    assert (modern.chosen_loss, modern.chosen_beta, modern.chosen_epsilon_high) == ("dapo", 0.01, 0.28)
    with pytest.raises(ConfigError, match="ratio would have no effect"):
        Recipe.from_overrides(["method=reflect", "method.policy.ratio=sequence"])
    with pytest.raises(ConfigError, match="per_task would have no effect"):
        Recipe.from_overrides(["method=reflect", "method.attempts.source=online", "method.attempts.per_task=9"])
    with pytest.raises(ConfigError, match="min_fail_rate"):
        Recipe.from_overrides(
            ["method=reflect", "method.attempts.min_fail_rate=0.9", "method.attempts.max_fail_rate=0.1"]
        )
    for name in ("task", "gold"):
        with pytest.raises(ConfigError, match=f"{name} must contain"):
            Recipe.from_overrides(["method=reflect", f"method.templates.{name}=x"])


def test_thinking_is_not_shown_to_the_retry():
    assert visible("<think>a\nb</think>\n\nbe exact") == "be exact"
    assert visible("so <think>cut off") == "so"
    assert visible("plain") == "plain"


TWO = ("method.steps_per_generation=2",)


@pytest.mark.parametrize(
    ("setting", "beside"),
    [
        ("method.policy.preset=paper", ()),
        ("method.policy.loss=dr_grpo", ()),
        ("method.policy.beta=0.5", ()),
        ("method.group_size=3", ()),
        ("method.temperature=0.7", ()),
        ("method.retry_temperature=0", ()),
        ("method.attempts.source=online", ()),
        ("method.attempts.per_task=6", ()),
        ("method.attempts.min_fail_rate=0.6", ()),
        ("method.attempts.max_fail_rate=0.4", ()),
        ("method.attempts.remine_every=1", ()),
        ("method.refill=0", ()),
        ("method.max_tokens.attempt=3", ()),
        ("method.max_tokens.reflection=4", ()),
        ("method.max_tokens.retry=3", ()),
        ("method.templates.task=please: {task}", ()),
        ("method.templates.reflect=why?", ()),
        ("method.templates.retry=again!", ()),
        ("method.steps_per_generation=2", ()),
        ("method.policy.ratio=sequence", TWO),
        ("method.policy.epsilon_low=0.001", TWO),
        ("method.policy.epsilon_high=0.001", TWO),
    ],
    ids=lambda value: value.split("=")[0] if isinstance(value, str) else "",
)
def test_changing_the_setting_changes_the_run(make, setting, beside):
    short = [f"method.{setting}" for setting in SHORT]
    common = ["method=reflect", *short, "steps=4", "batch.examples=4", "optimizer.learning_rate=0.02"]

    def end(*words):
        recipe = Recipe.from_overrides([*common, *words])
        words = [word.removeprefix("method.") for word in words]
        learner, method = make(*words)
        assert [step.index for step in Run(learner, method, TASKS, recipe)] == [1, 2, 3, 4]
        return learner.candidate_state()

    before, after = end(*beside), end(*beside, setting)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_max_same_reflection_says_how_much_alike_reflections_may_be(make):
    learner, method = make("max_same_reflection=0.01")
    with pytest.raises(CollapseError, match="were one text"):
        _ = [method.make_batch(learner, TASKS[:3], seed) for seed in range(SAME_WINDOW)]
    learner, method = make("max_same_reflection=1.0")
    for seed in range(SAME_WINDOW):
        method.make_batch(learner, TASKS[:3], seed)


def test_obedience_and_answers_in_disguise_are_measured_in_every_round(make):
    learner, method = make()
    method.make_batch(learner, TASKS[:3], 11)
    assert 0.0 <= method.measured["obedience"] <= 1.0
    assert method.measured["reflections_with_answer"] == 0.0  # the small base writes no number
    said = [["it is 1", "no"], ["2", "two"]]
    assert share_with_answer(TASKS[:2], said) == 0.5
    assert share_with_answer([Example("bare", (Message("user", "x"),))], [["x"]]) is None


def test_obedience_asks_with_the_answer_in_the_reflection(make):
    seen = []

    def watch(completion, example):
        seen.append((completion.text, example.id))
        return Score(1.0, passed=example.id == "task 1")

    learner, method = make()
    talk = Conversation(learner, method.config)
    asked = talk.retry_with_answer(TASKS[1], "wrong")
    assert [turn.role for turn in asked] == ["user", "assistant", "user", "assistant", "user"]
    assert asked[3].content == "The right answer is: 2"
    own = Conversation(learner, make("templates.gold=not {attempt} but {answer}.")[1].config)
    assert own.retry_with_answer(TASKS[1], "{answer}")[3].content == "not {answer} but 2."
    pairs = [(TASKS[1], "wrong"), (TASKS[2], "wrong"), (Example("bare", (Message("user", "x"),)), "wrong")]
    found = obedience(talk, pairs, grading(watch), which="candidate", temperature=1.0, seed=3)
    assert [score.passed for score in found] == [True, False]
    assert [name for _, name in seen] == ["task 1", "task 2"]
