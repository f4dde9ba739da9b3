"""Advantages and policy losses worked out by hand."""

import math

import pytest
import torch

from holdfast.training.advantages import EPSILON, group_advantages, has_signal
from holdfast.training.policy_loss import PolicyObjective, policy_loss, token_shares

LN2 = math.log(2.0)


def test_advantages_of_a_group():
    # mean 1/4; sum of squares (3/4)^2 + 3 (1/4)^2 = 3/4; over 3: 1/4; root: 1/2
    assert group_advantages([1.0, 0.0, 0.0, 0.0]) == pytest.approx(
        [0.75 / (0.5 + EPSILON)] + [-0.25 / (0.5 + EPSILON)] * 3
    )
    assert group_advantages([1.0, 0.0, 0.0, 0.0], "none") == [0.75, -0.25, -0.25, -0.25]


def test_what_could_not_be_graded_changes_nothing():
    with_error = group_advantages([1.0, None, 0.0, None])
    assert with_error == pytest.approx([0.5 / (math.sqrt(0.5) + EPSILON), 0.0, -0.5 / (math.sqrt(0.5) + EPSILON), 0.0])
    assert group_advantages([1.0, None]) == [0.0, 0.0]
    assert group_advantages([None, None]) == [0.0, 0.0]
    assert group_advantages([1.0, 1.0, 1.0]) == [0.0, 0.0, 0.0]


def test_which_groups_teach():
    assert has_signal([0.0, 1.0])
    assert not has_signal([1.0, 1.0, None])
    assert not has_signal([None])


def losses(logp, old, advantage, lengths=(2,), reference=None, **settings):
    tensors = [torch.tensor(values, dtype=torch.float64) for values in (logp, old, advantage)]
    tensors[0].requires_grad_()
    given = None if reference is None else torch.tensor(reference, dtype=torch.float64)
    found = policy_loss(*tensors, list(lengths), PolicyObjective(**settings), given)
    found.per_token.sum().backward()
    return found, tensors[0].grad


def test_on_policy_the_gradient_is_minus_the_advantage():
    found, gradient = losses([-1.0, -2.0], [-1.0, -2.0], [0.5, -3.0])
    assert found.per_token.tolist() == [-0.5, 3.0]
    assert gradient.tolist() == [-0.5, 3.0]
    assert not found.clipped.any()


def test_ratios_are_clipped_on_the_side_that_would_gain():
    # ratios 2 and 1/2; bounds 0.8 and 1.28
    found, gradient = losses([-1 + LN2, -1 - LN2] * 2, [-1.0] * 4, [1.0, 1.0, -1.0, -1.0], (2, 2), epsilon_high=0.28)
    assert found.per_token.tolist() == pytest.approx([-1.28, -0.5, 2.0, 0.8])
    assert gradient.tolist() == pytest.approx([0.0, -0.5, 2.0, 0.0])
    assert found.clipped.tolist() == [True, False, False, True]


def test_the_kl_to_the_reference():
    # reference twice and half as likely: 2 - ln 2 - 1 and 1/2 + ln 2 - 1; gradients 1 - 2 and 1 - 1/2
    found, gradient = losses([-1.0, -1.0], [-1.0, -1.0], [0.0, 0.0], reference=[-1 + LN2, -1 - LN2], beta=0.1)
    assert found.kl.tolist() == pytest.approx([1 - LN2, LN2 - 0.5])
    assert found.per_token.tolist() == pytest.approx([0.1 * (1 - LN2), 0.1 * (LN2 - 0.5)])
    assert gradient.tolist() == pytest.approx([-0.1, 0.05])


def test_one_ratio_for_a_sequence():
    # log ratios ln 4 and 0: their mean is ln 2, so the ratio is 2 for both tokens; of the sum's gradient each gets half
    found, gradient = losses([-1 + 2 * LN2, -1.0], [-1.0, -1.0], [-1.0, -1.0], level="sequence")
    assert found.per_token.tolist() == pytest.approx([2.0, 2.0])
    assert gradient.tolist() == pytest.approx([2.0, 2.0])


def test_shares_of_tokens():
    assert token_shares([2, 4], "sequence", 10) == [1 / 4, 1 / 8]
    assert token_shares([2, 4], "token", 10) == [1 / 6, 1 / 6]
    assert token_shares([2, 4], "budget", 10) == [1 / 20, 1 / 20]
