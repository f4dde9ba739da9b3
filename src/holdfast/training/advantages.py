"""How much better than its group each reward is (Shao et al. 2024, GRPO, eq. 3; Liu et al. 2025, Dr. GRPO).

A group are the rewards of completions of one prompt. A reward of None could not be graded: it takes no part in
its group's mean and has the advantage 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

EPSILON = 1e-4
"""Added to a group's standard deviation before dividing by it, as in TRL."""


def group_advantages(rewards: Sequence[float | None], scale: Literal["group", "none"] = "group") -> list[float]:
    """Returns A_i = (R_i - mean R) / (std R + eps), or without the division where `scale` is "none".

    The standard deviation is that of a sample (n - 1). A group of fewer than two graded rewards has no advantages.

    >>> group_advantages([1.0, 0.0, None], "none")
    [0.5, -0.5, 0.0]
    """
    graded = [reward for reward in rewards if reward is not None]
    if len(graded) < 2:
        return [0.0] * len(rewards)
    mean = sum(graded) / len(graded)
    spread = (sum((reward - mean) ** 2 for reward in graded) / (len(graded) - 1)) ** 0.5
    divisor = spread + EPSILON if scale == "group" else 1.0
    return [0.0 if reward is None else (reward - mean) / divisor for reward in rewards]


def has_signal(rewards: Sequence[float | None]) -> bool:
    """Tells whether a group's graded rewards differ, so that something can be learned from it."""
    return len({reward for reward in rewards if reward is not None}) > 1
