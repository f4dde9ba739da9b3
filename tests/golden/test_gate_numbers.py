"""The gate's numbers, worked out by hand or by another road."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from holdfast.evaluation.bound import lower_bound, p_value, share_interval, upper_bound
from holdfast.evaluation.gate import Pair, decide
from holdfast.evaluation.metrics import wilson


def changed(lost, won, same):
    return [-1.0] * lost + [1.0] * won + [0.0] * same


@pytest.mark.parametrize(("items", "margin"), [(1, 0.5), (2, 0.02), (20, 0.1), (149, 0.02), (1000, 0.02), (1000, 0.9)])
def test_with_nothing_changed_the_p_value_is_the_chance_to_miss_every_harmed_item(items, margin):
    # If a share `margin` of all items were harmed, n items without one would come up with chance (1 - margin)^n.
    assert p_value([0.0] * items, -margin) == pytest.approx((1 - margin) ** items, rel=1e-4)


def test_149_unchanged_items_decide_two_points_at_95_percent_and_148_do_not():
    # 0.98^149 = exp(149 * ln 0.98) = exp(-3.01022) = 0.04928; 0.98^148 = 0.05029.
    assert p_value([0.0] * 149, -0.02) == pytest.approx(0.04928165, abs=1e-8)
    assert p_value([0.0] * 148, -0.02) == pytest.approx(0.05028740, abs=1e-8)
    # 1 - 0.05^(1/149) = 1 - exp(ln(0.05) / 149) = 1 - exp(-0.0201056) = 0.0199048.
    assert lower_bound([0.0] * 149, 0.95) == pytest.approx(-0.0199048, abs=1e-6)


@pytest.mark.parametrize(("lost", "items"), [(1, 5), (1, 150), (3, 10), (7, 300), (20, 21)])
def test_without_gains_the_bound_is_clopper_and_pearsons(lost, items):
    exact = -stats.beta.ppf(0.95, lost + 1, items - lost)
    assert lower_bound(changed(lost, 0, items - lost), 0.95) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize(("lost", "won"), [(0, 1), (0, 5), (1, 9), (3, 8), (20, 40), (0, 300)])
@pytest.mark.parametrize("same", [0, 17])
def test_at_no_margin_the_p_value_is_the_exact_sign_test(lost, won, same):
    exact = stats.binomtest(lost, lost + won, 0.5, alternative="less").pvalue
    assert p_value(changed(lost, won, same), 0.0) == pytest.approx(exact, rel=1e-6)


def test_five_gains_and_no_loss_are_just_enough_to_have_learned():
    # (1/2)^5 = 0.03125 <= 0.05, (1/2)^4 = 0.0625.
    assert decide({}, {"new": Pair([0.0] * 20, [1.0] * 5 + [0.0] * 15)}).decision == "accept"
    assert decide({}, {"new": Pair([0.0] * 20, [1.0] * 4 + [0.0] * 16)}).decision == "inconclusive"


def test_one_graded_item_has_the_bound_of_two_exponentials():
    # P(0.5 E1 <= E0): half an exponential has rate 2, so it comes before one of rate 1 with chance 2 / (2 + 1).
    assert p_value([0.5], 0.0) == pytest.approx(2 / 3, abs=1e-12)


def test_graded_differences_agree_with_the_simulated_bootstrap_that_defines_the_bound():
    differences = np.array([0.3, -0.2, 0.75, 0.1, -0.6, 0.0, 0.25])
    weights = np.random.default_rng(5).dirichlet(np.ones(8), size=400_000)
    simulated = np.quantile(weights[:, :7] @ differences - weights[:, 7], 0.05)
    assert lower_bound(list(differences), 0.95) == pytest.approx(simulated, abs=4e-3)


@pytest.mark.parametrize(("passed", "total"), [(0, 20), (20, 20), (1, 7), (30, 100)])
def test_the_interval_of_a_share_of_right_and_wrong_is_clopper_and_pearsons(passed, total):
    interval = share_interval([1.0] * passed + [0.0] * (total - passed))
    lower = stats.beta.ppf(0.025, passed, total - passed + 1) if passed else 0.0
    upper = stats.beta.ppf(0.975, passed + 1, total - passed) if passed < total else 1.0
    assert (interval.lower, interval.upper) == (pytest.approx(lower, abs=1e-6), pytest.approx(upper, abs=1e-6))


def test_the_interval_of_graded_shares_is_narrower_than_that_of_right_and_wrong_and_turns_over_with_them():
    graded, sharp = share_interval([0.25, 0.75] * 10), share_interval([0.0, 1.0] * 10)
    assert sharp.lower < graded.lower < 0.5 < graded.upper < sharp.upper
    rare, often = share_interval([0.0, 0.0, 0.25]), share_interval([1.0, 1.0, 0.75])
    assert (often.lower, often.upper) == (pytest.approx(1 - rare.upper), pytest.approx(1 - rare.lower))


def test_the_upper_bound_is_the_lower_bound_of_the_opposite():
    differences = changed(10, 2, 138)
    assert upper_bound(differences, 0.95) == -lower_bound([-value for value in differences], 0.95)


def _largest_loss_accepted(items, margin, won):
    low, high = -1, items - won + 1
    while high - low > 1:
        middle = (low + high) // 2
        accepted = p_value(changed(middle, won, items - middle - won), -margin) <= 0.05
        low, high = (middle, high) if accepted else (low, middle)
    return low


@pytest.mark.parametrize(("items", "margin", "most_won"), [(10, 0.3, 10), (30, 0.1, 30), (150, 0.02, 30)])
def test_a_candidate_at_the_margin_is_accepted_at_most_one_time_in_twenty(items, margin, most_won):
    """Every outcome of a three-valued test, over a grid of truths whose mean difference is exactly minus the margin."""
    limits = [_largest_loss_accepted(items, margin, won) for won in range(most_won + 1)]
    rates = []
    for chance_won in np.linspace(0.0, min((1 - margin) / 2, most_won / items / 2), 40):
        chance_lost = chance_won + margin
        rate = sum(
            stats.binom.pmf(won, items, chance_won)
            * stats.binom.cdf(limit, items - won, chance_lost / (1 - chance_won))
            for won, limit in enumerate(limits)
        )
        rates.append(rate + stats.binom.sf(most_won, items, chance_won))  # what was not enumerated counts as accepted
    assert max(rates) <= 0.05
    assert max(rates) >= 0.03  # and the rule does not waste what it may


def test_graded_values_at_the_margin_are_accepted_at_most_one_time_in_twenty():
    """Every outcome of eight items with five possible differences, over random truths with the mean at the margin."""
    items, margin, support = 8, 0.4, np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    grid = np.stack(np.meshgrid(*[np.arange(items + 1)] * 5, indexing="ij"), axis=-1).reshape(-1, 5)
    outcomes = grid[grid.sum(axis=1) == items]
    accepted = outcomes[[p_value(list(np.repeat(support, row)), -margin) <= 0.05 for row in outcomes]]
    ways = gammaln(items + 1) - gammaln(accepted + 1).sum(axis=1)
    generator = np.random.default_rng(1)
    for _ in range(400):
        truth = generator.dirichlet(np.full(5, generator.choice([0.1, 0.3, 1.0])))
        mean = truth @ support
        pull = 0 if mean > -margin else 4  # mixed with the worst or the best difference until the mean is the margin's
        share = (mean + margin) / (mean - support[pull])
        truth = (1 - share) * truth + share * np.eye(5)[pull]
        logs = np.where(accepted > 0, accepted * np.log(np.maximum(truth, 1e-300)), 0.0).sum(axis=1)
        assert np.exp(ways + logs).sum() <= 0.05


def test_wilsons_interval_of_8_of_10_is_the_one_in_the_book():
    # centre (0.8 + 1.92073 / 10) / 1.384146 = 0.716740; half width 0.226583 with z = 1.959964.
    interval = wilson(8, 10)
    assert interval.lower == pytest.approx(0.490162, abs=1e-6)
    assert interval.upper == pytest.approx(0.943318, abs=1e-6)


@pytest.mark.parametrize(("successes", "total"), [(0, 20), (1, 7), (149, 150), (150, 150), (333, 1000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes, total, confidence):
    theirs = stats.binomtest(successes, total).proportion_ci(confidence, method="wilson")
    ours = wilson(successes, total, confidence)
    assert (ours.lower, ours.upper) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))
