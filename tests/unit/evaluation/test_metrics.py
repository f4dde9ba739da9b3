"""Accuracy, error bars and forgetting."""

import pytest
from sklearn.metrics import f1_score

from holdfast.errors import ConfigError
from holdfast.evaluation.forgetting import average_accuracy, backward_transfer, forgetting
from holdfast.evaluation.metrics import accuracy, bootstrap, macro_f1, paired_bootstrap, wilson


def test_the_bootstrap_has_no_width_when_no_item_changed_which_is_why_it_decides_nothing():
    interval = paired_bootstrap([1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    assert (interval.lower, interval.upper) == (0.0, 0.0)


def test_the_bootstrap_of_fifty_losses_and_fifty_gains_in_400_is_near_the_normal_interval():
    # sd of a difference: sqrt(100 / 400) = 0.5; of the mean: 0.025; 1.96 * 0.025 = 0.049.
    before, after = [1.0] * 50 + [0.0] * 350, [0.0] * 50 + [1.0] * 50 + [0.0] * 300
    interval = paired_bootstrap(before, after)
    assert interval.lower == pytest.approx(-0.049, abs=0.004)
    assert interval.upper == pytest.approx(0.049, abs=0.004)
    assert paired_bootstrap(before, after, seed=1) != interval == paired_bootstrap(before, after)


def test_the_bootstrap_of_pairs_is_that_of_their_differences():
    before, after = [0.5, 0.25, 1.0, 0.0], [1.0, 0.25, 0.5, 0.75]
    assert paired_bootstrap(before, after) == bootstrap([0.5, 0.0, -0.5, 0.75])


def test_macro_f1_counts_every_class_once_and_agrees_with_scikit_learn():
    truth, predicted = ["a", "a", "a", "b", "c", "c"], ["a", "a", "b", "b", "b", "a"]
    # Of a there are 3, 3 are predicted and 2 rightly: 2 * 2 / (3 + 3). Of b 1, 3 and 1. Of c none rightly.
    assert macro_f1(truth, predicted) == pytest.approx((2 / 3 + 1 / 2) / 3)
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))


def test_wilson_never_leaves_zero_to_one_and_has_width_at_the_ends():
    assert wilson(0, 10).lower == 0.0
    assert 0.2 < wilson(0, 10).upper < 0.4
    assert wilson(10, 10).upper == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy([]),
        lambda: wilson(5, 4),
        lambda: wilson(0, 0),
        lambda: wilson(1, 2, 1.0),
        lambda: paired_bootstrap([1.0], [1.0, 0.0]),
        lambda: bootstrap([]),
        lambda: macro_f1(["a"], []),
    ],
)
def test_what_has_no_answer_is_refused(call):
    with pytest.raises(ConfigError):
        call()


R = [
    [1.0, 0.25, None],
    [0.75, 1.0, None],
    [0.5, 0.875, 1.0],
]


def test_backward_transfer_compares_with_the_stage_that_taught_the_skill():
    # skill 0: 0.5 - 1.0; skill 1: 0.875 - 1.0; skill 2 was taught last.
    assert backward_transfer(R, [0, 1, 2]) == pytest.approx((-0.5 - 0.125) / 2)


def test_forgetting_compares_with_the_best_it_ever_was():
    grown = [[0.5, 0.0], [0.75, 1.0], [0.625, 1.0]]
    assert forgetting(grown, [0, 1]) == pytest.approx((0.125 + 0.0) / 2)
    assert backward_transfer(grown, [0, 1]) == pytest.approx((0.125 + 0.0) / 2)


def test_an_ability_nobody_taught_counts_from_the_first_row():
    assert forgetting(R, [None, None, None]) == pytest.approx((0.5 + 0.125) / 2)


def test_average_accuracy_leaves_out_what_was_not_measured():
    assert average_accuracy(R[:1]) == pytest.approx(0.625)


def test_after_one_stage_nothing_can_have_been_forgotten():
    assert forgetting([[1.0]], [0]) == backward_transfer([[1.0]], [0]) == 0.0


def test_a_matrix_that_is_empty_ragged_or_of_other_skills_is_refused():
    for matrix, learned in (([], []), ([[1.0], [1.0, 0.0]], [0]), ([[1.0]], [0, 1])):
        with pytest.raises(ConfigError):
            forgetting(matrix, learned)
