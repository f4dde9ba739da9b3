"""How findings count and quote."""

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import SHOWN_LENGTH, Row, Shown
from holdfast.data.checks.wording import (
    Tally,
    counted,
    excerpt,
    first_difference,
    listed,
    of_rows,
    shown_change,
    visible_marks,
    without_numbers,
)
from holdfast.types import Example, Message


def test_counts_are_said_as_people_say_them():
    assert (counted(1, "row"), counted(3000, "row")) == ("1 row", "3,000 rows")
    assert of_rows(37, 3000, "hold", "holds") == "37 of 3,000 rows hold"
    assert of_rows(1, 2, "hold", "holds") == "1 of 2 rows holds"
    assert of_rows(0, 1, "hold", "holds") == "None of 1 row hold"
    assert listed({"a": 1, "b": 2, "c": 2}, most=2) == "b 2, c 2, and 1 more"
    assert without_numbers("5,120 tokens, 3.5 more") == "N tokens, N more"


def test_an_excerpt_begins_shortly_before_the_place_it_is_about():
    text = "a" * 1000 + "b" + "c" * 1000
    cut = excerpt(text, 1000)
    assert cut.startswith("…" + "a" * 60 + "bcc")
    assert cut.endswith("… (821 more characters)")
    assert excerpt("short", 3) == "short"
    assert len(excerpt("a" * 300, 299)) == SHOWN_LENGTH + 1


def test_what_cannot_be_seen_is_written_out():
    assert visible_marks("a\u00a0b\u200fc\ufeff\x00") == "a<U+00A0>b<U+200F>c<U+FEFF><U+0000>"
    assert visible_marks("cafe\u0301 a") == "cafe<U+0301> a"
    assert visible_marks("می\u200cشود\n") == "می\u200cشود\n"


@settings(max_examples=50, deadline=None)
@given(st.text("ab"), st.text("ab"), st.text("ab"))
def test_the_first_difference(start, one, other):
    number = first_difference(start + one, start + other)
    assert number >= len(start)
    assert (start + one)[:number] == (start + other)[:number]
    assert (start + one)[number : number + 1] != (start + other)[number : number + 1] or one == other


def test_a_change_is_shown_in_the_text_that_changes():
    before = Example(id="", messages=(Message("user", "same"), Message("assistant", "old text")), source="x:1")
    after = Example(id="", messages=(Message("user", "same"), Message("assistant", "new text")))
    assert shown_change(Row(0, before), after, "why") == Shown("x:1", "old text", "new text", "why")
    longer = Example(id="", messages=(Message("system", "s"), *after.messages))
    assert shown_change(Row(0, before), longer).after == "s\nsame\nnew text"


def test_a_tally_shows_the_first_of_each_kind_before_the_second():
    tally = Tally()
    for number in range(9):
        tally.add(["even" if number % 2 == 0 else "odd"], lambda kind, n=number: Shown(f"{n}", kind))
    tally.add([], lambda kind: Shown("never", kind))
    assert (tally.num_rows, tally.counts) == (9, {"even": 5, "odd": 4})
    assert [shown.source for shown in tally.shown()] == ["0", "1", "2", "3", "4"]
