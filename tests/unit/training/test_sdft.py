import dataclasses

import pytest
import torch

from holdfast.errors import ContextLengthError, DataError, TrainingError
from holdfast.models.layout import TokenRow
from holdfast.models.render import render_prompt, render_teacher_prompt
from holdfast.training.config import SdftConfig
from holdfast.training.defaults import choose_skip_tokens
from holdfast.training.methods.sdft import Sdft, loss_mask
from holdfast.types import Example, Message


@pytest.fixture
def sdft():
    """A function of settings that gives the method with short rollouts."""

    def make(*, skip_tokens=3, **settings):
        return Sdft(SdftConfig(**{"max_new_tokens": 6, **settings}), skip_tokens=skip_tokens)

    return make


def logprobs(learner, ids, which, num_last):
    """Dense log-probabilities of the last `num_last` tokens' positions."""
    row = TokenRow(ids, [False] * (len(ids) - num_last) + [True] * num_last)
    with torch.no_grad():
        return (learner.hidden([row], which) @ learner.head(which).weight.T).log_softmax(-1)


def test_the_student_reads_the_bare_prompt_and_the_teacher_the_demonstration(make_learner, sdft, chat_examples):
    learner = make_learner()
    row = sdft().make_batch(learner, chat_examples[3:4], 0)[0]
    bare = render_prompt(learner.tokenizer, chat_examples[3].prompt)
    shown = render_teacher_prompt(learner.tokenizer, chat_examples[3])
    assert "so so so 3" in learner.tokenizer.decode(shown)
    assert "so so so 3" not in learner.tokenizer.decode(bare)
    assert row.input_ids[: len(bare)] == bare
    assert row.teacher_ids[: len(shown)] == shown
    assert row.input_ids[len(bare) :] == row.teacher_ids[len(shown) :]
    assert row.mask[len(bare) :] == row.teacher_mask[len(shown) :]


def test_the_loss_is_the_mean_forward_kl_over_the_tokens_that_are_not_skipped(make_learner, sdft, chat_examples):
    learner = make_learner()
    with torch.no_grad():  # candidate and current must differ for the test to see which is which
        for _, parameter in learner.trainable():
            parameter.mul_(1.1)
    method = sdft(skip_tokens=2)
    rows = method.make_batch(learner, chat_examples[:3], 0)
    wanted = []
    for row in rows:
        length = len(row.input_ids) - row.completion_start
        kept = max(length - 2, 1)
        teacher = logprobs(learner, row.teacher_ids, "current", kept)
        student = logprobs(learner, row.input_ids, "candidate", kept)
        wanted.append(float((teacher.exp() * (teacher - student)).sum(-1).mean()))
    assert method.loss(learner, rows).value.item() == pytest.approx(sum(wanted) / 3, rel=1e-4)


def test_a_teacher_that_sees_no_more_than_the_student_teaches_nothing(make_learner, sdft, chat_examples):
    learner, method = make_learner(), sdft()
    rows = method.make_batch(learner, chat_examples[:2], 0)
    blind = [dataclasses.replace(r, teacher_ids=r.input_ids, teacher_mask=r.mask) for r in rows]
    states = [learner.hidden([TokenRow(r.input_ids, r.mask)], "current") for r in blind]
    blind = [dataclasses.replace(r, teacher_hidden=s) for r, s in zip(blind, states, strict=True)]
    loss = method.loss(learner, blind)
    loss.value.backward()
    assert loss.value.item() == pytest.approx(0.0, abs=1e-5)
    assert max(float(p.grad.abs().max()) for _, p in learner.trainable()) < 1e-5


@pytest.mark.parametrize(
    ("length", "skip", "loss_on"),
    [(6, 3, [3, 4, 5]), (4, 3, [3]), (3, 3, [2]), (1, 3, [0]), (5, 0, [0, 1, 2, 3, 4])],
)
def test_the_first_tokens_carry_no_loss_but_never_all_of_them(tokenizer, length, skip, loss_on):
    ids = tokenizer.encode("abcdef")[:length]
    assert [index for index, used in enumerate(loss_mask(tokenizer, ids, skip, "</think>")) if used] == loss_on


def test_the_number_of_skipped_tokens_is_chosen_by_the_models_size_unless_it_is_given(make_run, chat_examples):
    assert make_run(chat_examples, "method=sdft").method.skip_tokens == 0
    assert make_run(chat_examples, "method=sdft", "method.skip_tokens=2").method.skip_tokens == 2
    assert choose_skip_tokens(SdftConfig(), 7_000_000_000) == 3


def test_the_skipped_tokens_are_counted_after_the_end_of_the_thoughts(tokenizer):
    ids = tokenizer.encode("ab</think>cdef")
    assert (
        tokenizer.decode([t for t, used in zip(ids, loss_mask(tokenizer, ids, 1, "</think>"), strict=True) if used])
        == "def"
    )
    assert sum(loss_mask(tokenizer, ids, 1, "")) == len(ids) - 1


def test_an_example_that_leaves_no_room_is_refused_by_name_and_not_truncated(make_learner, sdft, chat_examples):
    learner = make_learner(context=160)
    with pytest.raises(ContextLengthError, match=r"lesson\.jsonl:1: the teacher's prompt has \d+ tokens"):
        sdft(max_new_tokens=100).make_batch(learner, chat_examples, 0)


def test_an_example_with_nothing_for_the_teacher_to_read_is_refused(make_learner, sdft):
    bare = Example(id="p", messages=(Message("user", "why?"),), source="prompts.jsonl:1")
    with pytest.raises(DataError, match=r"prompts\.jsonl:1"):
        sdft().make_batch(make_learner(), [bare], 0)


def test_rollouts_come_from_the_candidate_as_it_is_now(make_learner, sdft, chat_examples):
    learner, method = make_learner(), sdft()
    first = [row.input_ids for row in method.make_batch(learner, chat_examples, 0)]
    assert first == [row.input_ids for row in sdft().make_batch(learner, chat_examples, 0)]
    with torch.no_grad():
        for _, parameter in learner.trainable():
            parameter.mul_(-1.0)
    assert first != [row.input_ids for row in sdft().make_batch(learner, chat_examples, 0)]
    assert first != [row.input_ids for row in method.make_batch(learner, chat_examples, 1)]


def test_the_steps_of_a_round_share_one_call_of_sampling_and_no_rollout(make_learner, sdft, chat_examples):
    learner, method = make_learner(), sdft(steps_per_generation=2)
    sampled = []
    inner = learner.generate
    learner.generate = lambda prompts, *a, **k: sampled.append(len(prompts)) or inner(prompts, *a, **k)
    parts = [method.make_batch(learner, chat_examples[:6], seed=1, part=part) for part in (0, 1)]
    assert [[row.example_id for row in rows] for rows in parts] == [["id0", "id1", "id2"], ["id3", "id4", "id5"]]
    assert {row.weight for rows in parts for row in rows} == {1 / 3}
    assert sampled == [6]
    whole = sdft().make_batch(make_learner(), chat_examples[:6], seed=1)
    assert [row.input_ids for rows in parts for row in rows] == [row.input_ids for row in whole]
    method.make_batch(learner, chat_examples[:6], seed=2)
    assert sampled == [6, 6]


def test_several_samples_of_a_prompt_share_its_weight(make_learner, sdft, chat_examples):
    rows = sdft(samples_per_prompt=3).make_batch(make_learner(), chat_examples[:2], 0)
    assert [row.example_id for row in rows] == ["id0"] * 3 + ["id1"] * 3
    assert {row.weight for row in rows} == {1 / 6}


def test_the_averaged_teacher_moves_by_its_rate_in_float32_and_leaves_the_candidate_alone(
    make_learner, sdft, chat_examples
):
    learner, method = make_learner(), sdft(teacher="ema", ema_rate=0.25)
    start = learner.candidate_state()
    method.make_batch(learner, chat_examples[:2], 0)
    with torch.no_grad():
        for _, parameter in learner.trainable():
            parameter.add_(1.0)
    method.after_step(learner)
    name = next(iter(start))
    average = method.state_dict()["average"]
    assert average[name].dtype == torch.float32
    assert torch.allclose(average[name], start[name] + 0.25)
    moved = learner.candidate_state()
    row = method.make_batch(learner, chat_examples[:1], 1)[0]
    assert all(torch.equal(moved[key], tensor) for key, tensor in learner.candidate_state().items())
    learner.load_candidate_state(average)
    with torch.no_grad():
        expected = learner.hidden([TokenRow(row.teacher_ids, row.teacher_mask)], "candidate")
    assert torch.allclose(row.teacher_hidden, expected, atol=1e-6)


def test_an_averaged_teacher_in_a_checkpoint_is_not_dropped_silently(sdft):
    with pytest.raises(TrainingError, match="averaged teacher"):
        sdft().load_state_dict({"average": {"w": torch.zeros(1)}})


def test_the_anchor_holds_the_candidate_at_the_base(make_learner, sdft, chat_examples):
    learner = make_learner(adapter=True)
    method = sdft(anchor_weight=2.0)
    rows = method.make_batch(learner, chat_examples[:2], 0)
    assert method.loss(learner, rows).metrics["anchor_kl"] == pytest.approx(
        0.0, abs=1e-6
    )  # a fresh adapter is the base
    with torch.no_grad():
        for _, parameter in learner.trainable():
            parameter.add_(0.1)
    loss = method.loss(learner, rows)
    assert loss.metrics["anchor_kl"] > 0
    assert loss.value.item() == pytest.approx(loss.metrics["kl"] + 2 * loss.metrics["anchor_kl"], rel=1e-4)


def test_no_token_contributes_more_than_the_clip(make_learner, sdft, chat_examples):
    learner = make_learner()
    free, clipped = sdft(), sdft(kl_clip=0.05)
    rows = free.make_batch(learner, chat_examples[:4], 0)
    assert free.loss(learner, rows).value.item() > 0.05
    assert clipped.loss(learner, rows).value.item() <= 0.05 + 1e-6
