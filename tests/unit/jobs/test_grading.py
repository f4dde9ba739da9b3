"""Which grader judges a skill when nobody said, and why."""

import json

import pytest

from holdfast.errors import ConfigError, DataError
from holdfast.graders import confined
from holdfast.jobs.grading import announce, choose_grader
from holdfast.types import Example, Message, ToolCall


def items(*answers):
    return [Example(str(n), (Message("user", "q"), answer)) for n, answer in enumerate(answers)]


def said(text):
    return Message("assistant", text)


@pytest.mark.parametrize(
    ("answer", "grader"),
    [
        (Message("assistant", "", (ToolCall("add", "{}"),)), "tool_call_match"),
        (said('{"name": "add", "arguments": {"a": 1}}'), "tool_call_match"),
        (said('<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'), "tool_call_match"),
        (said("Thought: add.\nAction: add\nAction Input: {}"), "actions"),
        (said("<reasoning>so</reasoning>\n<answer>B</answer>"), "choice"),
        (said("routed to billing"), "exact"),
        (said("the refund of an order takes five days from when we get it back"), "contains"),
    ],
)
def test_the_form_of_the_demonstrations_chooses(answer, grader):
    assert choose_grader("auto", items(answer, answer))[0] == grader


def test_labels_are_compared_as_a_whole():
    assert choose_grader("auto", [Example("a", (Message("user", "fine"),), label="good")])[0] == "exact"


def test_one_odd_demonstration_does_not_choose():
    mostly = [said("yes")] * 9 + [said('{"name": "add"}')]
    assert choose_grader("auto", items(*mostly))[0] == "exact"


def test_a_named_grader_is_taken_and_an_unknown_one_refused():
    assert choose_grader("contains", items(said("yes"))) == ("contains", "as asked")
    with pytest.raises(ConfigError, match="Did you mean 'exact'"):
        choose_grader("exac", items(said("yes")))


def test_items_without_answers_cannot_be_judged():
    with pytest.raises(DataError, match="no answers to compare with"):
        choose_grader("auto", [Example("a", (Message("user", "q"),))])


def test_what_a_grader_has_to_say_is_said_once_however_many_parts_say_it(monkeypatch):
    monkeypatch.setattr(confined, "missing_here", list)
    part = {"type": "python", "source": "def grade(sample, item): return 1", "image_tag": "2025-05-08"}
    whole = {"type": "multi", "graders": {"a": part, "b": part}, "calculate_output": "a * b"}
    warned = []
    announce(json.dumps(whole), warned.append)
    (sentence,) = warned
    assert "image_tag '2025-05-08' has no effect" in sentence
    announce("exact", warned.append)
    assert warned == [sentence]
