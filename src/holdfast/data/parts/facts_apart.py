"""Facts: some wordings of each are trained, others are asked in the test, and no wording is in both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN, TEST, VALIDATION = 0, 1, 2
"""The sides as codes."""
UNDECIDED = -1


@dataclass(frozen=True, slots=True)
class FactsApart:
    """Where the wordings of facts go.

    `sides` has a code for every prompt (`UNDECIDED` for one that asks no fact). `num_untested` facts are trained and
    asked nowhere else (they have one wording, or share theirs with others), `num_facts` is their number in all.
    """

    sides: NDArray[np.int8]
    num_facts: int
    num_untested: int


def facts_apart(
    facts: NDArray[np.uint64],
    prompts: NDArray[np.int64],
    draws: NDArray[np.uint64],
    *,
    test_share: float,
    validation_share: float,
) -> FactsApart:
    """Returns a side for every prompt that asks a fact; row i says that prompt `prompts[i]` asks `facts[i]`.

    Of a fact's k wordings, `test_share` (at least one where there are two, if the share is not 0) go to the test and
    at least one stays in training; which ones is said by `draws`, one for each prompt. A prompt that asks
    several facts goes where the first of them puts it.
    """
    sides = np.full(len(draws), UNDECIDED, dtype=np.int8)
    order = np.lexsort((prompts, facts))
    facts, prompts = facts[order], prompts[order]
    starts = np.flatnonzero(facts[1:] != facts[:-1]) + 1
    members = [np.unique(wordings) for wordings in np.split(prompts, starts)] if len(facts) else []
    members.sort(key=lambda wordings: int(draws[wordings].min()))
    for wordings in members:
        _place(wordings[np.argsort(draws[wordings])], sides, test_share, validation_share)
    trained = [sides[wordings] for wordings in members if (sides[wordings] == TRAIN).any()]
    num_untested = sum(not (placed == TEST).any() for placed in trained) if test_share else 0
    return FactsApart(sides, len(members), num_untested)


def _place(wordings: NDArray[np.int64], sides: NDArray[np.int8], test_share: float, validation_share: float) -> None:
    """Decides about the undecided wordings of one fact, in drawn order."""
    num = len(wordings)
    wanted = min(_wanted(num, test_share), num - 1)
    wanted_validation = min(_wanted(num, validation_share), num - 1 - wanted)
    placed = sides[wordings]
    free = wordings[placed == UNDECIDED]
    spare = len(free) - int(not (placed == TRAIN).any())
    num_test = max(0, min(wanted - int((placed == TEST).sum()), spare))
    num_validation = max(0, min(wanted_validation - int((placed == VALIDATION).sum()), spare - num_test))
    sides[free] = TRAIN
    sides[free[:num_test]] = TEST
    sides[free[num_test : num_test + num_validation]] = VALIDATION


def _wanted(num: int, share: float) -> int:
    return max(1, int(num * share + 0.5)) if share else 0
