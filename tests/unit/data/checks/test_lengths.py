"""Empty, too short, too long: by hand-counted characters and words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Context, Drop, Row
from holdfast.data.checks.distribution import Distribution
from holdfast.data.checks.lengths import LengthsCheck, LengthsSettings, empty_part
from holdfast.types import Example, Message, ToolCall


def chat(question, answer=None, label=None, **others):
    turns = (Message("user", question),) + ((Message("assistant", answer),) if answer is not None else ())
    return Example(id="", messages=turns, label=label, source="a.csv:2", **others)


def checked(tmp_path, examples, max_tokens=None, model=True, **given):
    count = (lambda text: len(text.split())) if model else None
    context = Context(scratch=tmp_path, count_tokens=count, max_tokens=max_tokens)
    check = LengthsCheck(LengthsSettings(**given), context)
    rows = [Row(number, example) for number, example in enumerate(examples)]
    check.see(rows)
    return check.finding(), [check.decide(row) for row in rows]


def test_what_is_too_long_for_the_model_is_dropped_with_the_number(tmp_path):
    finding, (first, second) = checked(tmp_path, [chat("a b", "c d"), chat("a b", "c d e")], max_tokens=4)
    assert first is None
    assert second == Drop("too_long", "has 5 tokens, more than 4")
    assert finding.title == (
        "1 of 2 rows is of a useless length (too long 1); one pass over all rows reads 9 tokens, 5 of them to learn"
    )
    assert (finding.level, finding.num_rows, finding.remedy) == ("problem", 1, "drop 1 row; nothing is cut short")
    assert finding.figures["max_tokens"] == 4
    assert finding.shown[0].note == "has 5 tokens, more than 4"


def test_own_limits_go_before_the_models(tmp_path):
    rows = [chat("a b", "c d e")]
    assert checked(
        tmp_path,
        rows,
        max_tokens=4,
    )[1] != [None]
    assert checked(tmp_path, rows, max_tokens=None)[1] == [None]
    context = Context(scratch=tmp_path, count_tokens=len, max_tokens=1)
    check = LengthsCheck(LengthsSettings(max_tokens=8), context)
    assert check.decide(Row(0, rows[0])) is None
    assert check.decide(Row(0, chat("a b c", "d e"))) is None
    assert check.decide(Row(0, chat("a b c", "d e f"))) == Drop("too_long", "has 10 tokens, more than 8")


def test_characters_are_limited_only_if_told(tmp_path):
    rows = [chat("a" * 10_000, "b")]
    assert checked(tmp_path, rows, model=False)[1] == [None]
    assert checked(tmp_path, rows, model=False, max_characters=10_001)[1] == [None]
    (drop,) = checked(tmp_path, rows, model=False, max_characters=10_000)[1]
    assert drop == Drop("too_long", "has 10,001 characters, more than 10,000")


def test_without_a_model_tokens_are_not_counted_and_that_is_said(tmp_path):
    finding, _ = checked(tmp_path, [chat("ab", "c")], model=False)
    assert finding.title.endswith("tokens were not counted, because no model was chosen")
    assert "tokens_total" not in finding.figures
    assert finding.figures["lengths"]["characters"]["total"] == 3


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (Example(id="", messages=()), "has no turns"),
        (chat(" \n", "b"), "asks nothing: no user turn says anything"),
        (chat("a", "\t"), "has an empty answer"),
        (chat("a", label=" "), "has an empty label"),
        (chat("a"), None),
        (Example(id="", messages=(Message("user", "a"), Message("assistant", "", (ToolCall("f", "{}"),)))), None),
    ],
)
def test_empty_rows(tmp_path, example, reason):
    assert empty_part(example) == reason
    finding, (decision,) = checked(tmp_path, [example], min_prompt_characters=0)
    assert decision == (None if reason is None else Drop("empty", reason))
    assert finding.figures["empty"] == (reason is not None)


def test_too_short_by_characters_and_by_tokens(tmp_path):
    assert checked(tmp_path, [chat("?", "yes")])[1] == [Drop("too_short", "asks with 1 character (2 needed)")]
    assert checked(tmp_path, [chat("?", "yes")], min_prompt_characters=1)[1] == [None]
    short = [Drop("too_short", "answers with 2 characters (3 needed)")]
    assert checked(tmp_path, [chat("Really?", "no")], min_answer_characters=3)[1] == short
    assert checked(tmp_path, [chat("Is it", "so")], min_tokens=3)[1] == [None]
    finding, decisions = checked(tmp_path, [chat("Is it", "so")], min_tokens=4)
    assert decisions == [Drop("too_short", "has 3 tokens (4 needed)")]
    assert finding.level == "warning"


def test_labelled_rows_are_too_short_only_if_told(tmp_path):
    assert checked(tmp_path, [chat("?", label="x")])[1] == [None]
    assert checked(tmp_path, [chat("?", label="x")], labelled=True)[1] != [None]


def test_what_is_learned_is_counted_apart_from_what_is_read(tmp_path):
    context = Message("assistant", "one two", weight=0.0)
    example = Example(
        id="",
        messages=(Message("user", "a b c"), context, Message("user", "d"), Message("assistant", "e f g h")),
        document="long document here",
    )
    finding, _ = checked(tmp_path, [example])
    assert finding.figures["tokens_total"] == 3 + 2 + 1 + 4 + 3
    assert finding.figures["tokens_learned"] == 4


def test_percentiles_and_histogram_by_hand():
    lengths = Distribution()
    for value in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9):
        lengths.add(value)
    summary = lengths.summary()
    assert (summary["p5"], summary["p25"], summary["p50"], summary["p95"], summary["p99"]) == (0, 2, 4, 9, 9)
    assert (summary["min"], summary["mean"], summary["max"], summary["count"]) == (0, 4.5, 9, 10)
    assert summary["histogram"] == {"edges": [0, 1, 2, 4, 8, 16], "counts": [1, 1, 2, 4, 2]}
    assert Distribution().summary() == {}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 5000), min_size=1))
def test_a_percentile_is_exceeded_by_no_more_than_its_share(values):
    lengths = Distribution()
    for value in values:
        lengths.add(value)
    summary = lengths.summary()
    for percent in (1, 5, 25, 50, 75, 95, 99):
        limit = summary[f"p{percent}"]
        assert sum(v <= limit for v in values) * 100 >= percent * len(values)
        assert sum(v < limit for v in values) * 100 < percent * len(values)
    histogram = summary["histogram"]
    assert sum(histogram["counts"]) == len(values)
    edges = list(zip(histogram["edges"], histogram["edges"][1:], strict=False))
    assert histogram["counts"] == [sum(low <= v < high for v in values) for low, high in edges]
