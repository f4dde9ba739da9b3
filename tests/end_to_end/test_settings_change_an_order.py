"""Every setting of an order that the training itself does not read changes what the order does."""

import json

import pytest
import torch

from holdfast.errors import ConfigError, DataError, ModelError, TeacherNotBetterError
from holdfast.jobs.learn import learn
from holdfast.jobs.progress import Silent
from holdfast.models.learner import Learner
from holdfast.models.load import load
from holdfast.training.config import RehearsalConfig
from holdfast.training.defaults import choose_adapter
from holdfast.training.rehearsal import make_reminders
from holdfast.types import Example, Message

BRIEF = ("steps=2", "checkpoint_every=1", "optimizer.warmup_steps=0", "batch.examples=4", "gate.remedy_budget=0")


@pytest.fixture
def order(workspace, lesson, quick):
    """Carries out a short order with some settings; returns its result and what was said."""
    from holdfast.training.config import Recipe

    base = workspace.current().base
    data, test = lesson("red.jsonl", "red", "ok", 12), lesson("red.test.jsonl", "red", "ok", 12, start=500)

    def give(*settings, name="red", test_source=test, source=data):
        others = {setting.split("=")[0] for setting in settings}
        kept = [each for each in (*quick, *BRIEF) if each.split("=")[0] not in others]
        recipe = Recipe.from_overrides([f"base={base}", *kept, *settings])
        said = Silent()
        result = learn(workspace, source, skill=name, recipe=recipe, progress=said, test_source=test_source)
        return result, said

    return give


def num_items(workspace, result):
    return len(workspace.scores(result.version.id, result.skill))


def test_test_share_says_how_many_examples_are_held_out(workspace, order):
    few, _ = order("evaluation.test_share=0.25", name="few", test_source=None)
    many, _ = order("evaluation.test_share=0.5", name="many", test_source=None)
    assert num_items(workspace, few) == 3
    assert num_items(workspace, many) == 6


def test_max_items_bounds_the_test(workspace, order):
    result, _ = order("evaluation.max_items=5")
    assert num_items(workspace, result) == 5


def test_max_new_tokens_bounds_an_answer_in_a_test(workspace, order):
    def longest(n):
        result, _ = order(f"evaluation.max_new_tokens={n}", name=f"skill{n}")
        return max(len(each.completion) for each in workspace.scores(result.version.id, result.skill))

    assert longest(1) <= 1 < longest(6)


def test_the_grader_that_is_named_judges(workspace, order):
    order("evaluation.grader=contains")
    assert workspace.skill("red").grader == "contains"
    with pytest.raises((DataError, ConfigError), match="nobody"):
        order("evaluation.grader=nobody")


def test_checkpoint_every_says_how_often_the_run_is_saved(order, monkeypatch):
    import holdfast.models.checkpoint as checkpoints

    saved = []
    save = checkpoints.save_checkpoint
    monkeypatch.setattr(
        checkpoints, "save_checkpoint", lambda folder, state: saved.append(folder) or save(folder, state)
    )
    order("steps=6", "checkpoint_every=1")
    often = len(saved)
    order("steps=6", "checkpoint_every=6", name="other")
    assert often == 6
    assert len(saved) - often < 6


def test_margin_and_confidence_decide_whether_a_difference_counts(order, monkeypatch):
    import holdfast.jobs.judge as judging

    asked = []
    decide = judging.decide
    monkeypatch.setattr(judging, "decide", lambda *a, **k: asked.append(k) or decide(*a, **k))
    order()
    order("gate.margin=0.3", "gate.confidence=0.8", name="other")
    assert [(k["margin"], k["confidence"]) for k in asked] == [(0.02, 0.95), (0.3, 0.8)]


def test_remedies_and_remedy_budget_say_what_is_tried_after_a_refusal(workspace, order, lesson):
    order("steps=48", "optimizer.learning_rate=0.01", test_source=lesson("t.jsonl", "red", "ok", 160, start=500))

    def tried(name, *settings):
        harm = lesson("harm.jsonl", "red", "no", 12)
        spoil = ("steps=48", "optimizer.learning_rate=0.01", "rehearsal.enabled=false")
        unset = [f"rehearsal.{key}={value}" for key, value in UNSET.items()]
        result, _ = order(*spoil, *unset, *settings, name=name, source=harm, test_source=None)
        return [attempt["how"] for attempt in result.attempts]

    assert len(tried("a", "gate.remedy_budget=0")) == 1
    once = tried("b", "gate.remedy_budget=1", 'gate.remedies=["interpolation"]')
    other = tried("c", "gate.remedy_budget=1", 'gate.remedies=["earlier_checkpoint"]')
    assert "interpolation" in once[1]
    assert "checkpoint" in other[1]


UNSET = {
    name: RehearsalConfig.model_fields[name].default
    for name in ("num_reminders", "per_step", "max_new_tokens", "max_prompt_tokens")
}


def test_the_base_of_a_recipe_must_be_the_workspaces(workspace):
    from holdfast.jobs.workspace import recipe_for

    assert recipe_for(workspace, None, []).base == workspace.current().base
    with pytest.raises(ConfigError, match="base"):
        recipe_for(workspace, None, ["base=another/model"])


def test_precision_and_device_say_how_the_base_is_loaded(order):
    result, said = order("precision=bfloat16", "device=cpu")
    assert result.version.recipe["precision"] == "bfloat16"
    assert any("bfloat16: as asked" in sentence for sentence in said.said)
    assert any("device cpu: as asked" in sentence for sentence in said.said)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no GPU"):
            order("device=cuda", name="other")


def test_an_adapter_is_trained_where_the_recipe_asks_for_one(order):
    full, _ = order("adapter=none")
    assert full.version.recipe["adapter"] == "none"


@pytest.mark.parametrize(
    ("key", "value"), [("rank", 2), ("alpha", 64), ("dropout", 0.5), ("target_modules", ["q_proj"]), ("type", "lora")]
)
def test_changing_a_setting_of_the_adapter_changes_what_is_trained(small_base, key, value):
    from holdfast.models.adapter_config import AdapterConfig

    def trained(**settings):
        from holdfast.models.learner import TokenRow

        torch.manual_seed(0)
        learner = Learner.create(load(str(small_base)), AdapterConfig(**settings), gradient_checkpointing=False)
        optimizer = torch.optim.SGD([p for _, p in learner.trainable()], lr=1.0)
        for _ in range(2):
            learner.hidden(
                [TokenRow([1, 20, 30, 40], [False, True, True, True])], "candidate"
            ).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        row = TokenRow([1, 20, 30], [False, True, True])
        return [tuple(p.shape) for _, p in learner.trainable()], learner.hidden([row], "candidate").detach()

    shapes, states = trained()
    other_shapes, other_states = trained(**{key: value})
    changed = shapes != other_shapes or not torch.equal(states, other_states)
    assert changed is (key != "type"), "there is one type of adapter so far"


def test_the_recipe_chooses_between_an_adapter_and_all_weights():
    from holdfast.training.config import Recipe

    assert choose_adapter(Recipe(adapter="none"), 10**10).adapter is None
    assert choose_adapter(Recipe.from_overrides(["adapter.rank=3"]), 1000).adapter.rank == 3


SDFT = ("method.type=sdft", "method.max_new_tokens=6")


def test_teacher_check_refuses_warns_or_does_not_look(order, monkeypatch):
    import holdfast.training.guards as guards

    looked = []

    def never_better(learner, examples, *, num_examples, **others):
        looked.append(num_examples)
        return guards.TeacherReport(num_examples, 1.0, 2.0, None, None, better=False, words="worse with the context")

    monkeypatch.setattr(guards, "check_teacher", never_better)
    with pytest.raises(TeacherNotBetterError):
        order(*SDFT)
    _, said = order(*SDFT, "guards.teacher_check=warn", "guards.teacher_check_examples=7", name="warned")
    assert any("does not make the teacher better" in sentence for sentence in said.warned)
    assert looked == [32, 7]
    order(*SDFT, "guards.teacher_check=off", name="unlooked")
    assert len(looked) == 2


def test_alignment_check_can_be_turned_off(order):
    def checked(*settings, name):
        return any("Alignment" in sentence for sentence in order(*settings, name=name)[1].said)

    assert checked(name="on")
    assert not checked("guards.alignment_check=false", name="off")


def test_a_prompts_file_becomes_reminders(order, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"green {number}"}) + "\n" for number in range(20)))
    _, without = order()
    _, given = order(f"rehearsal.prompts_file={path}", name="other")
    assert not any("given" in sentence for sentence in without.said)
    assert any("given" in sentence for sentence in given.said)


@pytest.fixture(scope="module")
def reminded(small_base):
    """Makes reminders on the small base with some settings."""
    learner = Learner.create(load(str(small_base)), None, gradient_checkpointing=False)
    taught = [Example(f"id{n}", (Message("user", f"red {n}"), Message("assistant", "ok"))) for n in range(9)]

    def make(**settings):
        small = {"num_reminders": 12, "max_prompt_tokens": 16, "max_new_tokens": 6, **settings}
        return make_reminders(learner, RehearsalConfig(**small), registered_prompts={"red": taught}, seed=3).items

    return make


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_reminders", 8),
        ("self_written_share", 0.1),
        ("registered_share", 0.1),
        ("system_turn_share", 0.9),
        ("follow_up_share", 0.9),
        ("max_prompt_tokens", 5),
        ("max_new_tokens", 1),
        ("temperature", 0.3),
    ],
)
def test_changing_a_setting_of_rehearsal_changes_the_reminders(reminded, key, value):
    assert reminded() == reminded()
    assert reminded(**{key: value}) != reminded()
