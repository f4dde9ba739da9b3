import dataclasses
import math

import pytest
import torch

from holdfast.errors import NonFiniteLossError, NothingToLearnError, TrainingError


def weights(run):
    return run.learner.candidate_state()


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def gradients(run, rows):
    run._accumulate(rows)
    found = [p.grad.clone() for _, p in run.parameters]
    run.optimizer.zero_grad()
    return found


METHODS = {
    "sft": ("method=sft",),
    "sft, packed": ("method=sft", "method.packing=true"),
    "dpo": ("method=dpo",),
    "dpo beside sft": ("method=dpo", "method.sft_weight=0.5", "method.label_smoothing=0.1"),
    "sdft": ("method=sdft", "method.max_new_tokens=6"),
    "sdft, averaged teacher": ("method=sdft", "method.max_new_tokens=6", "method.teacher=ema", "method.ema_rate=0.3"),
    "sdft, rollouts of two steps at once": ("method=sdft", "method.max_new_tokens=6", "method.steps_per_generation=2"),
}


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "adapter"])
@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
def test_a_resumed_run_ends_with_the_weights_of_the_uninterrupted_one(
    make_run, chat_examples, reminders, settings, adapter
):
    settings = (*settings, "steps=5")
    whole = make_run(chat_examples, *settings, reminders=reminders, adapter=adapter, dropout=0.1)
    losses = [step.loss for step in whole]
    first = make_run(chat_examples, *settings, reminders=reminders, adapter=adapter, dropout=0.1)
    steps = iter(first)
    begun = [next(steps).loss for _ in range(3)]
    state = first.state_dict()
    next(steps)  # what happens after the checkpoint must not leak into it
    torch.manual_seed(1234)
    second = make_run(chat_examples, *settings, reminders=reminders, adapter=adapter, dropout=0.1)
    second.load_state_dict(state)
    assert begun + [step.loss for step in second] == losses
    assert equal(weights(second), weights(whole))


def test_a_resumed_classifier_ends_with_the_weights_of_the_uninterrupted_one(make_run, labelled_examples):
    settings = ("method=classify", "method.evaluate_every=2", "method.validation_share=0.25", "steps=6")
    whole = make_run(labelled_examples, *settings)
    list(whole)
    first = make_run(labelled_examples, *settings)
    steps = iter(first)
    for _ in range(3):
        next(steps)
    second = make_run(labelled_examples, *settings)
    second.load_state_dict(first.state_dict())
    list(second)
    assert equal(weights(second), weights(whole))
    assert torch.equal(second.method.head.weight, whole.method.head.weight)
    assert second.method.best == whole.method.best


def test_a_state_is_a_copy_that_training_does_not_touch(make_run, chat_examples):
    run = make_run(chat_examples)
    steps = iter(run)
    next(steps)
    state = run.state_dict()
    kept = {name: tensor.clone() for name, tensor in state["candidate"].items()}
    moments = [s["exp_avg"].clone() for s in state["optimizer"]["state"].values()]
    next(steps)
    assert equal(kept, state["candidate"])
    assert all(map(torch.equal, moments, [s["exp_avg"] for s in state["optimizer"]["state"].values()]))


def test_a_state_of_another_run_is_refused(make_run, chat_examples, reminders):
    state = make_run(chat_examples).state_dict()
    for other in (
        make_run(chat_examples, "optimizer.learning_rate=0.02"),
        make_run(chat_examples[:-1]),
        make_run(chat_examples, reminders=reminders),
    ):
        with pytest.raises(TrainingError, match="another recipe, other data or other reminders"):
            other.load_state_dict(state)


@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
def test_eight_micro_batches_of_one_give_the_gradient_of_one_of_eight(make_run, chat_examples, reminders, settings):
    whole = make_run(chat_examples, *settings, "batch.examples=8", reminders=reminders)
    rows = [*whole.method.make_batch(whole.learner, whole.batch_of(0), 0), *whole.mix.rows(0)]
    expected = gradients(whole, rows)
    cut = make_run(chat_examples, *settings, "batch.examples=8", "batch.micro_batch_tokens=1", reminders=reminders)
    if cut.method.packed:  # a pack holds at least the longest row
        cut._micro_batches = lambda rows: [[index] for index in range(len(rows))]
    calls = []
    forward = cut.learner.hidden
    cut.learner.hidden = lambda rows, which, **k: calls.append(len(rows)) or forward(rows, which, **k)
    if getattr(whole.method, "_average", None):
        cut.method._average = whole.method._average
    for wanted, found in zip(expected, gradients(cut, rows), strict=True):
        assert torch.allclose(wanted, found, atol=2e-6, rtol=1e-4)
    assert max(calls) == 1


def test_the_loss_is_the_mean_over_examples_of_their_mean_over_tokens(make_run, chat_examples):
    run = make_run(chat_examples, "rehearsal.enabled=false")
    rows = run.method.make_batch(run.learner, chat_examples[:4], 0)
    singles = []
    for row in rows:
        with torch.no_grad():
            singles.append(float(run.method.loss(run.learner, [dataclasses.replace(row, weight=1.0)]).value))
    assert len({row.num_targets for row in rows}) > 1
    value, metrics = run._accumulate(rows)
    assert value == pytest.approx(sum(singles) / 4, rel=1e-5)
    assert metrics["cross_entropy"] == pytest.approx(value, rel=1e-5)


def test_packing_changes_the_layout_and_not_the_gradient(make_run, chat_examples):
    plain, packed = make_run(chat_examples), make_run(chat_examples, "method.packing=true")
    rows = plain.method.make_batch(plain.learner, chat_examples[:6], 0)
    for wanted, found in zip(gradients(plain, rows), gradients(packed, rows), strict=True):
        assert torch.allclose(wanted, found, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_example(make_run, chat_examples, bad):
    run = make_run(chat_examples, "rehearsal.enabled=false")
    culprit = run.batch_of(0)[1]
    inner = run.method.loss

    def broken(learner, rows, hidden=None):
        loss = inner(learner, rows, hidden)
        per_row = torch.tensor([bad if row.example_id == culprit.id else 1.0 for row in rows])
        return dataclasses.replace(loss, per_row=per_row)

    run.method.loss = broken
    before = weights(run)
    with pytest.raises(NonFiniteLossError, match=culprit.source):
        next(iter(run))
    assert equal(before, weights(run))
    assert run.done == 0
    assert all(p.grad is None for _, p in run.parameters)


def test_a_gradient_that_is_not_finite_stops_before_the_update(make_run, chat_examples):
    run = make_run(chat_examples)
    run.parameters[0][1].register_hook(lambda grad: grad * math.nan)
    before = weights(run)
    with pytest.raises(NonFiniteLossError, match="the gradient is not a finite number"):
        next(iter(run))
    assert equal(before, weights(run))


def test_the_gradient_is_clipped_to_the_norm(make_run, chat_examples):
    run = make_run(chat_examples, "optimizer.clip_norm=0.5")
    seen = []

    def note(optimizer, *_):
        grads = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
        seen.append(torch.stack([grad.norm() for grad in grads]).norm().item())

    run.optimizer.optimizer.register_step_pre_hook(note)
    step = next(iter(run))
    assert step.grad_norm > 0.5
    assert seen == [pytest.approx(0.5, rel=1e-3)]


def test_the_learning_rate_warms_up_and_falls_as_a_cosine(make_run, chat_examples):
    settings = ("optimizer.warmup_steps=2", "steps=6", "optimizer.learning_rate=0.01")
    rates = [step.learning_rate for step in make_run(chat_examples, *settings)]
    assert rates == [pytest.approx(0.01 * factor, abs=1e-5) for factor in (0.5, 1, 1, 0.854, 0.5, 0.146)]
    constant = [step.learning_rate for step in make_run(chat_examples, *settings, "optimizer.schedule=constant")]
    assert constant == [pytest.approx(0.01 * factor) for factor in (0.5, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize("rate", [0.01, 0.005])
def test_decay_to_current_takes_back_its_share_of_the_way_from_the_current_version(make_run, chat_examples, rate):
    settings = ("steps=1", f"optimizer.learning_rate={rate}", "optimizer.schedule=constant")

    def moved(l2_sp):
        run = make_run(chat_examples, *settings, f"optimizer.l2_sp={l2_sp}")
        start = run.learner.candidate_state()
        list(run)
        return {name: tensor - start[name] for name, tensor in run.learner.candidate_state().items()}

    free, held, back = moved(0), moved(40), moved(10 / rate)
    for name, way in free.items():
        assert torch.allclose(held[name], (1 - 40 * rate) * way, atol=1e-6)
        assert not back[name].any()


def test_the_decay_to_current_is_on_beside_rehearsal_and_off_without_it(make_run, chat_examples, reminders):
    assert make_run(chat_examples, reminders=reminders).l2_sp > 0
    assert make_run(chat_examples, "rehearsal.enabled=false").l2_sp == 0
    assert make_run(chat_examples, "rehearsal.enabled=false", "optimizer.l2_sp=3").l2_sp == 3


def test_every_epoch_holds_every_example_once_in_a_new_order(make_run, chat_examples):
    run = make_run(chat_examples, "batch.examples=5", "steps=4")
    ids = [example.id for step in range(4) for example in run.batch_of(step)]
    assert sorted(ids[:10]) == sorted(ids[10:]) == sorted(example.id for example in chat_examples)
    assert ids[:10] != ids[10:]


def test_a_step_tells_what_was_done(make_run, chat_examples, reminders):
    step = next(iter(make_run(chat_examples, reminders=reminders)))
    assert (step.index, step.of, step.num_new, step.num_reminders, step.seconds) == (1, 4, 4, 3, 0.0)
    assert step.tokens > 0
    assert step.loss == pytest.approx(step.metrics["cross_entropy"] + step.metrics["reminder_kl"], rel=1e-4)


def test_training_lowers_the_loss(make_run, chat_examples):
    steps = list(make_run(chat_examples, "steps=30"))
    assert steps[-1].loss < 0.5 * steps[0].loss


def test_a_run_without_examples_is_refused(make_run):
    with pytest.raises(NothingToLearnError):
        make_run([])
