"""How many rows there are, and what task they look like."""

import pytest

from holdfast.data.check import Context, Row
from holdfast.data.checks.size import SizeCheck, SizeSettings, answer_of
from holdfast.types import Example, Message, ToolCall


def chat(question, answer=None, label=None):
    turns = (Message("user", question),) + ((Message("assistant", answer),) if answer is not None else ())
    return Example(id="", messages=turns, label=label)


def finding(tmp_path, examples, **given):
    check = SizeCheck(SizeSettings(**given), Context(scratch=tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    for start in range(0, len(rows), 7):
        check.see(rows[start : start + 7])
    assert all(check.decide(row) is None for row in rows)
    return check.finding()


@pytest.mark.parametrize(
    ("count", "level", "title"),
    [
        (0, "problem", "0 rows to learn from: at least 10 are needed"),
        (1, "problem", "1 row to learn from: at least 10 are needed; they look like conditional generation (1 "),
        (9, "problem", "9 rows to learn from: at least 10 are needed"),
        (10, "warning", "10 rows to learn from: a few hundred are recommended"),
        (99, "warning", "99 rows to learn from: a few hundred are recommended"),
        (100, "ok", "100 rows to learn from; they look like conditional generation (100 distinct answers)"),
    ],
)
def test_too_few_rows_are_a_problem_and_few_a_warning(tmp_path, count, level, title):
    found = finding(tmp_path, [chat(f"q {n}", f"a {n}") for n in range(count)])
    assert found.level == level
    assert found.title.startswith(title)
    assert found.remedy is None
    assert found.figures["rows"] == count


def test_how_many_rows_are_few_can_be_told(tmp_path):
    rows = [chat(f"q {n}", f"a {n}") for n in range(8)]
    assert finding(tmp_path, rows, refuse_below=8).level == "warning"
    assert finding(tmp_path, rows, refuse_below=8, recommended=8).level == "ok"


def test_fewer_distinct_answers_than_a_third_of_the_rows_are_classes(tmp_path):
    def rows(distinct):
        return [chat(f"q {n}", f"class {n % distinct}") for n in range(30)]

    assert finding(tmp_path, rows(9)).figures["task"] == "classification"
    assert finding(tmp_path, rows(10)).figures["task"] == "conditional generation"
    assert finding(tmp_path, rows(10), class_share=0.5).figures["task"] == "classification"


def test_long_answers_that_repeat_are_no_classes(tmp_path):
    rows = [chat(f"q {n}", "Our shop opens at nine on every day of the week.") for n in range(30)]
    assert finding(tmp_path, rows).figures["task"] == "conditional generation"
    assert finding(tmp_path, rows, class_words=12).figures["task"] == "classification"


def test_labels_prompts_and_texts_without_a_question(tmp_path):
    assert finding(tmp_path, [chat(f"q {n}", label=f"{n}") for n in range(9)]).figures["task"] == "classification"
    assert finding(tmp_path, [chat("q")]).figures["task"] == "prompts without answers"
    assert finding(tmp_path, [chat("", f"story {n}") for n in range(9)]).figures["task"] == "open-ended generation"
    assert finding(tmp_path, []).figures["task"] == "nothing"


def test_tool_calls_and_long_conversations_are_counted(tmp_path):
    call = Message("assistant", "", (ToolCall("add", '{"a": 1}'),))
    example = Example(id="", messages=(Message("user", "1+1"), call))
    several = Example(id="", messages=(*chat("a", "b").messages, *chat("c", "d").messages))
    found = finding(tmp_path, [example, several])
    assert answer_of(example) == '\nadd({"a": 1})'
    assert (found.figures["with_tool_calls"], found.figures["with_several_user_turns"]) == (1, 1)
