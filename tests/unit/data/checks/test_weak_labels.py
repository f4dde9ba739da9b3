"""Labelling functions in a preparation: votes worked by hand, the same labels as `label_weakly`, each row told."""

import hashlib
import random

import pytest

from holdfast.data.check import Change, Context, Drop, Row
from holdfast.data.checks.weak_labels import WeakLabels, WeakLabelsSettings
from holdfast.data.doctor.plan import Plan
from holdfast.data.making.label_functions import MOST_LABELS, load_functions
from holdfast.data.making.weak_labels import WeakLabelSettings, label_weakly
from holdfast.errors import ConfigError, DataError
from holdfast.types import Example, Message

RULES = """
def _said(example):
    return example.messages[-1].content

def money(example):
    return "spam" if "money" in _said(example) else None

def winner(example):
    return "spam" if "won" in _said(example) else None

def greeting(example):
    return "ham" if _said(example).startswith("hi") else None

def length(example):
    return "spam" if len(_said(example)) > 30 else "ham"
"""
MAILS = ["hi there", "you won a lot of money, send your card", "hi, lunch?", "money money money", "hi, you won"]
"""Of `money`, `winner`, `greeting`, `length`: -, -, ham, ham; spam, spam, -, spam; as the first; spam, -, -, ham; and
-, spam, ham, ham."""


@pytest.fixture
def rules(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


def row(number, content, label=None, answer=None, **more):
    messages = (Message("user", content),) + ((Message("assistant", answer),) if answer else ())
    return Row(number, Example("", messages, label=label, source=f"mail.jsonl:{number + 1}", **more))


def rows_of(*texts):
    return [row(number, text) for number, text in enumerate(texts)]


def seen(rules, rows, *, size=1000, **settings):
    check = WeakLabels(WeakLabelsSettings(functions=str(rules), **settings), Context(scratch=rules.parent))
    for start in range(0, len(rows), size):
        check.see(rows[start : start + size])
    return check


def labels_of(check, rows):
    return [
        decision.example.label if isinstance(decision, Change) else decision and decision.reason
        for decision in map(check.decide, rows)
    ]


def test_a_majority_of_votes_worked_by_hand(rules):
    rows = rows_of(*MAILS, "x" * 40)
    check = seen(rules, rows, method="majority", min_confidence=0.6)
    finding = check.finding()
    assert labels_of(check, rows) == [
        "ham", "spam", "ham", "has no label: the votes are tied between ham and spam", "ham", "spam",
    ]  # fmt: skip
    assert finding.title.startswith(
        "5 of 6 rows get a label from 4 labelling functions (ham 3, spam 2); 1 do not (a tie 1); "
        "of all rows 100% have a vote and 33% votes that contradict each other"
    )
    assert finding.remedy == "label 5 rows, leave out 1 that no function labels surely"
    assert (finding.level, finding.num_rows) == ("warning", 6)
    figures = finding.figures
    assert (figures["labelled"], figures["unlabelled"], figures["given"]) == (5, 1, 0)
    assert figures["labels"] == {"ham": 3, "spam": 2}
    assert figures["reasons"] == {"tie": 1}
    assert (figures["coverage"], figures["conflicts"]) == (1.0, pytest.approx(2 / 6))
    assert figures["functions"]["winner"]["coverage"] == pytest.approx(2 / 6)
    # Of its six votes the two on "money money money" (half right) and "hi, you won" (2/3) are not undisputed.
    assert figures["functions"]["length"]["accuracy"] == pytest.approx((4 + 1 / 2 + 2 / 3) / 6)
    assert finding.shown[0].before.startswith("money votes on 33%")
    assert {(one.source, one.note) for one in finding.shown[1:]} == {
        ("mail.jsonl:1", "label 'ham' (100% probable; greeting: ham, length: ham)"),
        ("mail.jsonl:2", "label 'spam' (100% probable; money: spam, winner: spam, length: spam)"),
        ("mail.jsonl:4", "the votes are tied between ham and spam"),
    }


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("settings", [{}, {"method": "majority"}, {"class_shares": {"ham": 0.8, "spam": 0.2}}])
def test_the_labels_are_those_of_label_weakly_whatever_the_chunks(rules, size, settings):
    draw = random.Random(3)
    words = ["hi", "money", "won", "card", "lunch", "a", "send it to me please"]
    rows = [
        row(
            3 * number,
            " ".join(draw.choices(words, k=draw.randint(1, 6))),
            label=draw.choice(["ham", "spam"] + [None] * 8),
        )
        for number in range(200)
    ]
    done = label_weakly([one.example for one in rows], load_functions(rules), WeakLabelSettings(**settings))
    check = seen(rules, rows, size=size, **settings)
    decisions = [check.decide(one) for one in rows]
    changed = [decision.example for decision in decisions if isinstance(decision, Change)]
    dropped = [decision for decision in decisions if isinstance(decision, Drop)]
    assert changed == done.labelled
    assert [drop.reason for drop in dropped] == [f"has no label: {one.reason}" for one in done.unlabelled]
    assert {drop.kind for drop in dropped} <= {"unlabelled"}
    assert sum(decision is None for decision in decisions) == len(done.given) > 0
    figures = check.finding().figures
    assert figures["notes"] == list(done.notes)
    assert [one["accuracy"] for one in figures["functions"].values()] == [one.accuracy for one in done.functions]
    assert figures["functions"]["money"]["measured"] == done.functions[0].measured


def test_a_labelled_row_is_the_example_that_text_and_label_would_be(rules):
    (one, *_), check = rows_of(*MAILS), seen(rules, rows_of(*MAILS))
    changed = check.decide(one)
    assert changed.example.messages == one.example.messages
    assert changed.example.columns == {
        "weak_label": {"confidence": pytest.approx(0.8, abs=0.2), "votes": {"greeting": "ham", "length": "ham"}}
    }
    assert changed.what == "label 'ham' by labelling functions"


def test_rows_with_a_label_or_an_answer_stay_as_they_are(rules):
    rows = [
        *rows_of(*MAILS), row(5, "hi money", label="spam"), row(6, "money?", answer="none"),
        row(7, "won?", privileged_context="a lot"), Row(8, Example("", (Message("system", "be nice"),))),
    ]  # fmt: skip
    check = seen(rules, rows)
    assert [check.concerns(one) for one in rows] == [True] * 6 + [False] * 3
    assert check.finding().figures["given"] == 1
    assert [check.decide(one) for one in rows[5:]] == [None] * 4
    only = seen(rules, rows[5:])
    assert only.finding().title == "No row lacks a label, so the labelling functions have nothing to do"
    assert (only.finding().remedy, only.decide(rows[5])) == (None, None)


def test_a_function_that_raises_abstains_and_is_told(rules):
    rules.write_text(RULES + "def broken(example):\n    return 1 / 0\n")
    rows = rows_of(*MAILS)
    finding = seen(rules, rows, min_confidence=0.0).finding()
    assert "broken gives no usable vote on 5 rows and abstains there: raises ZeroDivisionError (5)" in finding.title
    assert "first at mail.jsonl:1" in finding.title
    assert finding.figures["functions"]["broken"]["faults"] == {"raises ZeroDivisionError": 5}
    assert finding.level == "warning"


def test_odd_texts_are_rows_like_others(rules):
    rows = rows_of("", "\0", "😀", "متن", "x" * 1_000_000, *MAILS)
    check = seen(rules, rows)
    check.finding()
    assert all(check.decide(one) is not None for one in rows)


def test_without_functions_nothing_is_done_and_this_is_said(tmp_path):
    check = WeakLabels(WeakLabelsSettings(), Context(scratch=tmp_path))
    rows = rows_of(*MAILS)
    check.see(rows)
    finding = check.finding()
    assert (finding.level, finding.remedy) == ("ok", None)
    assert finding.title == "No labelling functions are given, so no row gets a label from any"
    assert [check.decide(one) for one in rows] == [None] * 5


@pytest.mark.parametrize(
    "changed",
    [
        {"min_confidence": 0.9}, {"method": "majority"}, {"labels": ["ham", "spam"]}, {"class_shares": {"ham": 1.0}},
        {"functions_sha256": "ab"},
    ],
)  # fmt: skip
def test_settings_without_an_effect_are_refused(changed):
    with pytest.raises(ConfigError, match="would have no effect because no labelling functions are given"):
        Plan.from_mapping({"checks": {"weak_labels": changed}})


def test_labels_says_which_votes_count_and_min_confidence_which_rows_are_sure(rules):
    rows = rows_of(*MAILS)
    assert "money gives no usable vote" in seen(rules, rows, labels=("ham", "other")).finding().title
    assert seen(rules, rows, min_confidence=0.0).finding().figures["labelled"] > 3
    assert seen(rules, rows, min_confidence=0.999).finding().figures["labelled"] == 0


def test_votes_that_cannot_become_labels_are_refused(rules):
    rules.write_text("def only(example):\n    return 'spam'\n")
    with pytest.raises(DataError, match="vote for spam only"):
        seen(rules, rows_of(*MAILS)).finding()
    rules.write_text("def all_(example):\n    return example.messages[-1].content\n")
    with pytest.raises(DataError, match="more than 1,000 different labels, such as 'text 1000'"):
        seen(rules, rows_of(*(f"text {number}" for number in range(MOST_LABELS + 5))))


def test_the_file_is_pinned_by_its_content(rules):
    digest = hashlib.sha256(rules.read_bytes()).hexdigest()
    settings = WeakLabelsSettings(functions=str(rules)).pinned()
    assert settings.functions_sha256 == digest
    assert settings.pinned() == settings
    rules.write_text(RULES + "# other\n")
    with pytest.raises(DataError, match=f"is not the file that the plan was made with .*{digest[:12]}"):
        settings.pinned()
    with pytest.raises(DataError, match="is not the file"):
        WeakLabels(settings, Context(scratch=rules.parent))
    with pytest.raises(DataError, match="no such file"):
        WeakLabelsSettings(functions="none.py").pinned()
    off = WeakLabelsSettings(functions="none.py", enabled=False)
    assert off.pinned() is off
