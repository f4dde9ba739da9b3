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
    result, _ = order("evaluation.test_share=0.5", test_source=None)
    assert num_items(workspace, result) == 6


def test_max_items_bounds_the_test(workspace, order):
    result, _ = order("evaluation.max_items=5")
    assert num_items(workspace, result) == 5


def test_max_new_tokens_bounds_an_answer_in_a_test(workspace, order):
    result, _ = order("evaluation.max_new_tokens=1")
    assert max(len(each.completion) for each in workspace.scores(result.version.id, "red")) <= 1


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
        checkpoints, "save_checkpoint", lambda at, state: saved.append(state["step"]) or save(at, state)
    )
    order("steps=6", "checkpoint_every=4")
    assert set(saved) == {2, 3, 4, 6}, "a remedy may look at 2 and 3, and 6 is the last"


def test_the_gate_and_the_remedies_follow_the_recipe(order, monkeypatch):
    import holdfast.jobs.judge as judging
    import holdfast.jobs.learn as learning

    asked, planned = [], []
    decide, attempts = judging.decide, learning.attempts
    monkeypatch.setattr(judging, "decide", lambda *a, **k: asked.append(k) or decide(*a, **k))
    monkeypatch.setattr(learning, "attempts", lambda *a, **k: planned.append((a, k)) or attempts(*a, **k))
    order("gate.margin=0.3", "gate.confidence=0.8", 'gate.remedies=["interpolation"]', "gate.remedy_budget=1")
    assert (asked[0]["margin"], asked[0]["confidence"]) == (0.3, 0.8)
    assert planned == [((("interpolation",), 1), {"rehearsed": True})]


def test_the_base_of_a_recipe_must_be_the_workspaces(workspace):
    from holdfast.jobs.workspace import on_base, read_recipe

    assert on_base(workspace, read_recipe(None, [])).base == workspace.current().base
    with pytest.raises(ConfigError, match="base"):
        on_base(workspace, read_recipe(None, ["base=another/model"]))


def test_precision_device_and_adapter_say_how_the_base_is_loaded_and_trained(order):
    result, said = order("precision=bfloat16", "device=cpu", "adapter.rank=3")
    assert result.version.recipe["precision"] == "bfloat16"
    assert result.version.recipe["adapter"]["rank"] == 3
    assert any("bfloat16: as asked" in sentence for sentence in said.said)
    assert any("device cpu: as asked" in sentence for sentence in said.said)
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="no GPU"):
            order("device=cuda", name="other")


@pytest.mark.parametrize(
    ("key", "value"), [("rank", 2), ("alpha", 64), ("dropout", 0.5), ("target_modules", ["q_proj"]), ("type", "lora")]
)
def test_changing_a_setting_of_the_adapter_changes_what_is_trained(small_base, key, value):
    from holdfast.models.adapter_config import AdapterConfig

    def trained(**settings):
        from holdfast.models.layout import TokenRow

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


def test_the_checks_before_a_run_follow_the_recipe(order, monkeypatch):
    import holdfast.training.guards as guards

    looked, aligned = [], []

    def never_better(learner, examples, *, num_examples, **others):
        looked.append(num_examples)
        return guards.TeacherReport(num_examples, 1.0, 2.0, None, None, better=False, words="worse with the context")

    monkeypatch.setattr(guards, "check_teacher", never_better)
    monkeypatch.setattr(guards, "check_alignment", lambda *a, **k: aligned.append(True) or 1.0)
    with pytest.raises(TeacherNotBetterError):
        order(*SDFT)
    _, said = order(*SDFT, "guards.teacher_check=warn", "guards.teacher_check_examples=7", name="warned")
    assert any("does not make the teacher better" in sentence for sentence in said.warned)
    assert (looked, len(aligned)) == ([32, 7], 2)
    order(*SDFT, "guards.teacher_check=off", "guards.alignment_check=false", name="unlooked")
    assert (looked, len(aligned)) == ([32, 7], 2)


def test_a_prompts_file_becomes_reminders(order, tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"green {number}"}) + "\n" for number in range(20)))
    _, said = order(f"rehearsal.prompts_file={path}")
    assert any("given" in sentence for sentence in said.said)


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
