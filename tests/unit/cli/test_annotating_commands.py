"""`data annotate` and `data collect` by command: from rows without labels to rows that `prepare` takes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.data.read import read

LABELS = ("refund", "complaint", "other")
THINGS = ("kettle", "lamp", "chair", "phone", "coat", "drill", "tent", "radio", "bike", "sofa", "clock", "mirror")
TRUTH = {f"Ticket {n}: the {thing} that came on day {n * 7}": LABELS[n % 3] for n, thing in enumerate(THINGS)}
SHEETS = [f"annotator-{number}.csv" for number in (1, 2, 3)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words, fails=False):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert (found.exit_code != 0) == fails, found.output
        return " ".join(found.stderr.split()) if fails else found.stdout

    return call


@pytest.fixture
def tickets(tmp_path):
    path = tmp_path / "tickets.jsonl"
    lines = [json.dumps({"text": text, "customer": number}) for number, text in enumerate(TRUTH)]
    path.write_text("\n".join([*lines, '{"text": " "}', "{broken"]) + "\n")
    return path


@pytest.fixture
def sheets(run, tickets):
    run("data", "annotate", tickets, "--to", "sheets", "--labels", ",".join(LABELS))
    return Path("sheets")


def fill(path, changes=None):
    """Fills in a sheet or a list as somebody would who knows the truth; `changes` gives other labels by text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line["label"] = (changes or {}).get(line["text"], TRUTH[line["text"]])
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def rows_in(path):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def texts_in(path):
    return {row["messages"][0]["content"] for row in rows_in(path)}


def test_rows_without_labels_go_round_and_come_back_as_a_source_of_prepare(run, sheets):
    first, second, third, *_ = TRUTH
    fill(sheets / SHEETS[0])
    fill(sheets / SHEETS[1], {first: "other", second: "", third: "refunt"})
    fill(sheets / SHEETS[2], {first: "complaint", second: ""})
    said = run("data", "collect", sheets, "--out", "gold.jsonl")
    # 32 answers with a partner, 29 of them on the diagonal; 10, 10 and 12 for each label: 1 - 31 * 3 / (32² - 344).
    assert "Krippendorff's alpha 0.86" in said
    assert "not used: sheets/annotator-2.csv:" in said
    assert "the label 'refunt' is not known; did you mean refund?" in said
    assert "2 lines of sheets have no label yet" in said
    assert "12 rows = 10 with a label (10 by majority) + 2 undecided" in said
    assert "1 rows are disputed" in said
    assert {row["messages"][0]["content"]: row["undecided"] for row in rows_in(sheets / "undecided.jsonl")} == {
        first: "no label has more than half of the answers (refund: 1, other: 1, complaint: 1)",
        second: "only one annotator gave a label (complaint: 1); two are needed",
    }
    assert [row["kind"] for row in rows_in(sheets / "not_used.jsonl")] == ["label"]

    fill(sheets / "adjudication.csv")
    found = json.loads(run("data", "collect", sheets, "--out", "gold.jsonl", "--json"))
    assert (found["num_rows"], found["num_labelled"], found["num_undecided"]) == (12, 11, 1)
    assert found["decided_by"] == {"majority": 10, "adjudication": 1}
    assert found["missing"] == {"annotator-1": 0, "annotator-2": 1, "annotator-3": 0}
    gold = rows_in("gold.jsonl")
    assert {row["messages"][0]["content"]: row["label"] for row in gold} == {
        text: label for text, label in TRUTH.items() if text != second
    }
    assert [(row["customer"], Path(row["source"]).name) for row in gold][:2] == [
        (0, "tickets.jsonl:1"),
        (2, "tickets.jsonl:3"),
    ]
    assert gold[0]["annotation"] == {"by": "adjudication", "votes": {"complaint": 1, "other": 1, "refund": 1}}
    assert texts_in("gold.jsonl") | texts_in(sheets / "undecided.jsonl") == set(TRUTH)

    read_again = read("gold.jsonl", keep={"annotation", "customer"}).examples
    assert [(row.prompt, row.demonstration is None, row.label) for row in read_again] == [
        (row.messages, True, gold[number]["label"]) for number, row in enumerate(read_again)
    ]
    assert read_again[0].columns == {"annotation": gold[0]["annotation"], "customer": 0}
    assert [shown["pieces"][-1]["text"] for shown in json.loads(run("render", "gold.jsonl", "--json"))["examples"]][
        :2
    ] == [
        " -> refund",
        " -> other",
    ]
    off = ["--set", "checks.semantic_duplicates.enabled=false", "--set", "checks.label_errors.enabled=false"]
    off += ["--set", "checks.near_duplicates.enabled=false"]
    version = json.loads(run("prepare", "gold.jsonl", "--skill", "tickets", "--to", "data", "--json", *off))["version"]
    labels = [part["labels"] for part in version["parts"].values()]
    assert sum(count for counts in labels for count in counts.values()) == 11
    assert {label for counts in labels for label in counts} == set(LABELS)


def test_what_was_written_and_what_to_do_next_is_said(run, tickets):
    said = run("data", "annotate", tickets, "--to", "sheets", "--labels", "refund, complaint, other")
    assert "12 rows; labels: refund, complaint, other" in said
    assert all(f"sheets/{name}: 12 items" in said for name in SHEETS)
    assert "2 rows cannot be used; why: sheets/rejected.jsonl" in said
    assert "holdfast data collect sheets" in said
    assert [(row["line"], row["kind"]) for row in rows_in("sheets/rejected.jsonl")] == [(13, "empty"), (14, "json")]
    found = json.loads(
        run("data", "annotate", tickets, "--to", "more", "--labels", "a,b", "--annotators", 4, "--overlap", 2,
            "--format", "jsonl", "--seed", 3, "--json")
    )  # fmt: skip
    assert found["sheets"] == {f"annotator-{number}.jsonl": 6 for number in (1, 2, 3, 4)}
    assert (found["folder"], found["num_rows"], found["num_items"], found["num_rejected"]) == ("more", 12, 12, 2)


UNLABELLED = {
    "text.jsonl": ('{"text": "a"}\n{"text": "b", "label": ""}\n{"text": "c", "label": "old"}\n', 3),
    "prompt.jsonl": ('{"prompt": "a"}\n{"prompt": "b", "completion": null}\n{"prompt": "c", "completion": "d"}\n', 3),
    "question.jsonl": ('{"question": "a", "context": "page"}\n{"question": "b", "answer": ""}\n', 2),
    "instruction.jsonl": ('{"instruction": "a", "input": "x", "output": ""}\n{"instruction": "b"}\n', 2),
    "messages.jsonl": ('{"messages": [{"role": "user", "content": "a"}]}\n', 1),
    "text.csv": ("text,label,customer\na,,1\nb,old,2\nc,nan,3\n", 3),
}


@pytest.mark.parametrize("name", UNLABELLED)
def test_rows_need_neither_label_nor_answer(tmp_path, run, name):
    content, num = UNLABELLED[name]
    (tmp_path / name).write_text(content)
    found = json.loads(run("data", "annotate", name, "--to", "s", "--labels", "a,b", "--json"))
    assert (found["num_rows"], found["num_rejected"]) == (num, 0)
    assert "old" not in (tmp_path / "s" / SHEETS[0]).read_text()


def test_what_is_asked_is_shown_as_a_whole(tmp_path, run):
    (tmp_path / "i.jsonl").write_text(
        '{"instruction": "Do", "input": "this"}\n{"question": "Who", "context": "page"}\n'
    )
    run("data", "annotate", "i.jsonl", "--to", "s", "--labels", "a,b")
    with (tmp_path / "s" / SHEETS[0]).open(encoding="utf-8-sig", newline="") as file:
        shown = {(line["text"], line["document"]) for line in csv.DictReader(file)}
    assert shown == {("Do\n\nthis", ""), ("Who", "page")}


def test_a_column_of_another_name_is_named(tmp_path, run):
    (tmp_path / "t.csv").write_text("body,stars\nhello,5\n")
    assert "no known format" in run("data", "annotate", "t.csv", "--to", "s", "--labels", "a,b", fails=True)
    assert not Path("s").exists()
    run("data", "annotate", "t.csv", "--to", "s", "--labels", "a,b", "--column", "text=body")
    assert rows_in("s/rows.jsonl")[0]["columns"] == {"stars": "5"}


def test_columns_that_would_be_read_as_something_else_stay_together(tmp_path, run):
    (tmp_path / "t.jsonl").write_text('{"text": "hello", "label": "", "tools": "hammer", "when": "today"}\n')
    run("data", "annotate", "t.jsonl", "--to", "s", "--labels", "a,b", "--annotators", 2)
    run("data", "collect", "s")
    (row,) = rows_in("s/undecided.jsonl")
    assert (row["when"], row["columns"]) == ("today", {"tools": "hammer"})
    assert "tools" not in row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "a"], "two labels at least"),
        (["--labels", '"a'], '--labels "a: cannot be read'),
        (["--labels", "a,A"], "differ in case"),
        (["--labels", "a,b", "--annotators", "1"], "annotators: Input should be greater than or equal to 2"),
        (["--labels", "a,b", "--overlap", "4"], "overlap is 4, but there are 3 annotators"),
        (["--labels", "a,b", "--format", "xlsx"], "format: Input should be 'csv' or 'jsonl'"),
    ],
)
def test_settings_that_cannot_be_are_refused_and_nothing_is_written(run, tickets, words, message):
    assert message in run("data", "annotate", tickets, "--to", "sheets", *words, fails=True)
    assert sorted(path.name for path in Path().iterdir()) == ["tickets.jsonl"]


def test_a_label_may_hold_a_comma(run, tickets):
    found = json.loads(run("data", "annotate", tickets, "--to", "s", "--labels", '"yes, now",no', "--json"))
    assert found["labels"] == ["yes, now", "no"]


def test_a_folder_that_holds_files_is_refused(run, sheets, tickets):
    before = {path.name: path.read_bytes() for path in sheets.iterdir()}
    said = run("data", "annotate", tickets, "--to", sheets, "--labels", "a,b", fails=True)
    assert "sheets: is not an empty folder" in said
    assert "holdfast data collect sheets" in said
    assert {path.name: path.read_bytes() for path in sheets.iterdir()} == before


def test_a_sheet_that_is_garbage_is_named_and_can_be_left_out(run, sheets):
    fill(sheets / SHEETS[0])
    fill(sheets / SHEETS[1])
    (sheets / SHEETS[2]).write_bytes(b"PK\x03\x04\xff\xfe\x00garbage")
    said = run("data", "collect", sheets, fails=True)
    assert "sheets/annotator-3.csv: is not UTF-8 text. Save it as CSV in UTF-8" in said
    assert not (sheets / "gold.jsonl").exists()
    (sheets / SHEETS[2]).rename(sheets / "annotator-3.xlsx")
    said = run("data", "collect", sheets)
    assert "annotator-3.csv is not there; its 12 items have no answer from annotator-3." in said
    assert "Not read: annotator-3.xlsx. A sheet is read under the name that it was written with" in said
    assert "12 rows = 12 with a label (12 by majority) + 0 undecided" in said


def test_annotators_who_agree_too_little_are_told_in_a_plain_sentence(run, sheets):
    for number, name in enumerate(SHEETS):
        fill(sheets / name, {text: LABELS[(place + number) % 3] for place, text in enumerate(TRUTH)})
    said = run("data", "collect", sheets)
    assert "The annotators agree too little: alpha is -0.46, and below 0.667 nothing should rest on the labels." in said
    assert "12 rows = 0 with a label + 12 undecided" in said
    assert "No row has a label yet" in said
    assert len(list(csv.DictReader((sheets / "adjudication.csv").open(encoding="utf-8-sig")))) == 12


def test_sheets_that_nobody_filled_in_measure_nothing(run, sheets):
    said = run("data", "collect", sheets)
    assert "36 lines of sheets have no label yet" in said
    assert "agreement cannot be measured" in said
    for name in SHEETS:
        fill(sheets / name, dict.fromkeys(TRUTH, "other"))
    assert "cannot be told from chance" in run("data", "collect", sheets)


def test_decisions_stay_when_a_later_sheet_brings_new_disputes(run, sheets):
    first, second, third, *_ = TRUTH
    fill(sheets / SHEETS[0])
    fill(sheets / SHEETS[1], {first: "other"})
    late = (sheets / SHEETS[2]).rename("late.csv")
    run("data", "collect", sheets)
    path = sheets / "adjudication.csv"
    path.write_text(path.read_text(encoding="utf-8-sig").replace('"",""', '"refund","as agreed"'))
    fill(late.rename(sheets / SHEETS[2]), {second: "refund", third: ""})
    fill(sheets / SHEETS[1], {first: "other", second: "other"})
    found = json.loads(run("data", "collect", sheets, "--json"))
    lines = {line["text"]: line for line in csv.DictReader(path.open(encoding="utf-8-sig"))}
    assert {text: (line["label"], line["comment"]) for text, line in lines.items()} == {
        first: ("refund", "as agreed"),
        second: ("", ""),
    }
    assert found["num_disputed"] == 1
    assert [comment[1:] for comment in found["comments"]] == [["adjudication", "as agreed"]]


def test_a_faulty_line_of_the_adjudication_is_named_and_kept(run, sheets):
    first, second, *_ = TRUTH
    fill(sheets / SHEETS[0])
    fill(sheets / SHEETS[1], {first: "other"})
    (sheets / SHEETS[2]).unlink()
    run("data", "collect", sheets)
    path = sheets / "adjudication.csv"
    fill(path, {first: "whatever"})
    fill(sheets / SHEETS[1], {first: "other", second: "other"})
    before = path.read_bytes()
    said = run("data", "collect", sheets)
    assert "not used: sheets/adjudication.csv:2: the label 'whatever' is not known" in said
    assert "the 2 items that it lacks were not added" in said
    assert path.read_bytes() == before


def test_an_outcome_never_takes_the_place_of_another_file(run, sheets, tickets):
    for out in (tickets, sheets / "rows.jsonl", sheets / SHEETS[0], sheets):
        before = out.read_bytes() if out.is_file() else None
        said = run("data", "collect", sheets, "--out", out, fails=True)
        assert f"{out}: is " in said
        assert before is None or out.read_bytes() == before
    for _ in range(2):
        run("data", "collect", sheets, "--out", "new/gold.jsonl")


def test_a_folder_that_is_none_of_sheets_or_is_damaged_is_refused(run, sheets, tmp_path):
    assert "nothing: has no rows.jsonl" in run("data", "collect", "nothing", fails=True)
    rows = (sheets / "rows.jsonl").read_text()
    (sheets / "rows.jsonl").write_text(rows.replace('"content"', '"contents"', 1))
    assert "sheets/rows.jsonl:1: is damaged" in run("data", "collect", sheets, fails=True)
    (sheets / "rows.jsonl").write_text(rows.partition("\n")[2])
    assert "1 of the items on its sheets are not among the 11 rows" in run("data", "collect", sheets, fails=True)


def test_a_source_without_a_usable_row_says_why(tmp_path, run):
    (tmp_path / "bad.jsonl").write_text('{"text": ""}\n{"a": 1}\n[]\n7\n')
    said = run("data", "annotate", "bad.jsonl", "--to", "s", "--labels", "a,b", fails=True)
    assert "none of 4 rows can be annotated, and nothing was written. bad.jsonl:1: text is empty;" in said
    assert "and 1 more" in said
    assert not Path("s").exists()


KILLED = """
import os, sys
from pathlib import Path
import holdfast.data.making.sheet_files, holdfast.jobs.folder
real, left = os.fsync, [int(sys.argv[1])]
def fsync(descriptor):
    left[0] -= 1
    if left[0] < 0:
        os._exit(9)
    return real(descriptor)
os.fsync = fsync
from holdfast.cli.app import app
app(sys.argv[2:])
"""


def kill_after(num_written, *words):
    """Runs a command that dies, as if killed, when it has written so many files and begins to end the next."""
    command = [sys.executable, "-c", KILLED, str(num_written), *map(str, words)]
    return subprocess.run(command, check=False, env=os.environ, capture_output=True).returncode


@pytest.mark.parametrize("num_written", [1, 4])
def test_sheets_are_written_all_or_none(run, tickets, num_written):
    words = ["data", "annotate", tickets, "--to", "sheets", "--labels", "a,b"]
    assert kill_after(num_written, *words) == 9
    assert not Path("sheets").exists()
    run(*words)
    assert sorted(path.name for path in Path().iterdir()) == ["sheets", "tickets.jsonl"]


def test_a_collection_that_is_killed_leaves_every_file_as_it_was_or_whole(run, sheets):
    first, *_ = TRUTH
    for name in SHEETS:
        fill(sheets / name)
    run("data", "collect", sheets)
    before = (sheets / "gold.jsonl").read_bytes()
    fill(sheets / SHEETS[1], {first: "other"})
    fill(sheets / SHEETS[2], {first: "complaint"})
    for num_written in (0, 1, 2):  # at the adjudication list; then, with the list there, at the first and last outcome
        assert kill_after(num_written, "data", "collect", sheets) == 9
        assert (sheets / "gold.jsonl").read_bytes() == before
    run("data", "collect", sheets)
    assert not [path.name for path in sheets.iterdir() if path.name.startswith(".")]
    assert len(rows_in(sheets / "gold.jsonl")) == 11


@pytest.mark.parametrize("name", ["annotate", "collect"])
def test_both_commands_help_with_an_example_and_speak_json(run, name):
    said = run("data", name, "--help")
    assert f"Example: holdfast data {name}" in said
    assert "--json" in said
