"""Advantages and policy losses worked out by hand."""

import math

import pytest
import torch

from holdfast.training.advantages import EPSILON, group_advantages, has_signal
from holdfast.training.policy_loss import PolicyObjective, policy_loss, spread, token_shares
from holdfast.training.reflect_config import PolicyConfig

LN2 = math.log(2.0)

# One group, of which the first reflection alone was rewarded: four sequences, and for each of their tokens how likely
# it was when it was sampled, how much likelier the policy has made it since, and how much likelier than under the
# policy it is under the reference.
REWARDS = [1.0, 0.0, 0.0, 0.0]
OLD = [[0.5, 0.25, 0.25], [0.5], [0.5, 0.125], [0.75, 0.5]]
RATIOS = [[1.0, 5 / 4, 25 / 16], [1 / 2], [1 / 2, 2.0], [1.0, 1.0]]
REFERENCES = [[2.0, 1.0, 1.0], [1.0], [1 / 2, 1.0], [1.0, 1.0]]
LENGTHS, BUDGET = [3, 1, 2, 2], 5

# Worked by hand, from rewards to one number:
#
# Advantages. Mean 1/4, so 3/4, -1/4, -1/4, -1/4; the sum of squares 3/4 over n - 1 = 3 is 1/4, its root 1/2: where
# they are scaled, all are divided by 0.5001.
#
# Ratios as they count (none at a bound itself). In sequence 1 the advantage is positive, so they are cut from above:
#   at 1.2:   1 + 1.2  + 1.2  = 3.4
#   at 1.28:  1 + 1.25 + 1.28 = 3.53            5/4 lies between the two bounds: here the presets differ
#   as a sequence: the cube root of 5/4 x 25/16 = (5/4)^3 is 5/4, below 1.28, three times: 3.75
# In the others it is negative, so they are cut from below, at 0.8, and not from above:
#   by token: 0.8;  0.8 + 2 = 2.8;  1 + 1 = 2   as a sequence: 0.8;  the root of 1/2 x 2 is 1, twice: 2;  2
#
# KL. Two tokens differ from the reference: 2 - ln 2 - 1 = 1 - ln 2 in sequence 1 and 1/2 + ln 2 - 1 = ln 2 - 1/2 in
# sequence 3; together exactly 1/2.
#
# Added up (the loss is minus advantage x ratio, plus beta x KL):
#   paper    [-3/4 x 3.4/3 + 1/4 x (0.8/1 + 2.8/2 + 2/2)] / 4 = (-0.85 + 0.8) / 4 = -0.0125, scaled -0.0249950010
#            KL [(1 - ln 2)/3 + (ln 2 - 1/2)/2] / 4 = 0.0497144659, x 0.001                        = +0.0000497145
#   modern   [-3/4 x 3.53 + 1/4 x (0.8 + 2.8 + 2)] / 8 tokens = -1.2475 / 8, scaled                = -0.3118126375
#            KL 1/2 / 8 tokens x 0.01                                                              = +0.000625
#   dr_grpo  -1.2475 / (4 sequences x budget 5), not scaled                                        = -0.062375
#            KL 1/2 / 20 x 0.01                                                                    = +0.00025
#   gspo     [-3/4 x 3.75 + 1/4 x (0.8 + 2 + 2)] / 8 tokens = -1.6125 / 8, scaled                  = -0.4030443911
#            KL as modern                                                                          = +0.000625
PRESETS = {
    "paper": (PolicyConfig(preset="paper"), -0.0249452865),
    "modern": (PolicyConfig(preset="modern"), -0.3111876375),
    "dr_grpo": (PolicyConfig(preset="modern", loss="dr_grpo"), -0.062125),
    "gspo": (PolicyConfig(preset="modern", ratio="sequence"), -0.4024193911),
}


def group():
    """The group's log-probabilities, sequence after sequence: under the policy, when sampled, under the reference."""
    old, ratio, reference = (
        torch.tensor([math.log(value) for sequence in each for value in sequence], dtype=torch.float64)
        for each in (OLD, RATIOS, REFERENCES)
    )
    return (old + ratio).requires_grad_(), old, old + ratio + reference


def total_of(config, logp, old, reference):
    """The one number that a recipe's settings make of the group."""
    objective = PolicyObjective.of(config)
    advantage = spread(group_advantages(REWARDS, objective.scale), LENGTHS, logp)
    found = policy_loss(logp, old, advantage, LENGTHS, objective, reference)
    return found.total(token_shares(LENGTHS, objective.shares, BUDGET), LENGTHS)


@pytest.mark.parametrize("name", PRESETS)
def test_a_group_s_loss_from_a_recipe_s_settings_to_one_number(name):
    config, wanted = PRESETS[name]
    assert total_of(config, *group()).item() == pytest.approx(wanted, abs=1e-10)


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
