"""Preferences taught to a whole model: the preferred answer wins on pairs that it never saw, nothing else is lost."""

import json
import random

import pytest
import torch

from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.jobs.answers import items_of
from holdfast.jobs.choices import likelier
from holdfast.jobs.evaluate import evaluate_version
from holdfast.jobs.learn import learn
from holdfast.jobs.progress import Silent
from holdfast.jobs.workspace import on_base, read_recipe
from holdfast.models.generate import Sampling
from holdfast.models.learner import Learner
from holdfast.models.load import load
from holdfast.models.render import render_prompt
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.methods import build
from holdfast.training.methods.dpo import pair_row
from holdfast.training.rehearsal import make_reminders
from holdfast.types import Example, Message


def teach(workspace, source, skill, settings, **more):
    recipe = on_base(workspace, read_recipe(None, list(settings)))
    return learn(workspace, source, skill=skill, recipe=recipe, progress=more.pop("progress", Silent()), **more)


@pytest.fixture
def pairs(tmp_path):
    """Writes questions that begin with a word, each with an answer that is preferred to what the base would say."""

    def write(name, word, num, start=0, prefer=lambda draw: "yes"):
        path, draw = tmp_path / name, random.Random(name)
        rows = [
            {
                "prompt": f"{word} {number} {draw.choice('abcdefgh')}",
                "chosen": prefer(draw),
                "rejected": "".join(draw.choice("abcdefghij") for _ in range(4)),
            }
            for number in range(start, start + num)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def preferring(quick):
    """The quick settings with the method left to the data."""
    return [setting for setting in quick if not setting.startswith("method")]


def test_a_preference_is_learned_beside_an_earlier_skill_and_both_are_measured(
    workspace, lesson, pairs, quick, preferring
):
    red = lesson("red.jsonl", "red", "ok", 40), lesson("red.test.jsonl", "red", "ok", 160, start=500)
    assert teach(workspace, red[0], "red", quick, test_source=red[1]).status == "accepted"
    progress = Silent()
    data, test = pairs("kind.jsonl", "kind", 60), pairs("kind.test.jsonl", "kind", 160, start=500)
    result = teach(workspace, data, "kind", preferring, test_source=test, progress=progress)
    assert any(text.startswith("method dpo: every example has an answer that is preferred") for text in progress.said)
    assert any(text.startswith("grader preferred: every item has two answers") for text in progress.said)
    assert result.status == "accepted"
    assert result.parent.scores["kind"] < 0.1
    assert result.version.scores["kind"] > 0.5
    assert result.version.scores["red"] > 0.9
    metrics = workspace.steps(result.run_id)[-1].metrics
    assert metrics["reward_margin"] > 1
    assert "reward margin" in result.report_path.read_text()
    measured = {row.skill: row for row in evaluate_version(workspace, progress=Silent(), anew=True).rows}
    assert (measured["kind"].grader, measured["kind"].accuracy) == ("preferred", result.version.scores["kind"])


def test_sft_learns_the_preferred_answers_and_says_that_it_reads_no_others(workspace, pairs, quick):
    progress = Silent()
    test = pairs("kind.test.jsonl", "kind", 40, start=500)
    result = teach(workspace, pairs("kind.jsonl", "kind", 40), "kind", quick, test_source=test, progress=progress)
    assert "sft does not read the rejected answers of 40 examples." in progress.said
    assert result.version.scores["kind"] == 1.0  # the answer itself is what is tested


def test_rows_without_a_rejected_answer_are_refused_by_name_and_mixed_data_needs_a_method(
    workspace, pairs, lesson, preferring, tmp_path
):
    plain = lesson("plain.jsonl", "kind", "yes", 30)
    with pytest.raises(NothingToLearnError, match=r"plain\.jsonl:1: has no rejected answer"):
        teach(workspace, plain, "kind", [*preferring, "method=dpo"], test_source=pairs("t.jsonl", "kind", 30, 500))
    mixed = tmp_path / "mixed.jsonl"
    with open(pairs("kind.jsonl", "kind", 30, 100)) as two, open(plain) as one:
        mixed.write_text(two.read() + one.read())
    with pytest.raises(ConfigError, match="have a rejected answer and the others none"):
        teach(workspace, str(mixed), "kind", preferring, test_source=pairs("t.jsonl", "kind", 30, 500))


def test_prepared_pairs_are_learned_as_pairs(workspace, preferring, tmp_path):
    from tests.end_to_end.test_prepare_and_learn import asked, holdfast

    from holdfast.data.output.version import load

    rows = [
        {"prompt": text, "chosen": "yes", "rejected": f"ask {n}@example.org"} for n, text in enumerate(asked("k", 60))
    ]
    (tmp_path / "kind.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    switches = [f"checks.{name}.enabled=false" for name in ("semantic_duplicates", "language")]
    words = ["prepare", tmp_path / "kind.jsonl", "--skill", "kind", "-w", tmp_path / "home", "--json"]
    prepared = json.loads(holdfast(*words, *(word for switch in switches for word in ("--set", switch))))
    kept = [each for part in ("train", "test") for each in load(prepared["folder"]).examples(part)]
    assert len(kept) == 60
    assert not any("@example.org" in each.rejected.content for each in kept)
    result = teach(workspace, prepared["folder"], "kind", preferring)
    assert result.version.recipe["method"]["type"] == "dpo"
    skill = workspace.skill("kind")
    for content in (skill.train_hash, skill.test_hash):
        assert all(item.rejected is not None for item in items_of(workspace.files.path_of(content)))


def test_an_order_for_dpo_is_worded_as_openais_api_words_it(workspace):
    from holdfast.jobs.fine_tuning import recipe_of

    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2, "batch_size": "auto"}}}
    recipe = recipe_of(workspace, {"method": method})
    assert (recipe.method.type, recipe.method.beta, recipe.epochs) == ("dpo", 0.2, 2)
    left_open = recipe_of(workspace, {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": "auto"}}}})
    assert left_open.method.beta == 0.1


def test_render_shows_both_answers(small_base, pairs):
    from holdfast.jobs.render import render

    source = pairs("kind.jsonl", "kind", 3)
    found = render(source, recipe=Recipe.from_overrides([f"base={small_base}"]), num=1, progress=Silent())
    assert found.shown[0].pieces[-1] == ("yes<|end|>", True)
    assert len(found.shown[0].rejected) == 4
    assert found.to_json()["examples"][0]["rejected"] == found.shown[0].rejected


def test_tries_after_a_reflection_have_no_place_in_a_choice(workspace, pairs, preferring):
    with pytest.raises(ConfigError, match=r"evaluation\.reflect would have no effect because the grader is preferred"):
        teach(workspace, pairs("kind.jsonl", "kind", 40), "kind", [*preferring, "evaluation.reflect=1"])


def test_a_stopped_run_of_dpo_goes_on_to_the_same_weights(small_base, pairs, tmp_path):
    from holdfast.data.read import read
    from holdfast.models.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

    examples = read(pairs("kind.jsonl", "kind", 40)).examples
    recipe = Recipe.from_overrides(["method=dpo", "steps=6", "batch.examples=8", "rehearsal.enabled=false"])

    def start():
        learner = Learner.create(load(str(small_base), dtype="float32", device="cpu"), None)
        return Run(learner, build(recipe, learner, examples), examples, recipe)

    whole, first = start(), start()
    list(whole)
    steps = iter(first)
    for _ in range(3):
        next(steps)
    save_checkpoint(tmp_path / "kept", first.state_dict())
    second = start()
    second.load_state_dict(load_checkpoint(latest_checkpoint(tmp_path / "kept")))
    list(second)
    wanted, found = whole.learner.candidate_state(), second.learner.candidate_state()
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)


NOUNS = ("river", "stone", "lamp", "garden", "bridge", "letter", "window", "market", "winter", "sailor", "horse")
ASKS = (
    "What is a {}?",
    "Tell me about a {}.",
    "Do you like the {}?",
    "Where is the {}?",
    "Why is there a {}?",
    "Is it a {}?",
)


def styled():
    """Questions of which a short and friendly answer is preferred to a refusal, shuffled."""
    found = [
        Example(
            ask.format(noun),
            (Message("user", ask.format(noun)), Message("assistant", f"No, but the {noun} is fine.")),
            rejected=Message("assistant", f"Gladly. The {noun} is a fine thing."),
        )
        for ask in ASKS
        for noun in NOUNS
    ]
    random.Random(0).shuffle(found)
    return found


def test_the_embedded_base_turns_to_a_style_that_it_found_the_less_likely():
    examples = styled()
    train, held_out = examples[:50], examples[50:]
    recipe = Recipe.from_overrides(
        ["method=dpo", "method.sft_weight=1.0", "steps=60", "batch.examples=12", "optimizer.warmup_steps=3",
         "rehearsal.per_step=6", "rehearsal.num_reminders=40"]
    )  # fmt: skip
    learner = Learner.create(load("holdfast:tiny", dtype="float32", device="cpu"), None)
    rows = [pair_row(learner.tokenizer, example, max_tokens=512) for example in held_out]

    def preferring():
        texts = [completion.text for completion in likelier(learner, "candidate", held_out, rows)]
        return sum(text == item.demonstration.content for text, item in zip(texts, held_out, strict=True))

    assert preferring() <= 0.2 * len(held_out)
    reminders = make_reminders(learner, recipe.rehearsal, seed=0).items
    method = build(recipe, learner, train)
    list(Run(learner, method, train, recipe, reminders=reminders))
    assert preferring() >= 0.9 * len(held_out)
    margins = method.loss(learner, method.make_batch(learner, held_out, 0)).metrics
    assert margins["reward_accuracy"] == pytest.approx(1.0)
    assert margins["reward_margin"] > 2
    prompts = [render_prompt(learner.tokenizer, example.prompt) for example in held_out]
    written = [group[0].text for group in learner.generate(prompts, Sampling(max_new_tokens=16, temperature=0.0))]
    assert sum(text.startswith("No, ") for text in written) >= 0.9 * len(written)
