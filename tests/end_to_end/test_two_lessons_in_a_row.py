"""Two lessons in a row on a small base: what reminders protect, and what happens without them."""

import pytest
import torch

from holdfast.models.generate import Sampling
from holdfast.models.learner import Learner
from holdfast.models.load import load
from holdfast.models.render import render_prompt
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.method import Row
from holdfast.training.methods import build
from holdfast.training.mixing import ReminderMix
from holdfast.training.rehearsal import make_reminders
from holdfast.types import Example, Message

LESSON = (
    "method=sft",
    "steps=100",
    "optimizer.learning_rate=0.01",
    "optimizer.warmup_steps=2",
    "batch.examples=8",
)
REMINDED = (
    "rehearsal.per_step=8",
    "rehearsal.num_reminders=120",
    "rehearsal.max_new_tokens=8",
    "rehearsal.max_prompt_tokens=16",
)
ALONE = ("rehearsal.enabled=false",)


def lesson(word, answer):
    """Twenty questions with one answer."""
    return [Example(f"{word}{n}", (Message("user", f"{word} {n}"), Message("assistant", answer))) for n in range(20)]


def teach(start, examples, settings, registered=None):
    """The learner after one lesson on the weights in `start`, and its steps."""
    recipe = Recipe.from_overrides([*LESSON, *settings])
    base = load(str(start), dtype="float32", device="cpu")
    learner = Learner.create(base, None, gradient_checkpointing=False)
    reminders = ()
    if recipe.rehearsal.enabled:
        reminders = make_reminders(learner, recipe.rehearsal, registered_prompts=registered or {}, seed=0).items
    return learner, list(Run(learner, build(recipe, learner, examples), examples, recipe, reminders=reminders))


def drift(learner):
    """Forward KL from current to candidate, in nats a token, on prompts that `current` writes anew."""
    settings = Recipe.from_overrides(REMINDED).rehearsal
    fresh = make_reminders(learner, settings, seed=99).items
    mix = ReminderMix(learner, fresh, settings, num_steps=1, seed=0, micro_batch_tokens=4096)
    rows = [
        Row([*r.prompt_ids, *r.completion_ids], [False] * len(r.prompt_ids) + [True] * len(r.completion_ids), 1.0)
        for r in fresh
    ]
    with torch.no_grad():
        return mix.loss(learner, rows).per_row.mean().item()


def answered(learner, examples):
    """The share of a lesson's questions that the candidate answers as taught."""
    prompts = [render_prompt(learner.tokenizer, example.prompt) for example in examples]
    texts = [g[0].text for g in learner.generate(prompts, Sampling(max_new_tokens=8, temperature=0.0))]
    wanted = [example.demonstration.content for example in examples]
    return sum(map(str.__eq__, texts, wanted)) / len(wanted)


@pytest.fixture(scope="module")
def lessons():
    """A lesson and the one after it."""
    return lesson("red", "stop"), lesson("green", "go on")


def test_reminders_keep_the_model_what_it_was_while_it_learns(small_base, lessons):
    reminded, _ = teach(small_base, lessons[0], REMINDED)
    alone, _ = teach(small_base, lessons[0], ALONE)
    assert min(answered(reminded, lessons[0]), answered(alone, lessons[0])) >= 0.9
    assert drift(reminded) < 0.1 * drift(alone)


def test_the_first_lesson_survives_the_second_by_its_registered_prompts(small_base, lessons, tmp_path):
    first, second = lessons
    learner, _ = teach(small_base, first, REMINDED)
    assert answered(learner, first) >= 0.9
    learner.save(tmp_path / "first")
    kept, steps = teach(tmp_path / "first", second, REMINDED, registered={"red": first})
    lost, _ = teach(tmp_path / "first", second, ALONE)
    assert steps[-1].num_reminders == 8
    assert min(answered(kept, second), answered(lost, second)) >= 0.9
    assert answered(kept, first) >= 0.9
    assert answered(lost, first) < 0.5
