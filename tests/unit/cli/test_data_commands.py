"""`prepare` and `data` by command: what a person reads, what a program reads, and what bad input is told."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import app

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima")


def reviews(folder, num, *, flipped=0):
    lines = ["text,label"]
    for number in range(num):
        first, second = WORDS[number % 12], WORDS[(number // 12 + 3) % 12]
        label = ("good", "bad")[(number + (number < flipped)) % 2]
        lines.append(f"the {first} of {second} came on day {number} to the {WORDS[number * 7 % 12]},{label}")
    path = folder / "reviews.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words, fails=False):
        found = CliRunner().invoke(app, [str(word) for word in words])
        assert (found.exit_code != 0) == fails, found.output
        return found.stdout

    return call


def prepared(run, source, *more):
    quick = ["--set", "checks.semantic_duplicates.enabled=false", "--set", "checks.label_errors.enabled=false"]
    return json.loads(run("prepare", source, "--skill", "reviews", "--to", "data", "--json", *quick, *more))


def test_versions_are_listed_shown_and_compared(tmp_path, run):
    first = prepared(run, reviews(tmp_path, 40))
    second = prepared(run, reviews(tmp_path, 44, flipped=3), "--set", "seed=1")
    listed = json.loads(run("data", "ls", "--in", "data", "--json"))
    assert [one["hash"] for one in listed] == [first["version"]["hash"], second["version"]["hash"]]
    names = [Path(one["folder"]).name for one in (first, second)]
    assert all(name in run("data", "ls", "--in", "data") for name in names)
    shown = run("data", "show", names[0], "--in", "data")
    assert "40 rows read = 40 kept as they were + 0 changed + 0 rejected" in shown
    difference = json.loads(run("data", "diff", *names, "--in", "data", "--json"))
    assert (difference["num_added"], difference["num_removed"], difference["num_changed"]) == (4, 0, 3)
    said = run("data", "diff", *names, "--in", "data")
    assert "4 added, 0 removed, 3 changed" in said
    assert "label good became bad" in said
    assert "plan, seed" in said


def test_label_functions_are_a_setting_of_their_check(tmp_path, run):
    (tmp_path / "rules.py").write_text(
        "def day(example):\n    return 'odd' if example.messages[0].content.count('1') else 'even'\n"
        "def came(example):\n    return 'odd' if 'kilo' in example.messages[0].content else None\n"
    )
    source = reviews(tmp_path, 40)
    source.write_text("".join(line.rpartition(",")[0] + "\n" for line in source.read_text().splitlines()))
    found = prepared(run, source, "--label-functions", "rules.py", "--set", "checks.weak_labels.min_confidence=0.4")
    told = next(one for one in found["findings"] if one["check"] == "weak_labels")
    assert (told["applied"], told["figures"]["labelled"]) == (True, found["version"]["counts"]["changed"])
    assert told["figures"]["labelled"] > 30
    sets = [f"checks.weak_labels.{word}" for word in ("functions=rules.py", "min_confidence=0.4")]
    same = prepared(run, source, "--set", sets[0], "--set", sets[1])
    assert same["version"]["hash"] == found["version"]["hash"]


def test_a_version_that_is_not_there_is_named(tmp_path, run):
    prepared(run, reviews(tmp_path, 20))
    found = CliRunner().invoke(app, ["data", "show", "nothing", "--in", "data"])
    assert found.exit_code != 0
