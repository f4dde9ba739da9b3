"""Tests are asked once, cached for as long as they are asked alike, and never truncated."""

import pytest

from holdfast.errors import DataError
from holdfast.jobs.answers import TOO_LONG, scored
from holdfast.jobs.exam import exam_of
from holdfast.jobs.interrupt import StopRequested, StopSwitch
from holdfast.jobs.material import put_items
from holdfast.jobs.progress import Silent
from holdfast.jobs.workspace import add_base
from holdfast.store.workspace import Workspace
from holdfast.training.config import EvaluationConfig, Recipe
from holdfast.types import Completion, Example, Message, Skill


class Parrot:
    """A learner that answers every prompt with its last word; a prompt has one token a letter."""

    def __init__(self, context_length=1000):
        self.tokenizer, self.context_length, self.asked = None, context_length, 0

    def generate(self, prompts, sampling, *, which, progress):
        assert sampling.temperature == 0
        self.asked += len(prompts)
        progress(len(prompts), len(prompts))
        return [[Completion("".join(prompt).split()[-1], (), (), "stop")] for prompt in prompts]


@pytest.fixture(autouse=True)
def _letters(monkeypatch):
    monkeypatch.setattr("holdfast.models.render.render_prompt", lambda _, turns, tools: list(turns[-1].content))


@pytest.fixture
def asked(tmp_path):
    """Asks a parrot a skill's test; the words of the questions are given."""
    with Workspace.create(tmp_path / "home") as workspace:
        add_base(workspace, "holdfast:tiny")

        def ask(parrot, *questions, stop=None, **settings):
            items = [Example(q, (Message("user", q), Message("assistant", "red"))) for q in questions]
            skill = Skill("colours", "", put_items(workspace, items), "exact")
            workspace.add_skill(skill, replace=True)
            return scored(
                workspace,
                parrot,
                "candidate",
                "v1",
                skill,
                exam_of(Recipe(evaluation=EvaluationConfig(**settings))),
                progress=Silent(),
                stop=stop or StopSwitch(),
            )

        yield ask


def test_every_item_is_judged_and_the_results_are_kept(asked):
    parrot = Parrot()
    first = asked(parrot, "a red", "a blue", max_new_tokens=8)
    assert [result.passed for result in first] == [True, False]
    assert asked(parrot, "a red", "a blue", max_new_tokens=8) == first
    assert parrot.asked == 2


def test_answers_of_another_length_are_not_taken_for_these(asked):
    parrot = Parrot()
    asked(parrot, "a red", max_new_tokens=8)
    asked(parrot, "a red", max_new_tokens=16)
    assert parrot.asked == 2


def test_an_item_that_does_not_fit_is_not_gradable_and_never_shortened(asked):
    results = asked(Parrot(context_length=20), "a red", "a very very long story about red", max_new_tokens=8)
    assert [result.error_type for result in results] == [None, TOO_LONG]
    assert "32 tokens, the model can read 12" in results[1].explanation


def test_a_test_of_which_nothing_fits_is_an_error_with_the_numbers(asked):
    with pytest.raises(DataError, match=r"The shortest prompt has 5 tokens, and 10 of context less 8 .* leave 2"):
        asked(Parrot(context_length=10), "a red", max_new_tokens=8)


def test_only_the_wanted_number_of_items_is_asked(asked):
    assert len(asked(Parrot(), "a red", "b red", "c red", max_items=2)) == 2


def test_a_stop_leaves_a_half_answered_test_unsaved(asked):
    parrot, stop = Parrot(), StopSwitch()
    stop.turn()
    with pytest.raises(StopRequested):
        asked(parrot, "a red", stop=stop)
    asked(parrot, "a red")
    assert parrot.asked == 2
