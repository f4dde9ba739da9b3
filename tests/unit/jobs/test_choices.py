"""How a preference is tested: a model chooses between two answers, and `preferred` judges the choice."""

import pytest
from tests.end_to_end.conftest import small_base  # noqa: F401 - a fixture

from holdfast.errors import ConfigError, DataError, TrainingError
from holdfast.graders import grader
from holdfast.jobs.admission import Reader, item_problem, train_problem
from holdfast.jobs.choices import choose_all, likelier
from holdfast.jobs.grading import choose_grader
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.progress import Silent
from holdfast.models.learner import Learner
from holdfast.models.load import load
from holdfast.training.config import DpoConfig, Recipe, SdftConfig
from holdfast.training.methods import choose
from holdfast.training.methods.dpo import pair_row
from holdfast.types import Completion, Example, Message, Skill, ToolCall

SKILL = Skill("kind", "", "", "preferred")


def pair(number, answer="abcd", rejected="the", **more):
    messages = (Message("user", f"ask {number}"), Message("assistant", answer))
    return Example(f"p{number}", messages, rejected=Message("assistant", rejected), source=f"a.jsonl:{number}", **more)


@pytest.fixture
def learner(small_base):  # noqa: F811
    return Learner.create(load(str(small_base), dtype="float32", device="cpu"), None)


def chosen(learner, items):
    rows = [pair_row(learner.tokenizer, item, max_tokens=512) for item in items]
    return likelier(learner, "candidate", items, rows)


def test_the_answer_is_the_one_whose_tokens_are_likelier_on_average(learner):
    # The base writes four letters of a to j; a long answer of them costs more in sum than one odd letter.
    (found,) = chosen(learner, [pair(1, "zzzzzz", "abcd")])
    assert (found.text, len(found.logprobs)) == ("abcd", 5)
    (other,) = chosen(learner, [pair(1, "abcd", "zzzzzz")])
    assert (other.text, other.logprobs) == ("abcd", pytest.approx(found.logprobs, abs=1e-5))


def test_every_item_has_a_result_and_one_that_is_too_long_is_not_gradable(learner):
    items = [pair(1, "abcd", "zzzz"), pair(2, "zzzz", "abcd"), pair(3, "x" * 600, "abcd")]
    progress = Silent()
    found = choose_all(learner, "current", items, SKILL, title="t", progress=progress, stop=StopSwitch())
    assert [(each.item_id, each.passed, each.error_type) for each in found] == [
        ("p1", True, None),
        ("p2", False, None),
        ("p3", False, "context_length_exceeded"),
    ]
    assert [each.completion for each in found] == ["abcd", "abcd", ""]
    assert "1 of 3 items of kind are too long" in progress.warned[0]
    with pytest.raises(DataError, match="no test item fits"):
        choose_all(learner, "current", items[2:], SKILL, title="t", progress=progress, stop=StopSwitch())


def test_the_grader_passes_the_preferred_answer_fails_the_other_and_judges_no_third():
    item, judge = pair(1, "yes", "no"), grader("preferred")

    def score(text, item=item):
        return judge(Completion(text, (), (), "stop"), item)

    assert score("yes").passed
    assert (score("no").passed, score("no").error_type) == (False, None)
    assert score("maybe").error_type == "no_choice"
    assert score("yes", Example("x", item.messages)).error_type == "no_reference"
    assert judge.lacking(item) is None
    assert judge.lacking(Example("x", item.messages)) == "has no rejected answer beside a preferred one"


@pytest.mark.parametrize("text", ["", "{" * 9000, "\ud800", "yes no", "\x00" * 500, "no\n" * 4000])
def test_a_hostile_answer_is_not_gradable_and_nothing_breaks(text):
    score = grader("preferred")(Completion(text, (), (), "stop"), pair(1, "yes", "no"))
    assert (score.passed, score.error_type) == (False, "no_choice")
    score.explanation.encode()
    assert len(score.explanation) < 500


def test_calls_are_told_apart_too():
    messages = (Message("user", "x"), Message("assistant", "", (ToolCall("f", '{"a": 1}'),)))
    item = Example("p", messages, rejected=Message("assistant", "", (ToolCall("f", '{"a": 2}'),)))
    said = Completion('f {"a": 2}', (), (), "stop")
    assert not grader("preferred")(said, item).passed
    assert grader("preferred")(Completion('f {"a": 1}', (), (), "stop"), item).passed


def test_pairs_are_judged_by_the_choice_only_where_a_preference_is_learned():
    items = [pair(n, "yes", "no") for n in range(4)]
    assert choose_grader("auto", items, pairs=True)[0] == "preferred"
    assert choose_grader("auto", items)[0] == "exact"
    assert choose_grader("contains", items, pairs=True)[0] == "contains"
    bare = Example("x", items[0].messages)
    assert choose_grader("auto", [*items, bare], pairs=True)[0] == "exact"


def test_the_method_for_pairs_is_dpo_and_for_some_pairs_none():
    pairs, bare = [pair(1), pair(2)], Example("x", (Message("user", "a"), Message("assistant", "b")))
    assert choose(pairs).config == DpoConfig()
    assert choose([bare]).config == SdftConfig()
    with pytest.raises(ConfigError, match="2 of 3 examples have a rejected answer"):
        choose([*pairs, bare])


@pytest.mark.parametrize("method", ["dpo", "auto"])
def test_a_row_is_refused_where_one_of_its_answers_cannot_be_learned_from(learner, method):
    reader, recipe = Reader(learner.tokenizer, 60), Recipe.from_overrides([f"method={method}"])
    assert train_problem(reader, pair(1), recipe) is None
    assert item_problem(reader, pair(1), recipe) is None  # nothing is written, so no room is kept for it
    for look in (train_problem, item_problem):
        assert "the rejected answer: " in look(reader, pair(1, "ok", "x" * 60), recipe)
        assert "the rejected answer holds the text '<|end|>'" in look(reader, pair(1, "ok", "a <|end|>"), recipe)
        assert "tokens" in look(reader, pair(1, "x" * 60, "ok"), recipe)


def test_room_for_a_written_answer_is_kept_where_one_is_written(learner):
    reader = Reader(learner.tokenizer, 60)
    for settings, room in ((["method=dpo"], False), (["method=sft", "evaluation.grader=preferred"], False),
                           (["method=sft"], True), (["method=dpo", "evaluation.grader=contains"], True)):  # fmt: skip
        problem = item_problem(reader, pair(1), Recipe.from_overrides(settings))
        assert (problem is not None) is room, settings


def test_a_row_without_a_rejected_answer_is_refused_by_dpo(learner):
    reader = Reader(learner.tokenizer, 512)
    bare = Example("x", (Message("user", "a"), Message("assistant", "b")))
    recipe = Recipe.from_overrides(["method=dpo"])
    assert train_problem(reader, bare, recipe).startswith("has no rejected answer")
    assert train_problem(reader, bare, Recipe.from_overrides(["method=sft"])) is None
    assert train_problem(reader, pair(1), Recipe.from_overrides(["method=sft"])) is None


def test_settings_of_teachers_are_refused_with_dpo():
    with pytest.raises(
        (ConfigError, TrainingError), match=r"guards\.window would have no effect because method is dpo"
    ):
        Recipe.from_overrides(["method=dpo", "guards.window=5"])
