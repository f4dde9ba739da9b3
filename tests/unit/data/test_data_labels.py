"""Labels: counts, spellings, misspellings, contradictions; and labels that are probably wrong."""

import random
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Change, Context, Drop, Row
from holdfast.data.checks.label_errors import LabelErrors, LabelErrorsSettings
from holdfast.data.checks.labels import Labels, LabelsSettings
from holdfast.data.labels.change import labelled
from holdfast.data.labels.names import edits, look_alikes, unified
from holdfast.data.labels.out_of_fold import Sample, out_of_fold
from holdfast.data.read import read
from holdfast.errors import DataError
from holdfast.types import Example, Message


def tagged(text, label, answer=None):
    turns = (Message("user", text), *([Message("assistant", answer)] if answer is not None else []))
    return Example("", turns, label=label, source=f"{text[:9]}.csv")


def checked(check, examples, chunk=3):
    rows = [Row(number, example) for number, example in enumerate(examples)]
    for start in range(0, len(rows), chunk):
        check.see(rows[start : start + chunk])
    return rows, check.finding()


def labels_check(tmp_path, **chosen):
    return Labels(LabelsSettings(**chosen), Context(tmp_path))


def test_balance_majority_and_rare_labels(tmp_path):
    examples = [tagged(f"text {n}", "yes" if n < 90 else "no") for n in range(99)] + [tagged("odd", None)]
    _, finding = checked(labels_check(tmp_path), examples)
    assert finding.title == (
        "2 labels in 99 rows; always answering 'yes' would be right in 90.9%; 1 rows have no label; "
        "1 labels have fewer than 10 rows"
    )
    assert (finding.level, finding.remedy) == ("warning", None)
    assert finding.figures["counts"] == {"yes": 90, "no": 9}
    assert finding.figures["majority_share"] == pytest.approx(90 / 99)
    assert finding.figures["rare"] == {"no": 9}


def test_the_settings_say_what_is_rare_and_what_is_too_much(tmp_path):
    examples = [tagged(f"text {n}", "yes" if n < 70 else "no") for n in range(100)]
    for chosen, level in (({}, "ok"), ({"rare_rows": 31}, "warning"), ({"majority_share": 0.7}, "warning")):
        assert checked(labels_check(tmp_path, **chosen), examples)[1].level == level


def test_labels_that_differ_in_case_or_spaces_are_unified_in_label_and_answer(tmp_path):
    spelt = ["Refund"] * 12 + ["refund "] * 2 + ["REFUND"] + ["login"] * 12
    examples = [tagged(f"text {n}", label, answer=label) for n, label in enumerate(spelt)]
    check = labels_check(tmp_path)
    rows, finding = checked(check, examples)
    assert "3 rows spell their label otherwise than most" in finding.title
    assert (finding.level, finding.num_rows) == ("problem", 3)
    assert finding.figures["respelt"] == {"REFUND": "Refund", "refund ": "Refund"}
    assert finding.figures["counts"] == {"Refund": 15, "login": 12}
    assert [(pair.before, pair.after) for pair in finding.shown] == [("REFUND", "Refund"), ("refund ", "Refund")]
    decisions = [check.decide(row) for row in rows]
    assert [n for n, decision in enumerate(decisions) if decision] == [12, 13, 14]
    change = decisions[12]
    assert isinstance(change, Change)
    assert (change.example.label, change.example.messages[-1].content) == ("Refund", "Refund")
    assert change.what == "label 'refund ' is spelt 'Refund'"
    again = labels_check(tmp_path)
    _, finding = checked(
        again, [decision.example if decision else rows[n].example for n, decision in enumerate(decisions)]
    )
    assert finding.level == "ok"


def test_another_answer_than_the_label_is_left_alone():
    example = tagged("text", "refund ", answer="It is about money.")
    assert labelled(example, "Refund").messages == example.messages


def test_a_label_that_looks_like_another_is_reported(tmp_path):
    examples = [tagged(f"text {n}", ["billing", "login"][n % 2]) for n in range(40)] + [tagged("x", "biling")]
    _, finding = checked(labels_check(tmp_path, rare_rows=1), examples)
    assert finding.figures["alike"] == [["biling", "billing"]]
    assert (finding.level, finding.remedy) == ("warning", None)


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ("refund", "refnud", True),
        ("cancellation", "cancelations", True),
        ("refund", "refuse", False),
        ("class 1", "class 2", False),
        ("type_a", "type_b", False),
        ("male", "female", False),
        ("yes", "yet", False),
        ("positive", "negative", False),
    ],
)
def test_what_looks_like_a_misspelling(first, second, alike):
    assert bool(look_alikes({first: 1, second: 1})) is alike


@settings(deadline=None, max_examples=40)
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edits_are_symmetric_and_zero_only_for_equal_texts(first, second):
    assert edits(first, second) == edits(second, first)
    assert (edits(first, second) == 0) == (first == second)
    assert abs(len(first) - len(second)) <= edits(first, second) <= max(len(first), len(second))


@settings(deadline=None, max_examples=40)
@given(st.dictionaries(st.text(max_size=5), st.integers(1, 9), max_size=8))
def test_unified_names_are_their_own(counts):
    names = unified(counts)
    after = Counter()
    for label, count in counts.items():
        after[names.get(label, label)] += count
    assert not unified(after)


def test_equal_texts_with_different_labels_are_reported_and_other_spellings_are_none(tmp_path):
    examples = [
        tagged("Where is it?", "parcel"), tagged("where  is IT?", "refund"), tagged("Where is it?", "Parcel"),
        tagged("Pay me", "refund"), tagged("pay me", "REFUND "), tagged("other", "parcel"),
    ]  # fmt: skip
    _, finding = checked(labels_check(tmp_path, rare_rows=1), examples)
    assert finding.figures["num_contradicting_texts"] == 1
    assert finding.figures["num_contradicting_rows"] == 3
    assert "1 texts have different labels in 3 rows" in finding.title
    assert finding.shown[-1].note == "has the label 'refund' here and 'parcel' in Where is .csv"


def test_rows_without_labels_are_no_finding(tmp_path):
    check = labels_check(tmp_path)
    rows, finding = checked(check, [tagged("x", None)])
    assert (finding.title, finding.level) == ("No row has a label", "ok")
    assert check.decide(rows[0]) is None


NOUNS = {"refund": "money back pay return bank card", "login": "password account open code mail name"}


def planted(num, num_wrong, seed=0):
    """Rows of two topics with few words in common, some with the other's label, and which those are."""
    draw = random.Random(seed)
    examples = []
    wrong = set(draw.sample(range(num), num_wrong))
    for number in range(num):
        label = list(NOUNS)[number % 2]
        text = " ".join(draw.choices([*NOUNS[label].split(), "the", "my", "is", "please", "now"], k=8)) + f" {number}"
        other = list(NOUNS)[1 - number % 2]
        examples.append(tagged(text, other if number in wrong else label, answer=other if number in wrong else label))
    return examples, wrong


def errors_check(tmp_path, embed=None, seed=0, **chosen):
    return LabelErrors(LabelErrorsSettings(**chosen), Context(tmp_path, embed=embed, seed=seed))


def test_twenty_wrong_labels_among_400_are_found(tmp_path):
    examples, wrong = planted(400, 20)
    check = errors_check(tmp_path)
    rows, finding = checked(check, examples, chunk=50)
    found = {suspect.number for suspect in check.suspects}
    assert len(found & wrong) >= 16
    assert not found - wrong
    assert all(suspect.suggested != suspect.label for suspect in check.suspects)
    assert check.suspects[0].confidence > 0.8
    assert finding.remedy is None
    assert finding.level == "warning"
    assert len(finding.figures["suspects"]) == len(found)
    assert not any(check.decide(row) for row in rows)


def test_action_says_what_becomes_of_suspects(tmp_path):
    examples, _ = planted(200, 10)
    for action, kind in (("drop", Drop), ("relabel", Change)):
        check = errors_check(tmp_path, action=action)
        rows, finding = checked(check, examples)
        decided = {row.number: check.decide(row) for row in rows if check.decide(row)}
        assert finding.remedy
        assert set(decided) == {suspect.number for suspect in check.suspects}
        assert all(isinstance(decision, kind) for decision in decided.values())
    first = check.suspects[0]
    changed = decided[first.number].example
    assert (changed.label, changed.messages[-1].content) == (first.suggested, first.suggested)


def test_min_confidence_leaves_out_unsure_suspects(tmp_path):
    examples, _ = planted(200, 10)
    check = errors_check(tmp_path)
    checked(check, examples)
    middle = sorted(suspect.confidence for suspect in check.suspects)[len(check.suspects) // 2]
    surer = errors_check(tmp_path, min_confidence=middle)
    checked(surer, examples)
    assert 0 < len(surer.suspects) < len(check.suspects)


def test_of_many_rows_a_sample_is_judged_and_this_is_said(tmp_path):
    examples, _ = planted(200, 10)
    check = errors_check(tmp_path, max_rows=80)
    _, finding = checked(check, examples)
    assert finding.figures["num_judged"] == 80
    assert "a sample: 120 labelled rows were not judged" in finding.title
    again = errors_check(tmp_path, max_rows=80)
    numbered = list(enumerate(examples))
    random.Random(1).shuffle(numbered)
    again.see([Row(number, example) for number, example in numbered])
    assert again.suspects == check.suspects


def test_folds_say_which_labels_are_too_rare_to_be_judged(tmp_path):
    examples = planted(60, 0)[0] + [tagged(f"rare words {n}", "rare") for n in range(4)]
    for folds, num in ((4, 64), (5, 60)):
        _, finding = checked(errors_check(tmp_path, folds=folds), examples)
        assert finding.figures["num_judged"] == num


def test_embeddings_are_used_where_there_are_some(tmp_path):
    asked = []

    def embed(texts):
        asked.extend(texts)
        money = np.array([sum(word in text for word in NOUNS["refund"].split()) for text in texts], dtype=np.float32)
        return np.stack([money / 6, 1 - money / 6], axis=1)

    examples, wrong = planted(100, 5)
    check = errors_check(tmp_path, embed=embed)
    _, finding = checked(check, examples)
    assert len(asked) == 100
    assert finding.figures["features"] == "embeddings"
    assert {suspect.number for suspect in check.suspects} >= wrong


def test_a_poor_classifier_is_said_to_be_one(tmp_path):
    draw = random.Random(0)
    examples = [tagged(f"{draw.random()}", draw.choice(["a", "b"])) for _ in range(100)]
    _, finding = checked(errors_check(tmp_path), examples)
    assert "many of those labels will be right" in finding.title


def test_without_labels_or_with_one_there_is_nothing_to_judge(tmp_path):
    assert checked(errors_check(tmp_path), [tagged("x", None)])[1].title == "No row has a label"
    _, finding = checked(errors_check(tmp_path), [tagged(f"x {n}", "a") for n in range(20)])
    assert finding.title.startswith("There are no two labels")


def test_without_cleanlab_the_finding_says_what_to_install_and_an_action_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    examples, _ = planted(40, 2)
    _, finding = checked(errors_check(tmp_path), examples)
    assert (finding.level, finding.remedy) == ("note", None)
    assert "pip install 'holdfast[label]'" in finding.title
    with pytest.raises(DataError, match=r"pip install 'holdfast\[label\]'"):
        checked(errors_check(tmp_path, action="drop"), examples)


def test_hostile_texts_are_judged(tmp_path):
    texts = ["", "\x00", "😀" * 9, "سلام", "a" * 1_000_000, " ", "‏"]
    examples = [tagged(texts[n % len(texts)], "ab"[n % 2]) for n in range(28)]
    assert checked(errors_check(tmp_path), examples)[1].figures["num_judged"] == 28
    checked(labels_check(tmp_path), examples)
    blank = errors_check(tmp_path)
    assert checked(blank, [tagged("", "ab"[n % 2]) for n in range(20)])[1].figures["num_judged"] == 20


def test_a_sample_keeps_the_same_rows_in_any_order():
    rows = [(n, f"label {n % 3}", f"text {n}") for n in range(50)]
    kept = []
    for order in (rows, rows[::-1]):
        sample = Sample(10, seed=0)
        for number, label, text in order:
            sample.add(number, label, text, "")
        kept.append([row.number for row in sample.rows()])
        assert sample.num_seen == 50
    assert kept[0] == kept[1]
    other = Sample(10, seed=1)
    for number, label, text in rows:
        other.add(number, label, text, "")
    assert [row.number for row in other.rows()] != kept[0]


def test_probabilities_out_of_fold_add_up_for_every_number_of_labels():
    texts = [f"{'abc'[n % 3] * 5} {n}" for n in range(30)]
    for num in (2, 3):
        codes = np.arange(30) % 3 % num
        probabilities = out_of_fold(texts, codes, folds=3)
        assert probabilities.shape == (30, num)
        assert probabilities.sum(axis=1) == pytest.approx(np.ones(30))


def test_planted_errors_in_real_tweets_are_found_with_the_stated_precision(tmp_path, shared_data):
    result = read(str(shared_data / "tweet_sentiment" / "train.jsonl.gz"), columns={"label": "sentiment"})
    clear = [example for example in result.examples if example.label != "neutral"]
    draw = random.Random(0)
    rows = draw.sample(clear, 4000)
    wrong = set(draw.sample(range(4000), 200))
    other = {"positive": "negative", "negative": "positive"}
    rows = [labelled(row, other[row.label]) if number in wrong else row for number, row in enumerate(rows)]
    check = errors_check(tmp_path)
    checked(check, rows, chunk=1000)
    found = {suspect.number for suspect in check.suspects}
    # The labels of people that are wrong besides count against precision here.
    assert len(found & wrong) / len(wrong) >= 0.65
    assert len(found & wrong) / len(found) >= 0.3
    assert len({suspect.number for suspect in check.suspects[:100]} & wrong) >= 60
