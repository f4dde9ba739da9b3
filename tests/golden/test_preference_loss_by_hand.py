"""The loss of DPO worked out by hand."""

import math

import pytest
import torch

from holdfast.training.preference_loss import preference_loss

LN2, LN3 = math.log(2.0), math.log(3.0)

# One pair, beta 1/2. The preferred answer has become 9 times as likely as under the reference (its log-probability rose
# from -8 to -8 + 2 ln 3), the rejected one a quarter as likely (from -5 to -5 - 2 ln 2).
#
# Rewards: 1/2 x 2 ln 3 = ln 3 and 1/2 x (-2 ln 2) = -ln 2; the margin h = ln 3 + ln 2 = ln 6.
# sigmoid(ln 6) = 6/7, sigmoid(-ln 6) = 1/7.
#
#   loss      -ln(6/7)                            = ln 7 - ln 6            = 0.1541506798
#   smoothed  -0.9 ln(6/7) - 0.1 ln(1/7)          = ln 7 - 0.9 ln 6        = 0.3333266267
#   slope     -beta x (1/7)                       = -1/14
#   smoothed  -beta x (1/7 - 1/10) = -1/2 x 3/70  = -3/140
PREFERRED, REJECTED, REFERENCE = -8 + 2 * LN3, -5 - 2 * LN2, (-8.0, -5.0)


def judged(smoothing=0.0, beta=0.5):
    """The loss of the pair, and the slopes in both answers' log-probabilities."""
    sides = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (PREFERRED, REJECTED)]
    reference = tuple(torch.tensor([value], dtype=torch.float64) for value in REFERENCE)
    found = preference_loss(*sides, reference, beta=beta, label_smoothing=smoothing)
    found.per_pair.sum().backward()
    return found, [side.grad.item() for side in sides]


@pytest.mark.parametrize(("smoothing", "loss", "slope"), [(0.0, 0.1541506798, -1 / 14), (0.1, 0.3333266267, -3 / 140)])
def test_the_loss_and_its_slopes_are_those_worked_out_by_hand(smoothing, loss, slope):
    found, slopes = judged(smoothing)
    assert found.per_pair.item() == pytest.approx(loss, abs=1e-9)
    assert slopes == [pytest.approx(slope, abs=1e-12), pytest.approx(-slope, abs=1e-12)]


def test_rewards_are_beta_times_how_much_likelier_an_answer_has_become():
    found, _ = judged()
    assert found.preferred_reward.item() == pytest.approx(LN3)
    assert found.rejected_reward.item() == pytest.approx(-LN2)
    assert found.margin.item() == pytest.approx(math.log(6))
    assert not found.margin.requires_grad


def test_before_the_first_step_a_pair_costs_the_logarithm_of_two():
    same = torch.tensor([-3.0, -40.0])
    found = preference_loss(same, same - 7, (same, same - 7), beta=0.1, label_smoothing=0.2)
    assert found.per_pair.tolist() == pytest.approx([LN2, LN2])


def test_the_slopes_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    sides = [torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    reference = tuple(torch.randn(5, generator=generator, dtype=torch.float64) for _ in range(2))
    assert torch.autograd.gradcheck(
        lambda a, b: preference_loss(a, b, reference, beta=0.7, label_smoothing=0.3).per_pair, sides
    )


def test_a_margin_that_is_far_from_zero_gives_finite_numbers():
    far = torch.tensor([-2000.0, 2000.0], requires_grad=True)
    zero = torch.zeros(2)
    found = preference_loss(far, zero, (zero, zero), beta=1.0)
    found.per_pair.sum().backward()
    assert found.per_pair.tolist() == [2000.0, 0.0]
    assert far.grad.tolist() == [-1.0, 0.0]
