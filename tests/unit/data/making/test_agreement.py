"""Agreement: Krippendorff's own example, the package that bears his name, and an interval that covers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.making.agreement import agreement, krippendorff_alpha

# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units, nominal.
PAPER = [
    ("1", "2", "3", "3", "2", "1", "4", "1", "2", None, None, None),
    ("1", "2", "3", "3", "2", "2", "4", "1", "2", "5", None, "3"),
    (None, "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", None),
    ("1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", None),
]


def units_of(table):
    return [[label for label in unit if label is not None] for unit in zip(*table, strict=True)]


def test_alpha_of_krippendorffs_own_example():
    assert krippendorff_alpha(units_of(PAPER)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_worked_out_by_hand():
    # o[a,a] = 2, o[b,b] = 2, o[a,b] = o[b,a] = 1; n = 6, n[a] = n[b] = 3: 1 - 5 * 2 / (36 - 18).
    assert krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "b"], ["a"], []]) == pytest.approx(4 / 9)
    assert krippendorff_alpha([["a", "a", "a"], ["b", "b", "b"]]) == 1.0
    assert krippendorff_alpha([["a", "b"], ["b", "a"]]) == pytest.approx(-0.5)


def test_alpha_is_not_defined_where_nothing_could_differ():
    assert krippendorff_alpha([["a", "a"], ["a", "a"]]) is None
    assert krippendorff_alpha([["a"], ["b"]]) is None
    assert krippendorff_alpha([]) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=3, max_size=3), min_size=1, max_size=12))
def test_alpha_is_that_of_the_krippendorff_package(units):
    krippendorff = pytest.importorskip("krippendorff", reason="needs krippendorff, the yardstick")
    answered = [[label for label in unit if label is not None] for unit in units]
    own = krippendorff_alpha(answered)
    if own is not None:
        codes = {"a": 0.0, "b": 1.0, "c": 2.0, None: np.nan}
        data = np.array([[codes[label] for label in unit] for unit in units]).T
        theirs = krippendorff.alpha(reliability_data=data, level_of_measurement="nominal")
        assert own == pytest.approx(theirs, abs=1e-9)


def answers_of(table):
    names = ["ann", "bo", "cy", "di"]
    return {
        f"item {number}": {name: label for name, label in zip(names, unit, strict=False) if label is not None}
        for number, unit in enumerate(zip(*table, strict=True))
    }


def test_agreement_names_labels_and_annotators():
    table = [("a", "a", "b", "b"), ("a", "a", "b", "b"), ("b", "a", "a", "b")]
    found = agreement(answers_of(table))
    assert (found.num_items, found.num_paired) == (4, 4)
    # Items with a label twice: the pairs of equal answers are 2 of 6 ordered ones, each of weight 1/2.
    assert found.labels == {"a": pytest.approx((1 + 3) / (2 + 3 + 1)), "b": pytest.approx((1 + 3) / (1 + 2 + 3))}
    assert found.annotators["cy"].agreement == pytest.approx(4 / 8)
    assert found.annotators["ann"].agreement == pytest.approx((4 + 2) / 8)
    assert found.annotators["cy"].alpha_without == 1.0
    assert found.annotators["ann"].num_answers == 4
    assert found.low <= found.alpha <= found.high


def test_the_interval_is_narrow_with_many_items_and_covers_the_truth():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(20):
        truth = generator.integers(0, 2, 150)
        answers = {
            str(item): {name: str(int(label if generator.random() < 0.9 else 1 - label)) for name in "abc"}
            for item, label in enumerate(truth)
        }
        found = agreement(answers, seed=seed)
        assert found.high - found.low < 0.25
        # Two answers agree with probability 0.81 + 0.01, by chance with 0.5: alpha = 1 - 0.18 / 0.5.
        covered += found.low <= 0.64 <= found.high
    assert covered >= 16


def test_one_item_has_no_interval_and_nobody_has_no_agreement():
    found = agreement({"item": {"ann": "a", "bo": "b"}})
    assert (found.low, found.high) == (None, None)
    empty = agreement({})
    assert (empty.alpha, empty.num_items, empty.annotators) == (None, 0, {})
    alone = agreement({"item": {"ann": "a"}})
    assert alone.annotators["ann"].agreement is None


def test_the_same_seed_gives_the_same_interval():
    answers = answers_of(PAPER)
    assert agreement(answers, seed=1) == agreement(answers, seed=1) != agreement(answers, seed=2)
