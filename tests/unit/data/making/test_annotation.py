"""Annotation: sheets that are blind and safe in spreadsheets, and every returned line used or named."""

import csv
import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.example_json import example_id
from holdfast.data.making.annotation import Answers, gold, read_adjudication, read_sheets, write_adjudication
from holdfast.data.making.cells import plain, safe
from holdfast.data.making.sheets import SheetSettings, item_of, write_sheets
from holdfast.errors import DataError
from holdfast.types import Example, Message

LABELS = ("good", "bad")


def text(content, label=None, **more):
    example = Example("", (Message("user", content),), label=label, **more)
    return replace(example, id=example_id(example))


ROWS = [text(f"review number {n}", label="good" if n % 2 else "bad") for n in range(12)]


def ask(**more):
    return SheetSettings(labels=LABELS, **more)


def rows_of(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill(path, answer, *, delimiter=",", encoding="utf-8-sig"):
    """Fills in a sheet: `answer` gives the cells to change by the line's text."""
    lines = [{**line, **answer(line)} for line in rows_of(path)]
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "document", "label", "comment"], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(lines)


FORMULAS = ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'=1", "a;=1", "a,\t@x", "-", "''", "' =", " =1"]


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="=+-@;,|\t\r\n' \u00a0ab＝", max_size=10) | st.text(max_size=20))
def test_a_safe_cell_gives_its_text_back(given_text):
    assert plain(safe(given_text)) == given_text


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_begins_a_formula_whatever_parts_it(formula):
    cell = safe(formula)
    for part in [cell, *cell.replace(";", ",").replace("|", ",").replace("\t", ",").split(",")]:
        assert part.strip(" \u00a0")[:1] not in tuple("=+-@＝＋－＠") or not part.strip()
    assert plain(cell) == formula


def test_ordinary_text_is_not_touched():
    for ordinary in ("well-known, a = b; it's 3 - 2", "", "don't", "12 + 3"):
        assert safe(ordinary) == ordinary


def test_a_sheet_shows_no_label_and_no_answer(tmp_path):
    rows = [text("review", label="secret-label", document="a page", columns={"gold": "secret-column"}), *ROWS]
    write_sheets(rows, tmp_path / "s", ask())
    for path in (tmp_path / "s").iterdir():
        assert "secret" not in path.read_text(encoding="utf-8-sig")
    line = next(line for line in rows_of(tmp_path / "s" / "annotator-1.csv") if line["text"] == "review")
    assert (line["document"], line["label"], line["comment"]) == ("a page", "", "")


def test_ids_depend_on_what_is_shown_and_are_no_numbers():
    one = text("review", label="good", source="a:1", columns={"x": 1})
    assert item_of(one) == item_of(text("review", label="bad", source="b:7"))
    assert item_of(one).id != item_of(text("review.")).id
    assert all(sign.isalpha() or sign == "-" for sign in item_of(one).id)


def test_every_annotator_has_the_same_items_in_another_order(tmp_path):
    sheets = write_sheets(ROWS, tmp_path / "s", ask())
    orders = [[line["id"] for line in rows_of(tmp_path / "s" / f"{name}.csv")] for name in sheets.assigned]
    assert len(orders) == 3
    assert len({tuple(order) for order in orders}) == 3
    assert {frozenset(order) for order in orders} == {frozenset(sheets.items)}


def test_the_order_follows_the_seed_and_not_the_order_of_the_rows(tmp_path):
    one = write_sheets(ROWS, tmp_path / "a", ask(seed=1))
    assert write_sheets(ROWS[::-1], tmp_path / "b", ask(seed=1)).assigned == one.assigned
    assert write_sheets(ROWS, tmp_path / "c", ask(seed=2)).assigned != one.assigned


def test_annotators_and_overlap_say_how_many_see_each_item(tmp_path):
    sheets = write_sheets(ROWS, tmp_path / "s", ask(annotators=5, overlap=2))
    assert len(sheets.assigned) == 5
    assert set(Counter(key for ids in sheets.assigned.values() for key in ids).values()) == {2}
    sizes = [len(ids) for ids in sheets.assigned.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(set(ids)) == len(ids) for ids in sheets.assigned.values())
    with pytest.raises(DataError, match="overlap is 4, but there are 3"):
        write_sheets(ROWS, tmp_path / "t", ask(overlap=4))


def test_format_says_how_sheets_are_written(tmp_path):
    rows = [*ROWS, text("=1+1")]
    write_sheets(rows, tmp_path / "s", ask(format="jsonl"))
    for number in (1, 2, 3):
        path = tmp_path / "s" / f"annotator-{number}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert "=1+1" in [line["text"] for line in lines]
        path.write_text("".join(json.dumps({**line, "label": "good"}) + "\n" for line in lines) + "{broken\n[]\n")
    answers = read_sheets(rows, tmp_path / "s")
    assert len(gold(rows, answers).labelled) == 13
    assert [row.kind for row in answers.rejected] == ["format"] * 6


@pytest.mark.parametrize(("labels", "message"), [(("a", " A "), "differ in case"), (("a", " "), "label is empty")])
def test_labels_that_cannot_be_told_apart_are_refused(tmp_path, labels, message):
    with pytest.raises(DataError, match=message):
        write_sheets(ROWS, tmp_path / "s", SheetSettings(labels=labels))


def test_a_folder_with_files_is_not_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="not an empty folder"):
        write_sheets(ROWS, tmp_path, ask())
    with pytest.raises(DataError, match="no row to annotate"):
        write_sheets([], tmp_path / "s", ask())


def test_what_comes_back_is_used_or_named(tmp_path):
    folder = tmp_path / "s"
    rows = [*ROWS, text("=HYPERLINK(1)"), text("-3,5;+x")]
    write_sheets(rows, folder, ask())
    fill(folder / "annotator-1.csv", lambda line: {"label": " GOOD "})
    fill(folder / "annotator-2.csv", lambda line: {"label": "bad", "comment": "=hm"}, delimiter=";")
    changes = {
        "review number 0": {"label": "god"},
        "review number 1": {"id": "i-nothing"},
        "review number 2": {"text": "another text", "label": "good"},
        "review number 3": {"label": ""},
        "review number 4": {"label": "purple"},
    }
    fill(folder / "annotator-3.csv", lambda line: {"label": "good", **changes.get(line["text"], {})}, encoding="utf-16")
    answers = read_sheets(rows, folder)
    assert sorted((row.kind, row.reason.partition(";")[2].strip()) for row in answers.rejected) == [
        ("label", "choose one of good, bad"),
        ("label", "did you mean good?"),
        ("text", "were the rows sorted by one column only?"),
        ("unknown_id", ""),
    ]
    assert all(row.source.endswith("annotator-3.csv") and row.line > 1 for row in answers.rejected)
    assert answers.num_blank == 1
    assert answers.missing == {"annotator-1": 0, "annotator-2": 0, "annotator-3": 4}
    assert sum(len(item) for item in answers.given.values()) == 3 * 14 - 4 - 1
    assert {comment for _, _, comment in answers.comments} == {"=hm"}
    # Good, bad and good is a majority; good and bad is a dispute.
    done = gold(rows, answers)
    assert (len(done.labelled), len(done.disputed), len(done.unanswered)) == (9, 5, 0)
    assert done.labelled[0].label == "good"
    assert done.labelled[0].columns["annotation"] == {"votes": {"bad": 1, "good": 2}, "by": "majority"}
    assert done.labelled[0].id == example_id(done.labelled[0])


def test_an_item_that_stands_twice_counts_on_no_line(tmp_path):
    folder = tmp_path / "s"
    write_sheets(ROWS, folder, ask(annotators=2))
    for number in (1, 2):
        fill(folder / f"annotator-{number}.csv", lambda line: {"label": "good"})
    path = folder / "annotator-1.csv"
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n\n")
    answers = read_sheets(ROWS, folder)
    assert [(row.kind, row.line) for row in answers.rejected] == [("duplicate", 2), ("duplicate", 14)]
    assert "stands on lines 2 and 14" in answers.rejected[0].reason
    assert answers.missing["annotator-1"] == 1


def test_a_line_of_another_sheet_is_named(tmp_path):
    folder = tmp_path / "s"
    sheets = write_sheets(ROWS, folder, ask(annotators=3, overlap=2))
    other = next(key for key in sheets.items if key not in sheets.assigned["annotator-1"])
    with (folder / "annotator-1.csv").open("a", encoding="utf-8") as file:
        file.write(f'"{other}","{sheets.items[other].text}","","good",""\n')
    (row,) = read_sheets(ROWS, folder).rejected
    assert row.kind == "other_sheet"


def test_what_a_spreadsheet_makes_of_numbers_is_no_other_text(tmp_path):
    rows = [text("007"), text("1/2"), text("a text")]
    write_sheets(rows, tmp_path / "s", ask(annotators=2))
    for number in (1, 2):
        spoilt = {"007": {"text": "7"}, "1/2": {"text": "01.02.2026"}}
        fill(
            tmp_path / "s" / f"annotator-{number}.csv",
            lambda line, spoilt=spoilt: {"label": "bad", **spoilt.get(line["text"], {})},
        )
    assert len(gold(rows, read_sheets(rows, tmp_path / "s")).labelled) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id;text\n", "no column label"),
        (b"", "no column id, text, label"),
        ("id,text,label\ni,gr\u00fcn,x".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_a_sheet_that_cannot_be_read_is_refused(tmp_path, content, message):
    folder = tmp_path / "s"
    write_sheets(ROWS, folder, ask())
    (folder / "annotator-2.csv").unlink()
    (folder / "annotator-3.csv").unlink()
    (folder / "annotator-1.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_sheets(ROWS, folder)


def test_sheets_of_other_rows_or_a_damaged_folder_are_refused(tmp_path):
    folder = tmp_path / "s"
    write_sheets(ROWS, folder, ask())
    with pytest.raises(DataError, match="1 of the items on its sheets are not among the 11 rows"):
        read_sheets(ROWS[1:], folder)
    (folder / "sheets.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match="is damaged"):
        read_sheets(ROWS, folder)
    (folder / "sheets.json").write_text('{"version": 9, "format": "csv", "labels": [], "assigned": {}}')
    with pytest.raises(DataError, match="another version"):
        read_sheets(ROWS, folder)
    with pytest.raises(DataError, match=r"has no sheets\.json"):
        read_sheets(ROWS, tmp_path)


def test_a_sheet_that_is_not_back_yet_is_counted_as_missing(tmp_path):
    folder = tmp_path / "s"
    write_sheets(ROWS, folder, ask())
    (folder / "annotator-3.csv").unlink()
    assert read_sheets(ROWS, folder).missing["annotator-3"] == 12


@pytest.mark.parametrize(
    ("votes", "place"),
    [
        (("good", "good", "bad"), "labelled"),
        (("good", "good"), "labelled"),
        (("good", "bad"), "disputed"),
        (("good", "bad", "odd"), "disputed"),
        (("good", "good", "bad", "odd"), "disputed"),
        (("good",), "unanswered"),
        ((), "unanswered"),
    ],
)
def test_a_label_needs_more_than_half_of_at_least_two_answers(votes, place):
    row = ROWS[0]
    given_votes = {item_of(row).id: {f"a{n}": vote for n, vote in enumerate(votes)}} if votes else {}
    done = gold([row], Answers(given_votes, (), 0, {}, ()))
    assert [name for name in ("labelled", "disputed", "unanswered") if getattr(done, name)] == [place]


def test_disputes_go_out_and_come_back_decided(tmp_path):
    folder = tmp_path / "s"
    rows = [*ROWS, ROWS[0]]
    write_sheets(rows, folder, ask(annotators=2))
    fill(folder / "annotator-1.csv", lambda line: {"label": "good"})
    disputed = {"review number 0", "review number 1"}
    fill(folder / "annotator-2.csv", lambda line: {"label": "bad" if line["text"] in disputed else "good"})
    answers = read_sheets(rows, folder)
    path = write_adjudication(rows, answers, folder)
    lines = rows_of(path)
    assert {line["text"] for line in lines} == disputed
    assert {line["answers"] for line in lines} == {"bad: 1, good: 1"}
    assert "annotator" not in path.read_text()
    with pytest.raises(DataError, match="may hold decisions"):
        write_adjudication(rows, answers, folder)
    content = path.read_text(encoding="utf-8-sig").splitlines()
    marked = [line.replace('"",""', '"bad",""') if "number 0" in line else line for line in content]
    path.write_text("\n".join(marked))
    decisions = read_adjudication(rows, folder)
    assert (len(decisions.decided), decisions.num_blank, decisions.rejected) == (1, 1, ())
    done = gold(rows, answers, decisions.decided)
    assert (len(done.labelled), len(done.disputed)) == (12, 1)
    settled = [row for row in done.labelled if row.messages[0].content == "review number 0"]
    assert [(row.label, row.columns["annotation"]["by"]) for row in settled] == [("bad", "adjudication")] * 2


def test_dialogues_and_tool_calls_are_shown_turn_by_turn():
    dialogue = Example("", (Message("user", "hi"), Message("assistant", "hello")))
    assert item_of(dialogue).text == "[user] hi\n\n[assistant] hello"
