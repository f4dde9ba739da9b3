"""The label model: numbers worked out by hand, and no worse than the one of snorkel on votes made by a known rule."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.making.label_model import ABSTAIN, PRIOR_ACCURACY, PRIOR_VOTES, dawid_skene, majority


def made_votes(seed, *, rows=600, accuracies=(0.9, 0.8, 0.7, 0.6), coverage=0.7, shares=(0.5, 0.5)):
    """True classes, and votes of functions that are right with the given probabilities and often silent."""
    generator = np.random.default_rng(seed)
    num_labels = len(shares)
    truth = generator.choice(num_labels, rows, p=shares)
    votes = np.full((rows, len(accuracies)), ABSTAIN)
    for j, accuracy in enumerate(accuracies):
        wrong = (truth + 1 + generator.integers(0, num_labels - 1, rows)) % num_labels
        vote = np.where(generator.random(rows) < accuracy, truth, wrong)
        voted = generator.random(rows) < coverage
        votes[voted, j] = vote[voted]
    return votes, truth


def share_right(posterior, votes, truth):
    voted = (votes != ABSTAIN).any(1)
    return float((posterior.argmax(1) == truth)[voted].mean())


def test_a_majority_vote_is_the_share_of_each_label():
    done = majority(np.array([[0, 0, 1], [1, ABSTAIN, ABSTAIN], [0, 1, ABSTAIN], [ABSTAIN] * 3]), 2)
    assert done.posterior[:3].tolist() == [[2 / 3, 1 / 3], [0, 1], [0.5, 0.5]]
    # Class shares: a row counts one, each class one more: (2/3 + 1/2 + 1) / 5.
    assert done.posterior[3].tolist() == done.priors.tolist() == pytest.approx([13 / 30, 17 / 30])
    # The first function's votes have 2/3, 1 and 1/2 of their rows' votes.
    assert done.accuracy.tolist() == pytest.approx([13 / 18, (2 / 3 + 1 / 2) / 2, 1 / 3])


def test_the_first_round_of_em_is_the_one_worked_out_by_hand(monkeypatch):
    monkeypatch.setattr("holdfast.data.making.label_model.MAX_ROUNDS", 1)
    votes = np.array([[0, 0, 1], [1, 1, 1], [0, 1, 0]])
    done = dawid_skene(votes, 2, class_shares=[1, 1])
    # E: each vote multiplies the odds by 0.7 / 0.3 = 7/3. Row 1 has 2 : 1 votes, so 7/3 : 1; row 2 has 0 : 3.
    two_to_one, none_to_three = 7 / 10, 27 / 370
    assert done.posterior[:, 0].tolist() == pytest.approx([two_to_one, none_to_three, two_to_one])
    # M: a = (posterior of what it voted for + 10 * 0.7) / (3 + 10).
    assert (PRIOR_VOTES, PRIOR_ACCURACY) == (10, 0.7)
    row = 1 - none_to_three
    expected = [(0.7 + row + 0.7 + 7) / 13, (0.7 + row + 0.3 + 7) / 13, (0.3 + row + 0.7 + 7) / 13]
    assert done.accuracy.tolist() == pytest.approx(expected)
    assert not done.converged


def test_the_better_function_wins_a_disagreement_that_a_majority_cannot_settle():
    # Functions 0, 1 and 2 agree throughout, function 3 contradicts them half of the time.
    rows = [[k, k, k, k if n % 2 else 1 - k] for n in range(40) for k in (0, 1)]
    votes = np.array([*rows, [0, ABSTAIN, ABSTAIN, 1]])
    assert majority(votes, 2).posterior[-1].tolist() == [0.5, 0.5]
    done = dawid_skene(votes, 2)
    assert done.posterior[-1, 0] > 0.9
    assert done.converged
    assert done.accuracy[0] > 0.9 > 0.6 > done.accuracy[3]


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"accuracies": (0.9, 0.85, 0.8, 0.7, 0.6), "coverage": 0.6, "shares": (0.85, 0.15)},
    ],
    ids=["four functions", "a rare class"],
)
def test_em_is_not_worse_than_snorkels_label_model(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = pytest.importorskip("snorkel.labeling.model", reason="needs snorkel, the yardstick")
    own, theirs, plain = [], [], []
    for seed in range(5):
        votes, truth = made_votes(seed, **made)
        num_labels = len(made.get("shares", (1, 1)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yardstick = model.LabelModel(cardinality=num_labels, verbose=False)
            yardstick.fit(votes, n_epochs=100, seed=seed, progress_bar=False)
            theirs.append(share_right(yardstick.predict_proba(votes), votes, truth))
        own.append(share_right(dawid_skene(votes, num_labels).posterior, votes, truth))
        plain.append(share_right(majority(votes, num_labels).posterior, votes, truth))
    assert np.mean(own) > np.mean(theirs) - 0.01
    assert min(np.subtract(own, theirs)) > -0.03
    assert np.mean(own) > np.mean(plain) + 0.01


@pytest.mark.parametrize("seed", range(3))
def test_estimated_accuracies_are_near_the_true_ones(seed):
    votes, _ = made_votes(seed, rows=4000)
    assert np.abs(dawid_skene(votes, 2).accuracy - [0.9, 0.8, 0.7, 0.6]).max() < 0.06


def test_a_function_that_votes_for_one_label_only_is_assumed_to_be_as_good_as_any_unless_rows_with_labels_say_more():
    votes, truth = made_votes(0)
    spam_only = np.where(votes[:, :1] == 1, 1, ABSTAIN)
    both = np.concatenate([votes, spam_only], axis=1)
    done = dawid_skene(both, 2)
    assert done.learned.tolist() == [True, True, True, True, False]
    assert done.accuracy[4] == PRIOR_ACCURACY
    known = np.where(np.arange(len(truth)) < 200, truth, ABSTAIN)
    taught = dawid_skene(both, 2, known_N=known)
    assert taught.learned.all()
    assert taught.accuracy[4] > 0.8
    assert (taught.posterior[:200].argmax(1) == truth[:200]).all()


def test_given_class_shares_decide_where_nobody_votes_and_tip_single_votes():
    votes = np.array([[0, 0, 0], [1, 1, 1], [ABSTAIN] * 3, [0, ABSTAIN, ABSTAIN]] * 5)
    done = dawid_skene(votes, 2, class_shares=[1, 9])
    assert done.posterior[2].tolist() == pytest.approx([0.1, 0.9])
    assert done.posterior[3, 0] < dawid_skene(votes, 2).posterior[3, 0]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(-1, 2), min_size=3, max_size=3), max_size=12))
def test_posteriors_are_probabilities_whatever_the_votes_and_their_order(rows):
    votes = np.array(rows, np.int64).reshape(len(rows), 3)
    for model in (majority, dawid_skene):
        done = model(votes, 3)
        assert done.posterior.shape == (len(rows), 3)
        assert np.allclose(done.posterior.sum(1), 1)
        assert np.isfinite(done.posterior).all()
        back = model(votes[::-1], 3)
        assert np.allclose(back.posterior[::-1], done.posterior)
