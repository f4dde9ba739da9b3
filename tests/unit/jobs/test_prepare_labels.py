"""Rows without labels through a whole preparation: functions label them, and replays give the same version."""

import json

import pytest

from holdfast.data.doctor.plan import Plan
from holdfast.errors import DataError
from holdfast.jobs.prepare import Request, prepare
from holdfast.jobs.preparing_here import plan_of, recipe_here
from holdfast.jobs.progress import Silent

RULES = """
def thanks(example):
    return "positive" if "thank" in example.messages[-1].content else None

def refund(example):
    return "negative" if "refund" in example.messages[-1].content else None

def tone(example):
    text = example.messages[-1].content
    return "negative" if "late" in text else "positive" if "good" in text else None
"""
OFF = ("semantic_duplicates", "label_errors", "near_duplicates", "language")
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll", "lagoon")


def text_of(number, end):
    return f"{WORDS[number % 12]} {WORDS[number // 12]} {WORDS[number * 5 % 12]} order {number * 7919}, {end}"


@pytest.fixture
def source(tmp_path):
    """Texts alone, prompts alone, a label that is empty, labels that are given; every fifth row has no vote."""
    ends = ("thank you, good", "refund it, late", "thank you", "so late", "hello")
    lines = [{"text": text_of(number, ends[number % 5])} for number in range(60)]
    lines += [{"prompt": text_of(number, ends[number % 5])} for number in range(60, 80)]
    lines += [{"text": text_of(number, "refund"), "label": None} for number in range(80, 90)]
    lines += [{"text": text_of(number, "refund"), "label": "negative"} for number in range(90, 95)]
    lines.append({"text": text_of(95, "hello"), "label": "positive"})
    path = tmp_path / "mails.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "rules.py").write_text(RULES)
    return path


@pytest.fixture
def run(source, tmp_path):
    def call(*overrides, functions="rules.py", approve=None, plan=None, tests=()):
        quick = [f"checks.{name}.enabled=false" for name in OFF]
        labels = ("functions", tmp_path / str(functions)), ("min_confidence", 0.5)
        given = [f"checks.weak_labels.{name}={value}" for name, value in labels if functions]
        recipe, template = recipe_here(None, None)
        request = Request(
            [str(source)], "mood", plan or plan_of(None, [*quick, *given, *overrides]), recipe,
            tests=tests, chat_template=template, to=tmp_path / "data",
        )  # fmt: skip
        return prepare(None, request, approve=approve, progress=Silent())

    return call


def written(found):
    return [example for part in found.version.parts for example in found.version.examples(part)]


def test_rows_without_labels_become_classification_examples(source, run, tmp_path):
    found = run()
    counts = found.version.counts
    assert (counts.read, counts.unchanged, counts.changed, counts.rejected) == (96, 6, 74, {"unlabelled": 16})
    finding = next(one.finding for one in found.outcomes if one.finding.check == "weak_labels")
    assert finding.figures["given"] == 6
    (told,) = [one["figures"] for one in found.to_json()["findings"] if one["check"] == "weak_labels"]
    assert told["labelled"] == 74
    rows = written(found)
    assert all(len(example.messages) == 1 and example.messages[0].role == "user" for example in rows)
    right = {"good": "positive", "you": "positive", "late": "negative", "refund": "negative"}
    for example in rows:
        last = example.messages[0].content.split()[-1]
        if "weak_label" in example.columns:
            assert example.label == right[last]
            assert example.columns["weak_label"]["confidence"] >= 0.5
        else:
            assert (example.label, last) in {("negative", "refund"), ("positive", "hello")}
    by_text = {example.messages[0].content: example for example in rows}
    source.write_text("".join(json.dumps({"text": one.messages[0].content, "label": one.label}) + "\n" for one in rows))
    plain = written(run(functions=None))
    assert len(plain) == len(rows)
    for example in plain:
        same = by_text[example.messages[0].content]
        assert (example.id, example.messages, example.label) == (same.id, same.messages, same.label)


def test_the_same_functions_give_the_same_version_wherever_they_lie_and_others_are_noticed(run, tmp_path):
    first = run()
    plan = Plan.from_toml(first.version.folder / "plan.toml")
    (tmp_path / "moved.py").write_text(RULES)
    assert run(functions="moved.py").version.hash == first.version.hash
    again = run(plan=plan)
    assert (again.version.hash, again.is_new) == (first.version.hash, False)
    (tmp_path / "rules.py").write_text(RULES + "def never(example):\n    return None\n")
    with pytest.raises(DataError, match="is not the file that the plan was made with"):
        run(plan=plan)
    assert run().version.hash != first.version.hash


def test_labels_that_are_refused_leave_rows_with_nothing_to_learn_and_the_plan_replays_it(run):
    found = run(approve=lambda number, finding: finding.check != "weak_labels")
    assert found.version.counts.rejected == {"model": 90}
    plan = Plan.from_toml(found.version.folder / "plan.toml")
    assert plan.of("weak_labels").remedy == "skip"
    assert run(plan=plan).version.hash == found.version.hash


def test_without_functions_rows_without_labels_are_rejected_where_they_are_read(run):
    found = run(functions=None)
    assert found.version.counts.rejected == {"columns": 60, "roles": 20, "label": 10}
    finding = next(one.finding for one in found.outcomes if one.finding.check == "weak_labels")
    assert (finding.level, finding.remedy) == ("ok", None)


def test_a_test_that_is_given_apart_needs_labels_of_its_own_and_teaches_the_functions_nothing(run, tmp_path):
    test = tmp_path / "test.jsonl"
    lines = [{"text": f"{text_of(number, 'refund')} now", "label": "negative"} for number in range(100, 110)]
    test.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"text": "thank you all"}]))
    found = run(tests=[str(test)])
    assert found.version.parts["test"].num_rows == 10
    assert found.version.counts.rejected == {"unlabelled": 16, "columns": 1}
    finding = next(one.finding for one in found.outcomes if one.finding.check == "weak_labels")
    assert finding.figures["given"] == 6
