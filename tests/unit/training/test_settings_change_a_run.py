"""Every setting of a training changes what a run does: `tests/architecture/config_keys.toml` names these tests."""

import dataclasses

import pytest
import torch

from holdfast.errors import CollapseError, ContextLengthError, DataError
from holdfast.training.config import GuardsConfig, RehearsalConfig
from holdfast.training.method import Row
from holdfast.training.methods import METHODS
from holdfast.training.monitors import Monitors
from holdfast.training.rehearsal import source_sizes

DPO = ("method=dpo",)
SDFT = ("method=sdft", "method.max_new_tokens=6")


def traces(run):
    """What a run did: every step without its time, and the weights at the end."""
    steps = [dataclasses.replace(step, seconds=0.0) for step in run]
    return steps, run.learner.candidate_state()


def same(first, second):
    (steps, weights), (other_steps, other_weights) = first, second
    return steps == other_steps and all(torch.equal(weights[name], other_weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("setting", "beside"),
    [
        ("method.divergence=reverse_kl", SDFT),
        ("method.jsd_alpha=0.2", (*SDFT, "method.divergence=jsd")),
        ("method.top_k=3", (*SDFT, "method.divergence=top_k_tail")),
        ("method.skip_tokens=2", SDFT),
        ("method.max_new_tokens=4", ("method=sdft", "method.max_new_tokens=6")),
        ("method.temperature=1.5", SDFT),
        ("method.samples_per_prompt=2", SDFT),
        ("method.steps_per_generation=2", SDFT),
        ("method.teacher=ema", SDFT),
        ("method.ema_rate=0.9", (*SDFT, "method.teacher=ema")),
        ("method.kl_clip=0.001", SDFT),
        ("method.anchor_weight=2.0", SDFT),
        ("method.teacher_template={demonstration} {question}", SDFT),
        ("method.beta=0.5", DPO),
        ("method.label_smoothing=0.1", DPO),
        ("method.sft_weight=0.5", DPO),
        ("optimizer.learning_rate=0.02", ()),
        ("optimizer.warmup_steps=3", ()),
        ("optimizer.schedule=constant", ()),
        ("optimizer.weight_decay=0.5", ()),
        ("optimizer.l2_sp=9.0", ()),
        ("optimizer.beta2=0.9", ()),
        ("optimizer.clip_norm=0.01", ()),
        ("batch.examples=3", ()),
        ("rehearsal.enabled=false", ()),
        ("rehearsal.per_step=2", ()),
        ("rehearsal.weight=3.0", ()),
        ("rehearsal.first_weight=3.0", ()),
        ("steps=3", ()),
        ("epochs=1", ()),
        ("seed=1", ()),
    ],
    ids=lambda value: value.split("=")[0] if isinstance(value, str) else "",
)
def test_changing_the_setting_changes_the_run(make_run, chat_examples, reminders, setting, beside):
    key = setting.split("=")[0]
    before = traces(make_run(chat_examples, *beside, reminders=reminders))
    others = [other for other in beside if not other.startswith(f"{key}=")]
    after = traces(make_run(chat_examples, *others, setting, reminders=reminders))
    assert not same(before, after)


@pytest.mark.parametrize("settings", [(), SDFT, DPO], ids=["sft", "sdft", "dpo"])
def test_the_same_settings_give_the_same_run(make_run, chat_examples, reminders, settings):
    first, second = (traces(make_run(chat_examples, *settings, reminders=reminders)) for _ in range(2))
    assert same(first, second)


def test_the_type_of_the_method_decides_what_learns(make_run, chat_examples, labelled_examples):
    for name, kind in METHODS.items():
        examples = labelled_examples if name == "classify" else chat_examples
        run = make_run(examples, f"method={name}", *(["evaluation.grader=exact"] if name == "reflect" else []))
        assert type(run.method) is kind


def test_skip_after_moves_the_tokens_without_loss_behind_the_text(make_run, chat_examples):
    def masks(*settings):
        run = make_run(chat_examples, *SDFT, "method.skip_tokens=1", *settings)
        rows = run.method.make_batch(run.learner, chat_examples[:4], 0)
        return [(row.input_ids[row.completion_start :], row.mask[row.completion_start :]) for row in rows]

    completion = next(ids for ids, _ in masks() if len(ids) >= 4)
    text = make_run(chat_examples).learner.tokenizer.decode(completion[:2])
    skipped = {tuple(ids): mask for ids, mask in masks(f"method.skip_after={text}")}[tuple(completion)]
    assert skipped.index(True) > 1


def test_packing_lays_several_examples_into_one_row(make_run, chat_examples):
    def longest_call(*settings):
        run = make_run(chat_examples, *settings)
        calls = []
        forward = run.learner.hidden
        run.learner.hidden = lambda rows, which, **k: calls.append(k.get("packed", False)) or forward(rows, which, **k)
        next(iter(run))
        return any(calls)

    assert not longest_call("method=sft")
    assert longest_call("method=sft", "method.packing=true")


def test_micro_batch_tokens_bounds_what_goes_through_the_model_at_once(make_run, chat_examples):
    def calls(*settings):
        run = make_run(chat_examples, *settings)
        found = []
        forward = run.learner.hidden
        run.learner.hidden = lambda rows, which, **k: found.append(len(rows)) or forward(rows, which, **k)
        next(iter(run))
        return found

    assert max(calls("batch.micro_batch_tokens=1")) == 1
    assert max(calls("batch.micro_batch_tokens=16384")) > 1


def test_max_tokens_refuses_a_longer_example_by_name(make_run, chat_examples):
    run = make_run(chat_examples, "batch.max_tokens=12")
    with pytest.raises((DataError, ContextLengthError), match=r"lesson\.jsonl"):
        next(iter(run))


def test_a_cache_of_hidden_states_saves_the_teachers_forward_and_changes_no_bit_that_matters(
    make_run, chat_examples, reminders
):
    def trained(*settings):
        run = make_run(chat_examples, *settings, reminders=reminders)
        calls = []
        forward = run.learner.hidden
        run.learner.hidden = lambda rows, which, **k: calls.append(which) or forward(rows, which, **k)
        return [step.loss for step in run], calls.count("current")

    (kept, few), (anew, many) = trained("rehearsal.cache=hidden"), trained("rehearsal.cache=off")
    assert kept == pytest.approx(anew, rel=1e-4)
    assert few < many


def classified(make_run, examples, *settings):
    run = make_run(examples, "method=classify", *settings)
    steps = list(run)
    return run, len(steps)


def test_labels_gives_the_order_of_the_classes(make_run, labelled_examples):
    assert make_run(labelled_examples, "method=classify").method.labels == ("down", "up")
    assert make_run(labelled_examples, "method=classify", 'method.labels=["up","down"]').method.labels == ("up", "down")


def test_class_weights_weigh_the_rarer_class_more(make_run, labelled_examples):
    few = labelled_examples[:10] + [e for e in labelled_examples[10:] if e.label == "up"]

    def weights(*settings):
        run = make_run(few, "method=classify", "method.validation_share=0", *settings)
        rows = run.method.make_batch(run.learner, few, 0)
        return {run.method.labels[row.label]: row.weight for row in rows}

    assert weights()["up"] == weights()["down"]
    assert weights("method.class_weights=balanced")["down"] > weights("method.class_weights=balanced")["up"]


def test_validation_share_holds_examples_back_from_the_training(make_run, labelled_examples):
    assert len(make_run(labelled_examples, "method=classify", "method.validation_share=0").examples) == 16
    assert len(make_run(labelled_examples, "method=classify", "method.validation_share=0.25").examples) == 12


@pytest.mark.parametrize(("evaluate_every", "patience", "steps"), [(1, 2, 3), (2, 2, 6), (1, 4, 5)])
def test_a_classifier_that_gets_no_better_stops_after_evaluate_every_times_patience(
    make_run, labelled_examples, evaluate_every, patience, steps
):
    settings = ("method.validation_share=0.25", "optimizer.learning_rate=1e-12", "steps=20")
    stopping = (f"method.evaluate_every={evaluate_every}", f"method.patience={patience}")
    run, made = classified(make_run, labelled_examples, *settings, *stopping)
    assert run.stopped
    assert made == steps


def test_the_shares_say_how_many_reminders_each_source_gives():
    def sizes(**settings):
        given = RehearsalConfig(prompts_file="prompts.jsonl", **settings)
        return tuple(source_sizes(given, has_registered=True, has_given=True).values())

    assert sizes(num_reminders=300) == (100, 100, 100)
    assert sizes(num_reminders=150) == (50, 50, 50)
    assert sizes(num_reminders=300, self_written_share=0.0) == (0, 150, 150)
    assert sizes(num_reminders=300, registered_share=0.0) == (150, 0, 150)
    assert sizes(num_reminders=300, given_share=0.25) == (120, 120, 60)


def rollout(ids, *, ended=True):
    return Row([9, 9, *ids], [False, False, *[True] * len(ids)], 1.0, completion_start=2, ended=ended)


HEALTHY = [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("settings", "rows", "kl"),
    [
        ({"min_end_rate": 0.0}, [rollout(HEALTHY, ended=False)], 1.0),
        ({"max_repetition": 1.0}, [rollout([1] * 20)], 1.0),
        ({"min_kl": 0.0}, [rollout(HEALTHY)], 1e-9),
        ({"window": 9}, [rollout(HEALTHY, ended=False)], 1.0),
    ],
    ids=["min_end_rate", "max_repetition", "min_kl", "window"],
)
def test_a_monitor_stops_a_run_unless_its_limit_is_moved(settings, rows, kl):
    def watch(**moved):
        monitors = Monitors(GuardsConfig(**{"window": 2, **moved}))
        for step in range(3):
            monitors.observe(step, rows, kl)

    watch(**settings)
    with pytest.raises(CollapseError):
        watch()


def test_max_length_ratio_bounds_the_growth_of_rollouts():
    def watch(**settings):
        monitors = Monitors(GuardsConfig(window=1, **settings))
        for step, length in enumerate([4, 12]):
            monitors.observe(step, [rollout(list(range(length)))], 1.0)

    watch(max_length_ratio=4.0)
    with pytest.raises(CollapseError, match="grew"):
        watch(max_length_ratio=2.0)
