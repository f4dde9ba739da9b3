"""Labels from votes that may be wrong or missing: majority, and EM after Dawid & Skene (1979) with abstention.

The model. A row has one class y of K, drawn with probability pi[y]. Each of M labelling functions votes for a class or
abstains; that it abstains says nothing about the class. A vote of function j is right with probability a[j], and wrong
votes are spread evenly over the other classes:

    theta[j, y, v] = P(j votes v | y, j votes) = a[j] where v = y, else (1 - a[j]) / (K - 1)

EM, from the votes alone:

    E:  q[i, y]  proportional to  pi[y] * product over the functions j that vote on row i of theta[j, y, vote of j on i]
    M:  a[j] = (sum over the rows i where j votes of q[i, vote of j on i] + S * A) / (number of votes of j + S)

A row whose class is known has q = 1 there throughout. A = 0.7 and S = 10: before any evidence a function is right in
70 % of its votes, and that counts as much as ten votes.

Choices made here. The full model of Dawid and Skene, without them, fell behind a plain majority on real tweets
(`bench/weak_labels.py`):

- One accuracy per function instead of a K x K table, and wrong votes spread evenly.
- pi is given, or taken from how the votes are spread, and not estimated: within EM it runs off to one class where
  functions rarely overlap.
- A function that only ever votes for one class keeps a = A unless known rows say otherwise. Whether it is right cannot
  be told from agreement: two functions that only say "spam" always agree with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ABSTAIN = -1
"""The vote of a function that does not vote, and the class of a row whose class is not known."""
PRIOR_ACCURACY = 0.7
PRIOR_VOTES = 10.0
MAX_ROUNDS = 500
TOLERANCE = 1e-6
"""EM ends when no posterior moves by more than this."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was made of the votes of M functions on N rows.

    `posterior` [N, K] is the probability of each class for each row; where nobody voted it is `priors` [K], the class
    shares. `accuracy` [M] is each function's a[j]; for a majority vote it is the agreement with that, NaN without any
    vote. `learned` [M] is False where a[j] is only assumed. `num_rounds` is 0 for a majority vote; `converged` is False
    where EM was still moving after `MAX_ROUNDS`.
    """

    posterior: NDArray[np.float64]
    priors: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    learned: NDArray[np.bool_]
    num_rounds: int = 0
    converged: bool = True


@dataclass(frozen=True, slots=True)
class _Patterns:
    """The P different rows of votes and known class, how many rows are like each, and which of them each row is."""

    votes: NDArray[np.int64]
    known: NDArray[np.int64]
    counts: NDArray[np.float64]
    row_of: NDArray[np.int64]


def majority(votes_NM: NDArray[np.integer], num_labels: int, counts_N: NDArray[np.integer] | None = None) -> Fitted:
    """Returns the share of each class among a row's votes; `counts_N` says how many rows each row stands for.

    >>> majority(np.array([[0, 0, 1], [1, -1, -1]]), 2).posterior.round(2).tolist()
    [[0.67, 0.33], [0.0, 1.0]]
    """
    patterns = _patterns(votes_NM, None, counts_N)
    shares_PK = np.zeros((len(patterns.votes), num_labels))
    for votes_P in patterns.votes.T:
        voted = votes_P != ABSTAIN
        shares_PK[voted, votes_P[voted]] += 1
    total_P = shares_PK.sum(1)
    voted_P = total_P > 0
    shares_PK[voted_P] /= total_P[voted_P, None]
    priors_K = _vote_shares(patterns, num_labels)
    shares_PK[~voted_P] = priors_K
    sums_M, votes_M = _votes_of(patterns, shares_PK)
    accuracy_M = np.divide(sums_M, votes_M, out=np.full(len(votes_M), np.nan), where=votes_M > 0)
    return Fitted(shares_PK[patterns.row_of], priors_K, accuracy_M, np.asarray(votes_M > 0))


def dawid_skene(
    votes_NM: NDArray[np.integer],
    num_labels: int,
    class_shares: Sequence[float] | None = None,
    known_N: NDArray[np.integer] | None = None,
    counts_N: NDArray[np.integer] | None = None,
) -> Fitted:
    """Returns the posterior of every row by EM; the head of this file has the equations.

    `votes_NM` holds classes 0..K-1 or `ABSTAIN`, with K >= 2. `class_shares` is pi; without it the votes' own spread
    is. `known_N` holds the class of rows that have one, else `ABSTAIN`; `counts_N` says how many rows each stands for.
    """
    patterns = _patterns(votes_NM, known_N, counts_N)
    shares = _vote_shares(patterns, num_labels) if class_shares is None else np.asarray(class_shares, float)
    priors_K = shares / shares.sum()
    known_P = patterns.known != ABSTAIN
    truth_PK = np.eye(num_labels)[patterns.known[known_P]]
    two_sided_M = np.array([len(np.unique(votes[votes != ABSTAIN])) > 1 for votes in patterns.votes.T], bool)
    # A one-sided function learns from the rows whose class is known, and from no others.
    counts_PM = np.where(known_P[:, None] | two_sided_M[None, :], patterns.counts[:, None], 0.0)
    accuracy_M = np.full(votes_NM.shape[1], PRIOR_ACCURACY)
    posterior_PK, votes_M = np.zeros((len(known_P), num_labels)), np.zeros(votes_NM.shape[1])
    moved, rounds = np.inf, 0
    while moved > TOLERANCE and rounds < MAX_ROUNDS:
        new_PK = _posterior(patterns.votes, priors_K, accuracy_M)
        new_PK[known_P] = truth_PK
        moved = float(np.abs(new_PK - posterior_PK).max(initial=0.0))
        posterior_PK, rounds = new_PK, rounds + 1
        sums_M, votes_M = _votes_of(patterns, posterior_PK, counts_PM)
        accuracy_M = (sums_M + PRIOR_VOTES * PRIOR_ACCURACY) / (votes_M + PRIOR_VOTES)
    return Fitted(
        posterior_PK[patterns.row_of], priors_K, accuracy_M, np.asarray(votes_M > 0), rounds, moved <= TOLERANCE
    )


def _patterns(
    votes_NM: NDArray[np.integer], known_N: NDArray[np.integer] | None, counts_N: NDArray[np.integer] | None
) -> _Patterns:
    known = np.full(len(votes_NM), ABSTAIN) if known_N is None else known_N
    rows = np.column_stack([votes_NM, known]).astype(np.int64)
    if not len(rows):
        return _Patterns(rows[:, :-1], rows[:, -1], np.zeros(0), np.zeros(0, np.int64))
    different, row_of_N = np.unique(rows, axis=0, return_inverse=True)
    row_of_N = row_of_N.reshape(-1)
    counts_P = np.bincount(row_of_N, counts_N, minlength=len(different))
    return _Patterns(different[:, :-1], different[:, -1], counts_P.astype(float), row_of_N)


def _vote_shares(patterns: _Patterns, num_labels: int) -> NDArray[np.float64]:
    """How the votes are spread over the classes, a row's votes counting one together, each class seen at least once."""
    per_row_P = np.maximum((patterns.votes != ABSTAIN).sum(1), 1)
    spread_K = np.ones(num_labels)
    for votes_P in patterns.votes.T:
        voted = votes_P != ABSTAIN
        weight = patterns.counts[voted] / per_row_P[voted]
        spread_K += np.bincount(votes_P[voted], weight, minlength=num_labels)
    return spread_K / spread_K.sum()


def _posterior(
    votes_PM: NDArray[np.int64], priors_K: NDArray[np.float64], accuracy_M: NDArray[np.float64]
) -> NDArray[np.float64]:
    log_PK = np.tile(np.log(np.maximum(priors_K, 1e-12)), (len(votes_PM), 1))
    wrong_M = np.log((1 - accuracy_M) / (len(priors_K) - 1))
    for votes_P, right, wrong in zip(votes_PM.T, np.log(accuracy_M), wrong_M, strict=True):
        voted = votes_P != ABSTAIN
        # The wrong votes' factor is common to all classes but one, so only the difference matters.
        log_PK[voted, votes_P[voted]] += right - wrong
    log_PK -= log_PK.max(1, keepdims=True)
    posterior_PK = np.exp(log_PK)
    return posterior_PK / posterior_PK.sum(1, keepdims=True)


def _votes_of(
    patterns: _Patterns, posterior_PK: NDArray[np.float64], counts_PM: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each function the summed posterior of what it voted for, and the number of its votes."""
    num_functions = patterns.votes.shape[1]
    sums_M, votes_M = np.zeros(num_functions), np.zeros(num_functions)
    for j, votes_P in enumerate(patterns.votes.T):
        voted = votes_P != ABSTAIN
        weight = (patterns.counts if counts_PM is None else counts_PM[:, j])[voted]
        sums_M[j] = weight @ posterior_PK[voted, votes_P[voted]]
        votes_M[j] = weight.sum()
    return sums_M, votes_M
