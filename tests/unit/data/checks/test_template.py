"""What the chosen model says it cannot learn, by reason."""

from holdfast.data.check import Context, Drop, Row
from holdfast.data.checks.template import TemplateCheck, TemplateSettings
from holdfast.types import Example, Message


def rows_of(*texts):
    return [Row(n, Example(id="", messages=(Message("user", text),), source=f"a:{n}")) for n, text in enumerate(texts)]


def test_rows_are_grouped_by_reason_and_dropped_with_it(tmp_path):
    asked = []

    def problem_of(example):
        text = example.messages[0].content
        asked.append(text)
        return {"l": f"has {len(text):,}00 tokens, more than 4,096", "t": "the template refuses it"}.get(text[0])

    check = TemplateCheck(TemplateSettings(), Context(scratch=tmp_path, problem_of=problem_of))
    rows = rows_of("fine", "long", "longer", "tool")
    check.see(rows)
    assert [check.decide(row) for row in rows] == [
        None,
        Drop("model", "has 400 tokens, more than 4,096"),
        Drop("model", "has 600 tokens, more than 4,096"),
        Drop("model", "the template refuses it"),
    ]
    assert len(asked) == 4, "what was asked when the row was seen is not asked again"
    finding = check.finding()
    assert finding.title == (
        "3 of 4 rows cannot be learned by the chosen model: has N tokens, more than N 2, the template refuses it 1"
    )
    assert (finding.level, finding.num_rows) == ("problem", 3)
    assert finding.remedy == "drop 3 rows, each with the reason"
    assert [shown.source for shown in finding.shown] == ["a:1", "a:3", "a:2"]


def test_without_a_model_it_is_said_that_nothing_was_checked(tmp_path):
    check = TemplateCheck(TemplateSettings(), Context(scratch=tmp_path))
    rows = rows_of("a")
    check.see(rows)
    assert check.decide(rows[0]) is None
    assert check.finding().figures == {"made": False}
    assert check.finding().title.startswith("No model was chosen")


def test_rows_that_the_model_can_learn_are_ok(tmp_path):
    check = TemplateCheck(TemplateSettings(), Context(scratch=tmp_path, problem_of=lambda _: None))
    check.see(rows_of("a", "b"))
    assert (check.finding().level, check.finding().remedy) == ("ok", None)
    assert check.finding().title == "The chosen model can learn all of 2 rows: template, loss mask, end of turn"


def test_a_row_of_an_earlier_chunk_is_decided_about_as_it_was_seen(tmp_path):
    check = TemplateCheck(TemplateSettings(), Context(scratch=tmp_path, problem_of=lambda e: e.messages[0].content))
    first, second = rows_of("a", "b")
    check.see([first])
    check.see([second])
    assert check.decide(first) == Drop("model", "a")
    assert check.decide(Row(second.number, first.example)) == Drop("model", "a")
