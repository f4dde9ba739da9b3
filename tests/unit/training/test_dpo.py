import dataclasses
import math

import pytest
import torch

from holdfast.errors import ContextLengthError, NothingToLearnError
from holdfast.models.layout import TokenRow, apart
from holdfast.training.method import token_rows
from holdfast.training.methods.dpo import pair_row
from holdfast.types import Example, Message


def pair(asked="hi", answer="gladly", rejected="no", **more):
    return Example("p", (Message("user", asked), Message("assistant", answer)), rejected=Message("assistant", rejected),
                   **more)  # fmt: skip


def test_both_answers_follow_the_same_prompt_and_are_trained_to_their_end(tokenizer):
    row = pair_row(tokenizer, pair(), max_tokens=512)
    sides = apart(token_rows([row])[0])
    said = [[token for token, used in zip(side.input_ids, side.mask, strict=True) if used] for side in sides]
    assert [tokenizer.decode(ids) for ids in said] == ["gladly<|end|>", "no<|end|>"]
    assert row.pair.lengths == (len(said[0]), len(said[1])) == (7, 3)
    prompts = [tokenizer.decode(side.input_ids[: side.mask.index(True)]) for side in sides]
    assert prompts[0] == prompts[1] == "<|bos|><|user|>hi<|end|><|assistant|>"


def test_answers_that_begin_alike_are_trained_whole(tokenizer):
    row = pair_row(tokenizer, pair(answer="yes, gladly", rejected="yes, no"), max_tokens=512)
    assert row.pair.lengths == (12, 8)
    assert not any(row.mask[: row.branches[0]])


def test_earlier_answers_of_the_conversation_are_read_and_not_trained(tokenizer):
    turns = (Message("user", "a"), Message("assistant", "early"), Message("user", "b"), Message("assistant", "late"))
    row = pair_row(tokenizer, Example("p", turns, rejected=Message("assistant", "bad")), max_tokens=512)
    trained = [token for token, used in zip(row.input_ids, row.mask, strict=True) if used]
    assert tokenizer.decode(trained) == "late<|end|>bad<|end|>"


def test_a_pair_without_two_answers_or_without_room_is_an_error_that_names_it(tokenizer):
    bare = dataclasses.replace(pair(source="a.jsonl:3"), rejected=None)
    with pytest.raises(NothingToLearnError, match=r"a\.jsonl:3: has no rejected answer"):
        pair_row(tokenizer, bare, max_tokens=512)
    for long in (pair(answer="x" * 50, source="a.jsonl:4"), pair(rejected="x" * 50, source="a.jsonl:4")):
        with pytest.raises(ContextLengthError, match=r"a\.jsonl:4: "):
            pair_row(tokenizer, long, max_tokens=40)


def test_the_first_step_costs_ln_2_whatever_the_answers(make_run, chat_examples):
    step = next(iter(make_run(chat_examples, "method=dpo", "rehearsal.enabled=false")))
    assert step.loss == pytest.approx(math.log(2), rel=1e-5)
    assert step.metrics["reward_margin"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "adapter"])
def test_training_turns_the_preference_on_pairs_it_saw(make_run, chat_examples, adapter):
    steps = list(make_run(chat_examples, "method=dpo", "steps=25", adapter=adapter))
    last = steps[-1].metrics
    assert last["reward_accuracy"] == 1.0
    assert last["reward_margin"] == pytest.approx(last["preferred_reward"] - last["rejected_reward"], abs=1e-4)
    assert last["reward_margin"] > 1
    assert steps[-1].loss < 0.2 < steps[0].loss


def test_the_reference_is_the_version_that_the_run_started_from(make_run, chat_examples):
    run = make_run(chat_examples, "method=dpo", "steps=6", "batch.examples=10")
    list(run)
    learner, rows = run.learner, run.method.make_batch(run.learner, chat_examples, 0)
    learner.reset_candidate()
    loss = run.method.loss(learner, rows)
    assert loss.per_row.tolist() == pytest.approx([math.log(2)] * 10, rel=1e-4)


def test_the_loss_can_be_measured_without_a_gradient(make_run, chat_examples):
    run = make_run(chat_examples, "method=dpo")
    rows = run.method.make_batch(run.learner, chat_examples, 0)
    with torch.no_grad():
        loss = run.method.loss(run.learner, rows)
    assert not loss.value.requires_grad
    assert loss.value.item() == pytest.approx(run.method.loss(run.learner, rows).value.item())


def test_the_reference_reads_each_pair_once(make_run, chat_examples):
    run = make_run(chat_examples, "method=dpo", "steps=8", "rehearsal.enabled=false")
    forward, read = run.learner.hidden, []

    def hidden(rows, which, **more):
        if which == "current":
            read.extend(rows)
        return forward(rows, which, **more)

    run.learner.hidden = hidden
    list(run)
    assert len(read) == len(chat_examples)


def test_packing_changes_the_layout_and_not_the_loss_or_its_gradient(make_run, chat_examples):
    def step(packed):
        run = make_run(chat_examples, "method=dpo", "method.sft_weight=0.3")
        for _, parameter in run.parameters:
            parameter.data += 0.01
        run.method.packed = packed
        loss = run.method.loss(run.learner, run.method.make_batch(run.learner, chat_examples[:6], 0))
        loss.value.backward()
        return [loss.value.detach(), loss.per_row, *(parameter.grad for _, parameter in run.parameters)]

    for one, other in zip(step(packed=True), step(packed=False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6)


def test_the_gradient_is_that_of_the_equation_by_plain_autograd(make_run, chat_examples):
    run = make_run(chat_examples, "method=dpo", "method.beta=0.4", "method.label_smoothing=0.2")
    for _, parameter in run.parameters:
        parameter.data += 0.01
    learner, method = run.learner, run.method
    rows = method.make_batch(learner, chat_examples[:3], 0)
    method.loss(learner, rows).value.backward()
    fused = [parameter.grad.clone() for _, parameter in run.parameters]
    for _, parameter in run.parameters:
        parameter.grad = None

    def summed(which, side):
        ids = torch.tensor([token for token, used in zip(side.input_ids, side.mask, strict=True) if used])
        head = learner.head(which)
        hidden = learner.hidden([TokenRow(side.input_ids, side.mask)], which)
        return (hidden @ head.weight.t()).log_softmax(-1).gather(1, ids[:, None]).sum()

    losses = []
    for row in token_rows(rows):
        preferred, rejected = apart(row)
        h = 0.4 * (
            (summed("candidate", preferred) - summed("current", preferred))
            - (summed("candidate", rejected) - summed("current", rejected))
        )
        losses.append(-0.8 * torch.sigmoid(h).log() - 0.2 * torch.sigmoid(-h).log())
    torch.stack(losses).mean().backward()
    for wanted, (_, parameter) in zip(fused, run.parameters, strict=True):
        torch.testing.assert_close(wanted, parameter.grad, rtol=1e-3, atol=2e-5)


def test_sft_weight_keeps_the_preferred_answer_likely(make_run, chat_examples):
    def cost(*settings):
        return list(make_run(chat_examples, "method=dpo", "steps=25", *settings))[-1].metrics["cross_entropy"]

    assert cost("method.sft_weight=1.0") < cost()
