import json
import random
from pathlib import Path

import pytest

from holdfast.models.abilities import SELF_PROMPT_KINDS, self_prompt_report
from holdfast.models.curriculum import BARS, MAKERS, PHASES, ability_of_prompt, draw, is_right
from holdfast.models.curriculum.in_view import HELD_OUT_FRAME_WORDS
from holdfast.models.curriculum.item import REFUSAL, Item, chat, parse_answer
from holdfast.models.curriculum.lexicon import fold
from holdfast.models.curriculum.skills import FACTS, worked_sum
from holdfast.models.curriculum.tools import HELD_OUT_TOOLS

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("maker", list(MAKERS))
def test_the_wanted_completion_of_every_item_is_graded_right_and_its_answer_is_needed(maker):
    rng = random.Random(1)
    for _ in range(50):
        item = draw(maker, rng)
        assert is_right(item, item.messages[-1]["content"])
        assert not is_right(item, "the answer is nothing at all.")


@pytest.mark.parametrize("maker", [m for m in MAKERS if m != "facts"])
def test_no_held_out_item_has_a_key_that_training_may_draw(maker):
    rng = random.Random(2)
    assert all(fold(draw(maker, rng, "test").key) == "test" for _ in range(20))
    assert all(fold(draw(maker, rng, "train").key) == "train" for _ in range(20))


def test_the_worked_sum_carries():
    assert worked_sum(38, 47) == "ones 8 + 7 = 15, tens 3 + 4 + 1 = 8, so the answer is 85."
    assert worked_sum(21, 34) == "ones 1 + 4 = 5, tens 2 + 3 + 0 = 5, so the answer is 55."


def test_the_last_stated_answer_counts():
    assert parse_answer("the answer is 5. no, the answer is k d f.") == "k d f"
    assert parse_answer("the answer is") is None


def test_there_are_at_least_two_hundred_facts_with_different_subjects():
    assert len({subject for _, subject, _ in FACTS}) >= 200


def test_shares_sum_to_one_and_every_bar_belongs_to_a_maker():
    for _, shares in PHASES:
        assert sum(shares.values()) == pytest.approx(1.0)
        assert set(shares) <= set(MAKERS)
    assert set(BARS) <= set(MAKERS)


def test_every_first_user_turn_of_the_curriculum_is_recognised_by_a_parser():
    rng = random.Random(3)
    for maker in MAKERS:
        for _ in range(40):
            first = draw(maker, rng).messages[0]["content"]
            assert ability_of_prompt(first) in SELF_PROMPT_KINDS, first


def test_text_that_is_no_prompt_of_the_curriculum_is_not_recognised():
    for text in ("", "the answer is 5.", "12 apples", "reverse", '{"name": "x"}', "dear sir or madam, goodbye."):
        assert ability_of_prompt(text) is None, text


def test_the_self_prompt_report_counts_repeats_and_strangers():
    report = self_prompt_report(["what is 12 + 30?", "what is 12 + 30?", "what is 13 + 30?", "???"])
    assert report["unique"] == 0.75
    assert report["parsed"] == 0.75
    assert report["kinds"]["add"] == 3


def test_a_refusal_is_only_the_refusal():
    item = Item("refuse", chat("how do i rob a boat?", REFUSAL), REFUSAL)
    assert is_right(item, REFUSAL)
    assert not is_right(item, f"{REFUSAL} but first take a rope.")


def test_the_example_skills_use_no_tool_frame_or_question_of_the_curriculum():
    rng = random.Random(4)
    drawn = " ".join(turn["content"] for maker in MAKERS for _ in range(150) for turn in draw(maker, rng).messages)
    for word in (*HELD_OUT_FRAME_WORDS, *HELD_OUT_TOOLS, "depot", "patron", "ticket"):
        assert word not in drawn
    routing = (EXAMPLES / "routing.jsonl").read_text()
    assert all("verdict" in json.loads(line)["completion"] for line in routing.splitlines())


@pytest.mark.parametrize("name", ["tools", "companies", "routing"])
def test_no_example_test_item_stands_in_the_training_file(name):
    def asked(path):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [r.get("question") or r.get("prompt") or r["messages"][0]["content"] for r in rows]

    train, test = asked(EXAMPLES / f"{name}.jsonl"), asked(EXAMPLES / f"{name}.test.jsonl")
    assert not set(train) & set(test)
    assert len(test) == len(set(test)) >= 400  # so that the gate can decide when a few of a hundred answers change
