import sys
from subprocess import run

import pytest

from holdfast.errors import ConfigError
from holdfast.training.config import ClassifyConfig, Recipe, SdftConfig, SftConfig
from holdfast.training.defaults import choose_adapter, choose_learning_rate, count_steps


def test_the_default_recipe_survives_a_round_trip_through_plain_data():
    recipe = Recipe.from_overrides(["method=sdft", "adapter.rank=8", "rehearsal.num_reminders=7"])
    assert Recipe.from_mapping(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learning_rat=1", "did you mean optimizer.learning_rate?"),
        ("learning_rate=1e-3", "did you mean optimizer.learning_rate?"),
        ("rehersal.enabled=false", "did you mean rehearsal?"),
        ("adapter.rnk=3", "did you mean adapter.rank?"),
        ("zzz=1", "known here: base, method"),
        ("method=stf", "choose one of 'auto', 'sft', 'sdft', 'dpo', 'classify'"),
        ("method.skip_tokens=2", "say which one with method.type"),
        ("optimizer.learning_rate=-1", "greater than 0 (given: -1)"),
        ("seed", "not of the form key=value"),
        ("seed.x=1", "Input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_to_write_instead(override, message):
    with pytest.raises(ConfigError) as raised:
        Recipe.from_overrides([override])
    assert message in raised.value.message
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method=sdft", "method.jsd_alpha=0.3"], "jsd_alpha would have no effect"),
        (["method=sdft", "method.top_k=3"], "top_k would have no effect"),
        (["method=sdft", "method.ema_rate=0.5"], "ema_rate would have no effect"),
        (["method=sdft", "method.skip_tokens=0", "method.skip_after=x"], "skip_after would have no effect"),
        (["method=sdft", "method.teacher_template=look"], "must contain {question}"),
        (["method=classify", "method.validation_share=0", "method.patience=9"], "patience would have no effect"),
        (["method=classify", 'method.labels=["a", "a"]'], "names a class twice"),
        (["rehearsal.enabled=false", "rehearsal.weight=3"], "weight would have no effect"),
        (["rehearsal.given_share=0.9"], "prompts_file names no file"),
        (["rehearsal.prompts_file=p.jsonl", "rehearsal.given_share=0"], "prompts_file would have no effect"),
        (["rehearsal.self_written_share=0", "rehearsal.follow_up_share=0.9"], "follow_up_share would have no effect"),
        (["rehearsal.self_written_share=0", "rehearsal.registered_share=0"], "every source of reminders has share 0"),
        (["method=sft", "guards.min_kl=0"], "guards.min_kl would have no effect because method is sft"),
        (["method=classify", "rehearsal.per_step=3"], "rehearsal would have no effect because method is classify"),
        (["method=classify", "gate.remedy_budget=1"], "gate.remedy_budget would have no effect"),
        (["method=classify", "evaluation.max_items=9"], "evaluation.max_items would have no effect"),
        (["guards.teacher_check=off", "guards.teacher_check_examples=9"], "teacher_check_examples would have no"),
        (["gate.remedies=[]", "gate.remedy_budget=2"], "remedy_budget would have no effect"),
        (["gate.remedy_budget=0", 'gate.remedies=["rehearsal"]'], "remedies would have no effect"),
        (["rehearsal.enabled=false", 'gate.remedies=["rehearsal"]'], "gate.remedies would have no effect"),
        (["steps=3", "epochs=2"], "epochs would have no effect"),
    ],
)
def test_a_setting_without_an_effect_is_refused(overrides, message):
    with pytest.raises(ConfigError) as raised:
        Recipe.from_overrides(overrides)
    assert message in raised.value.message


def test_overrides_go_on_top_of_a_toml_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('[method]\ntype = "sdft"\nskip_tokens = 5\n\n[optimizer]\nlearning_rate = 0.1\n')
    recipe = Recipe.from_toml(path, ["optimizer.learning_rate=1e-3"])
    assert recipe.method == SdftConfig(skip_tokens=5)
    assert recipe.optimizer.learning_rate == 1e-3
    assert Recipe.from_toml(path, ["method=sft"]).method == SftConfig()


def test_toml_that_cannot_be_read_is_an_error_with_the_path(tmp_path):
    path = tmp_path / "recipe.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        Recipe.from_toml(path)
    path.write_text("steps = = 3")
    with pytest.raises(ConfigError, match="not valid TOML"):
        Recipe.from_toml(path)


def test_the_recipe_loads_no_heavy_library():
    code = "import sys, holdfast.training.config; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_small_model_is_trained_whole_and_a_large_one_by_adapter():
    recipe = Recipe()
    assert choose_adapter(recipe, 2_000_000).adapter is None
    chosen = choose_adapter(recipe, 7_000_000_000)
    assert chosen.adapter is not None
    assert "too many" in chosen.reason
    assert choose_adapter(Recipe(adapter="none"), 7_000_000_000).adapter is None
    asked = Recipe.from_overrides(["adapter.rank=3"])
    assert choose_adapter(asked, 1000).adapter == asked.adapter


def test_the_learning_rate_left_open_falls_with_the_models_size():
    recipe = Recipe()
    full = [choose_learning_rate(recipe, size, full=True).learning_rate for size in (2e6, 5e8, 7e9)]
    lora = [choose_learning_rate(recipe, size, full=False).learning_rate for size in (2e6, 5e8, 7e9)]
    assert full == [5e-4, 5e-5, 1e-5]
    assert lora == [3e-3, 3e-4, 1e-4]
    asked = Recipe.from_overrides(["optimizer.learning_rate=0.5"])
    assert choose_learning_rate(asked, 10, full=True).learning_rate == 0.5


def test_a_preference_is_learned_with_a_tenth_of_the_rate_but_on_the_base_it_was_measured_on():
    recipe = Recipe.from_overrides(["method=dpo"])
    rates = [choose_learning_rate(recipe, size, full=True) for size in (2e6, 5e8, 7e9)]
    assert [rate.learning_rate for rate in rates] == pytest.approx([5e-4, 5e-6, 1e-6])
    assert "a tenth of" in rates[1].reason


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("evaluation.reflect=-1", "evaluation.reflect"),
        ("evaluation.reflect=maybe", "evaluation.reflect"),
        ("method.policy.beta=-1", "method.policy.beta"),
        ("method.templates.reflect=3", "method.templates.reflect"),
        ("method.group_size=1", "method.group_size"),
    ],
)
def test_an_error_names_the_setting_as_it_is_written(word, key):
    with pytest.raises(ConfigError, match=f"recipe: {key}: Input should be") as caught:
        Recipe.from_overrides(["method=reflect", word])
    assert caught.value.param == key


def test_steps_are_four_hundred_or_two_epochs_unless_said():
    assert count_steps(Recipe(), 100) == 400
    assert count_steps(Recipe(), 24_000) == 2000
    assert count_steps(Recipe(steps=7), 24_000) == 7
    assert count_steps(Recipe(epochs=0.5), 100) == 3


def test_a_methods_settings_may_come_before_its_name():
    recipe = Recipe.from_overrides(["method.max_new_tokens=512", "method=sdft"])
    assert recipe.method == SdftConfig(max_new_tokens=512)
    with pytest.raises(ConfigError, match="max_new_tokens"):
        Recipe.from_overrides(["method.max_new_tokens=512", "method=sft"])


def test_a_method_that_was_chosen_resets_what_it_does_not_read_and_names_it():
    recipe = Recipe.from_overrides(["guards.min_kl=0", "guards.alignment_check=false", "gate.margin=0.1", "steps=3"])
    plain, names = recipe.with_method(SftConfig())
    assert names == ["guards.min_kl"]
    assert (plain.guards.min_kl, plain.guards.alignment_check, plain.gate.margin, plain.steps) == (1e-5, False, 0.1, 3)
    classifier, names = recipe.with_method(ClassifyConfig())
    assert names == ["guards", "gate.margin"]
    assert Recipe.from_mapping(classifier.model_dump(mode="json")) == classifier
    assert recipe.with_method(SdftConfig()) == (recipe.model_copy(update={"method": SdftConfig()}), [])


def test_the_learning_rate_factor_scales_what_is_chosen_and_nothing_that_is_given():
    plain, scaled = (Recipe.from_overrides([f"optimizer.learning_rate_factor={factor}"]) for factor in (1.0, 0.5))
    for size in (2e6, 5e8, 7e9):
        rates = [choose_learning_rate(recipe, size, full=True).learning_rate for recipe in (plain, scaled)]
        assert rates[1] == rates[0] / 2
    assert "0.5 times" in choose_learning_rate(scaled, 2e6, full=True).reason
    with pytest.raises(ConfigError, match=r"learning_rate_factor.*learning_rate is given"):
        Recipe.from_overrides(["optimizer.learning_rate=1e-4", "optimizer.learning_rate_factor=2"])
