"""What a sequence of stages learned and forgot, from the accuracy matrix. Pure functions.

R[i][j] is the accuracy on skill j after stage i, or None where it was not measured. `learned[j]` is the row at which
skill j was taught, or None for an ability that the base came with and nobody taught (it then counts from row 0).

Paper: Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", arXiv:1706.08840 (average accuracy and
backward transfer); Chaudhry et al., "Riemannian Walk for Incremental Learning", arXiv:1801.10112 (forgetting).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from holdfast.errors import ConfigError

Matrix = Sequence[Sequence[float | None]]


def average_accuracy(R: Matrix) -> float:
    """Returns the mean accuracy after the last stage, over the skills measured there.

    >>> average_accuracy([[1.0, 0.0], [0.9, 0.7]])
    0.8
    """
    return _mean([value for value in _last(R) if value is not None])


def backward_transfer(R: Matrix, learned: Sequence[int | None]) -> float:
    """Returns the mean over earlier skills of (accuracy after the last stage - accuracy when it was learned).

    Negative means forgetting. Skills learned in the last stage have no later stage and do not count.

    >>> backward_transfer([[1.0, 0.0], [0.875, 0.5]], [0, 1])
    -0.125
    """
    return _mean([last - values[0] for values, last in _histories(R, learned)])


def forgetting(R: Matrix, learned: Sequence[int | None]) -> float:
    """Returns the mean over earlier skills of (best accuracy it ever had before the last stage - accuracy after it).

    >>> forgetting([[0.5, 0.0], [1.0, 0.5], [0.75, 0.5]], [0, 1])
    0.125
    """
    return _mean([max(values) - last for values, last in _histories(R, learned)])


def _histories(R: Matrix, learned: Sequence[int | None]) -> list[tuple[list[float], float]]:
    """Returns, per skill learned before the last stage, its measured accuracies until then and the one after it."""
    final = _last(R)
    if len(learned) != len(final):
        raise ConfigError(f"The matrix has {len(final)} skills, but {len(learned)} learning stages were given.")
    histories: list[tuple[list[float], float]] = []
    for column, stage in enumerate(learned):
        measured = [row[column] for row in R[stage or 0 : len(R) - 1]]
        known = [value for value in measured if value is not None]
        last = final[column]
        if known and last is not None:
            histories.append((known, last))
    return histories


def _last(R: Matrix) -> Sequence[float | None]:
    if not R:
        raise ConfigError("The accuracy matrix is empty: no version was measured yet.")
    if len({len(row) for row in R}) != 1:
        raise ConfigError(
            "The accuracy matrix is ragged: every version needs one entry per skill, None where unmeasured."
        )
    return R[-1]


def _mean(values: Sequence[float]) -> float:
    """Returns the mean, or 0 of nothing: before a second stage nothing can have been forgotten."""
    return math.fsum(values) / len(values) if values else 0.0
