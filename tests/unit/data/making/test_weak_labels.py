"""Weak labels: the user's own functions, what they are told when these fail, and every row in exactly one place."""

from dataclasses import replace

import numpy as np
import pytest

from holdfast.data.example_json import example_id
from holdfast.data.making.label_functions import load_functions, votes_of
from holdfast.data.making.weak_labels import WeakLabelSettings, label_weakly
from holdfast.errors import DataError
from holdfast.types import Example, Message


def text(content, label=None, number=1):
    example = Example("", (Message("user", content),), label=label, source=f"mail.jsonl:{number}")
    return replace(example, id=example_id(example))


def money(example):
    return "spam" if "money" in example.messages[0].content else None


def winner(example):
    return "spam" if "won" in example.messages[0].content else None


def greeting(example):
    return "ham" if example.messages[0].content.startswith("hi") else None


def length(example):
    return "spam" if len(example.messages[0].content) > 30 else "ham"


FUNCTIONS = {item.__name__: item for item in (money, winner, greeting, length)}
MAILS = ["hi there", "you won a lot of money, send your card", "hi, lunch?", "money money money", "hi, you won"]


def write(tmp_path, code):
    path = tmp_path / "rules.py"
    path.write_text(code)
    return path


def test_functions_are_those_of_the_file_that_do_not_begin_with_an_underscore(tmp_path):
    path = write(
        tmp_path,
        "from textwrap import dedent\nimport re\n_word = re.compile('a')\n"
        "def has_a(example):\n    return 'a' if _found(example) else None\n"
        "def _found(example):\n    return _word.search(example.messages[0].content)\n"
        "def other(example, *, strict=True):\n    return None\n",
    )
    functions = load_functions(path)
    assert list(functions) == ["has_a", "other"]
    assert functions["has_a"](text("cat")) == "a"


def test_a_list_of_functions_names_them_and_leaves_the_others_out(tmp_path):
    path = write(tmp_path, "def one(e): ...\ndef two(e, f): ...\nLABEL_FUNCTIONS = [one, lambda e: None]\n")
    assert list(load_functions(path)) == ["one", "<lambda>"]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(:\n", r"rules.py:1: cannot be loaded, SyntaxError"),
        ("x = 1\ny = x / 0\n", r"rules.py:2: cannot be loaded, ZeroDivisionError: division by zero"),
        ("import no_such_module_at_all\n", r"rules.py:1: cannot be loaded, ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "ends the program"),
        ("x = 1\n", "defines no function"),
        ("def f(a, b): ...\n", r"f\(a, b\) does not take one example"),
        ("def f(): ...\n", r"f\(\) does not take one example"),
        ("LABEL_FUNCTIONS = 3\n", "must be a list of functions"),
        ("def f(e): ...\nLABEL_FUNCTIONS = [f, f]\n", "f more than once"),
    ],
)
def test_a_file_that_gives_no_functions_is_refused_with_the_line(tmp_path, code, message):
    with pytest.raises(DataError, match=message):
        load_functions(write(tmp_path, code))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_functions(tmp_path / "none.py")


def test_a_function_that_fails_on_a_row_abstains_there_and_is_told():
    def odd(example):
        content = example.messages[0].content
        return {"a": 1, "b": "", "c": "no such label", "d": "ham"}[content]

    votes = votes_of([text(c, number=n) for n, c in enumerate("abcde", start=1)], {"odd": odd}, ["ham", "spam"])
    assert votes.votes[:, 0].tolist() == [-1, -1, -1, 0, -1]
    (faults,) = votes.faults
    assert faults.num_rows == 4
    assert set(faults.counts) == {
        "returns int instead of text or None",
        "returns empty text instead of a label or None",
        "votes 'no such label', which is not among the labels",
        "raises KeyError",
    }
    assert faults.first == "mail.jsonl:1: returns int instead of text or None"
    done = label_weakly([text("hi"), text("money")], {**FUNCTIONS, "broken": lambda e: 1 / 0})
    assert any("broken gives no usable vote on 2 rows" in note and "mail.jsonl:1" in note for note in done.notes)
    assert any(note == "broken never votes" for note in done.notes)


def test_coverage_overlaps_and_conflicts_are_the_ones_counted_by_hand():
    done = label_weakly([text(mail) for mail in MAILS], FUNCTIONS)
    # hi there: ham ham; you won…: spam spam spam; hi, lunch: ham ham; money…: spam ham; hi, you won: spam ham ham
    by_name = {report.name: report for report in done.functions}
    assert (by_name["money"].coverage, by_name["money"].overlaps, by_name["money"].conflicts) == (0.4, 0.4, 0.2)
    assert (by_name["winner"].coverage, by_name["winner"].conflicts) == (0.4, 0.2)
    assert (by_name["length"].coverage, by_name["length"].conflicts) == (1.0, 0.4)
    assert by_name["length"].labels == {"ham": 4, "spam": 1}
    assert by_name["length"].learned
    assert not by_name["greeting"].learned


def test_every_row_is_labelled_unlabelled_or_had_a_label():
    examples = [text(mail) for mail in MAILS] + [text("hi you", label="ham"), text("silent")]
    done = label_weakly(examples, {"money": money, "winner": winner, "greeting": greeting}, WeakLabelSettings())
    assert len(done.labelled) + len(done.unlabelled) + len(done.given) == len(examples) == len(done.posterior)
    assert [row.kind for row in done.unlabelled if row.example.messages[0].content == "silent"] == ["no_vote"]
    assert done.given == [examples[5]]
    labelled = done.labelled[0]
    assert labelled.label == "ham"
    assert labelled.id == example_id(labelled) != examples[0].id
    assert labelled.columns["weak_label"]["votes"] == {"greeting": "ham"}


def test_min_confidence_says_which_rows_stay_without_a_label():
    examples = [text(mail) for mail in MAILS] * 3
    sure = label_weakly(examples, FUNCTIONS, WeakLabelSettings(min_confidence=0.999))
    any_ = label_weakly(examples, FUNCTIONS, WeakLabelSettings(min_confidence=0.0))
    assert len(sure.labelled) < len(any_.labelled)
    assert "below 0.999" in next(row for row in sure.unlabelled if row.kind == "unsure").reason


def test_method_says_whether_functions_weigh_by_their_accuracy():
    examples = [text(mail) for mail in MAILS]
    plain = label_weakly(examples, FUNCTIONS, WeakLabelSettings(method="majority", min_confidence=0.0))
    assert plain.method == "majority"
    assert plain.posterior[4].tolist() == pytest.approx([2 / 3, 1 / 3])
    (tie,) = plain.unlabelled
    assert (tie.kind, tie.reason) == ("tie", "the votes are tied between ham and spam")
    assert label_weakly(examples, FUNCTIONS, WeakLabelSettings(method="em")).posterior[4].tolist() != [2 / 3, 1 / 3]


def test_labels_says_which_votes_count():
    examples = [text(mail) for mail in MAILS]
    done = label_weakly(examples, FUNCTIONS, WeakLabelSettings(labels=("ham", "other")))
    assert done.labels == ("ham", "other")
    assert any("money gives no usable vote" in note for note in done.notes)
    with pytest.raises(DataError, match="'spam', which is not among"):
        label_weakly([*examples, text("x", label="spam")], FUNCTIONS, WeakLabelSettings(labels=("ham", "other")))


def test_class_shares_says_how_frequent_labels_are():
    examples = [text(mail) for mail in MAILS]
    rare = label_weakly(examples, FUNCTIONS, WeakLabelSettings(class_shares={"ham": 0.99, "spam": 0.01}))
    even = label_weakly(examples, FUNCTIONS, WeakLabelSettings(class_shares={"ham": 0.5, "spam": 0.5}))
    assert (rare.posterior[:, 0] > even.posterior[:, 0]).all()
    for shares in ({"ham": 1.0}, {"ham": 1.0, "spam": 0.0}):
        with pytest.raises(DataError, match="each of the labels ham, spam"):
            label_weakly(examples, FUNCTIONS, WeakLabelSettings(class_shares=shares))
    with pytest.raises(DataError, match="no effect on a majority"):
        label_weakly(examples, FUNCTIONS, WeakLabelSettings(method="majority", class_shares={"ham": 1, "spam": 1}))


def test_functions_for_one_label_only_tell_nothing_apart():
    with pytest.raises(DataError, match="vote for spam only"):
        label_weakly([text("money")], {"money": money})
    with pytest.raises(DataError, match="vote for nothing only"):
        label_weakly([], FUNCTIONS)


def test_two_functions_are_combined_by_majority_and_this_is_said():
    done = label_weakly([text(mail) for mail in MAILS], {"length": length, "money": money})
    assert done.method == "majority"
    assert "2 functions vote" in done.notes[0]


def test_rows_with_labels_measure_the_functions():
    examples = [text("money", label="spam"), text("no money", label="ham"), text("hi", label="ham")]
    done = label_weakly(examples, FUNCTIONS)
    by_name = {report.name: report for report in done.functions}
    assert (by_name["money"].measured, by_name["money"].num_measured) == (0.5, 2)
    assert by_name["winner"].measured is None
    assert done.labelled == []
    assert np.allclose(done.posterior.max(1), 1)


def test_em_that_strays_far_from_the_majority_is_doubted():
    # Where labels are known, one function alone is right against the three others.
    def vote(place):
        return lambda example: {"a": "x", "b": "y"}.get(example.messages[0].content[place])

    functions = {f"f{place}": vote(place) for place in range(4)}
    known = [text("bbab", "x"), text("aaba", "y"), text("babb", "x"), text("abaa", "y")] * 10
    done = label_weakly([*known, *[text("bbba")] * 20, *[text("abbb")] * 5], functions)
    assert any("em and a majority vote disagree on" in note for note in done.notes)
    assert any("right in" in note and "look at it" in note for note in done.notes)
