"""The difference of two versions: what came, what went, what says something else now, and what only moved."""

import json
from dataclasses import replace

import pytest

from holdfast.cli.findings import setting_lines
from holdfast.data.output.difference import difference
from holdfast.data.output.prepared import Counts, PreparedRow, Source
from holdfast.data.output.write import write_version


@pytest.fixture
def version_of(tmp_path, make_prepared):
    """Writes a version of some examples to train on and to test on."""

    def make(train, test=(), plan=None, sources=("/in/a.jsonl",), root="v"):
        data = make_prepared(
            train=lambda: (PreparedRow(example) for example in train),
            test=lambda: (PreparedRow(example) for example in test),
            changed=tuple,
            rejected=tuple,
            outcomes=[],
            counts=Counts(len(train) + len(test), len(train) + len(test), 0),
            plan=plan or {},
            sources=[Source(path) for path in sources],
        )
        return write_version(tmp_path / root, data).version

    return make


def test_a_version_is_the_same_as_itself_and_as_its_rows_in_another_order(version_of, make_example):
    rows = [make_example(f"q{n}", label="ab"[n % 2], source=f"/in/a.jsonl:{n}") for n in range(20)]
    found = difference(version_of(rows), version_of(rows[::-1], root="w"))
    assert found.is_empty
    assert found.num_same == 20
    assert found.labels == {"a": (10, 10), "b": (10, 10)}
    assert (found.shown, found.shifts, found.settings) == ((), (), ())


def test_rows_are_added_removed_changed_and_moved(version_of, make_example):
    def row(question, answer, number, **more):
        return make_example(question, answer, source=f"/in/a.jsonl:{number}", **more)

    kept, moved = row("kept", "yes", 1), row("moved", "yes", 2)
    old, new = row("question", "old answer", 3), row("question", "new answer", 3)
    gone, came = row("gone", "yes", 4), row("came", "yes", 5)
    before = version_of([kept, moved, old, gone], plan={"seed": 1, "pii": {"on": True}})
    after = version_of([kept, new, came], [moved], plan={"seed": 2, "extra": [1, 2]})
    found = difference(before, after)
    assert (found.num_same, found.num_added, found.num_removed, found.num_changed, found.num_moved) == (2, 1, 1, 1, 1)
    assert found.parts == {"train": (4, 3), "test": (0, 1)}
    assert [(row.kind, row.part, row.source, row.before, row.after) for row in found.shown] == [
        ("changed", "train", "/in/a.jsonl:3", "question\nold answer", "question\nnew answer"),
        ("moved", "train to test", "/in/a.jsonl:2", "moved\nyes", "moved\nyes"),
        ("removed", "train", "/in/a.jsonl:4", "gone\nyes", ""),
        ("added", "train", "/in/a.jsonl:5", "", "came\nyes"),
    ]
    settings = {(each.name, each.before, each.after) for each in found.settings}
    assert settings == {("seed", "1", "2"), ("pii.on", "true", ""), ("extra", "", "1, 2")}
    assert not found.is_empty
    assert json.loads(json.dumps(found.to_json()))["num_changed"] == 1


def test_a_check_that_is_in_one_plan_alone_had_no_effect_in_the_other(version_of, make_example):
    near = {"enabled": True, "threshold": 0.8, "review": None}
    one = version_of([make_example("a")], plan={"seed": 1, "checks": {"near": near, "bias": {"names": []}}})
    two = version_of([make_example("a")], plan={"seed": 2, "checks": {"bias": {"names": ["x"]}}})
    assert setting_lines(difference(one, two).settings) == [
        "seed: 1 to 2",
        "checks.near: had an effect in the first version, had no effect in the second",
        "checks.bias.names: none to x",
    ]


def test_the_reverse_difference_exchanges_what_came_and_what_went(version_of, make_example):
    one = version_of([make_example(str(n), source=f"a:{n}") for n in range(5)])
    two = version_of([make_example(str(n), source=f"a:{n}") for n in range(2, 9)])
    there, back = difference(one, two), difference(two, one)
    assert (there.num_added, there.num_removed) == (back.num_removed, back.num_added) == (4, 2)
    # Every row of either version is counted once.
    assert there.num_same + there.num_removed + there.num_changed == 5
    assert there.num_same + there.num_added + there.num_changed == 7


def test_labels_shift(version_of, make_example):
    def labelled(*labels):
        return [make_example(f"t{n}", label=label, source=f"a.csv:{n}") for n, label in enumerate(labels)]

    found = difference(version_of(labelled("x", "x", "y", "y", None)), version_of(labelled("y", "y", "y", None, "z")))
    assert found.num_changed == 4
    assert [(shift.before, shift.after, shift.num_rows) for shift in found.shifts] == [
        ("x", "y", 2),
        (None, "z", 1),
        ("y", None, 1),
    ]
    assert found.labels == {"x": (2, 0), "y": (2, 3), "z": (0, 1)}
    assert found.shown[0].before == "t0\nyes [x]"


def test_other_columns_are_a_change_but_their_order_is_none(version_of, make_example):
    row = make_example("q", source="a:1", columns={"a": 1, "b": [2]})
    turned, other = replace(row, columns={"b": [2], "a": 1}), replace(row, columns={"a": 1, "b": [3]})
    assert difference(version_of([row]), version_of([turned], root="w")).is_empty
    assert difference(version_of([row]), version_of([other])).num_changed == 1


def test_a_folder_that_moved_is_no_change_of_place(version_of, make_example):
    old = [make_example("q", "old", source="/monday/a.jsonl:1")]
    new = [make_example("q", "new", source="/tuesday/a.jsonl:1")]
    moved = difference(version_of(old, sources=["/monday/a.jsonl"]), version_of(new, sources=["/tuesday/a.jsonl"]))
    assert (moved.num_changed, moved.num_added, moved.num_removed) == (1, 0, 0)
    # Where two sources share a name, the whole path tells them apart.
    two = ["/monday/a.jsonl", "/tuesday/a.jsonl"]
    apart = difference(version_of(old, sources=two), version_of(new, sources=two))
    assert (apart.num_changed, apart.num_added, apart.num_removed) == (0, 1, 1)


def test_rows_without_a_source_are_never_paired(version_of, make_example):
    found = difference(version_of([make_example("a")]), version_of([make_example("b")]))
    assert (found.num_changed, found.num_added, found.num_removed) == (0, 1, 1)


def test_equal_rows_are_counted_as_often_as_they_are_there(version_of, make_example):
    row, other = make_example("q", source="a:1"), make_example("r", source="a:1")
    found = difference(version_of([row, row, row, other]), version_of([row, other, other, other]))
    assert (found.num_same, found.num_changed, found.num_added, found.num_removed) == (2, 2, 0, 0)
    found = difference(version_of([row] * 4), version_of([row], [row]))
    assert (found.num_same, found.num_moved, found.num_removed) == (2, 1, 2)


def test_only_the_first_rows_of_each_kind_are_shown(version_of, make_example):
    before = version_of([make_example(f"old {n}", source=f"a:{n}") for n in range(30)])
    after = version_of([make_example(f"new {n}" * 200, source=f"b:{n}") for n in range(30)])
    found = difference(before, after, many=3)
    assert [row.kind for row in found.shown] == ["removed"] * 3 + ["added"] * 3
    assert [row.source for row in found.shown] == [*(f"a:{n}" for n in range(3)), *(f"b:{n}" for n in range(3))]
    assert all(len(row.after) < 300 for row in found.shown)


def test_empty_versions_differ_by_nothing(version_of):
    assert difference(version_of([]), version_of([], root="w")).is_empty
