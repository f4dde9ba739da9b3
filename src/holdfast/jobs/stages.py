"""The stages of one order to learn, and which may follow which. Pure: no clock, no disk.

validating_files -> preparing -> guarding -> reminding -> training -> evaluating -> deciding -> reporting -> succeeded
                                                   ^                                  |
                                                   '----------- a remedy -------------'          -> refused
From every unfinished stage a run may become `failed` (an error) or `cancelled` (asked to stop);
both can be taken up again where they stopped.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from holdfast.errors import StoreError

Stage: TypeAlias = Literal[
    "validating_files",
    "preparing",
    "guarding",
    "reminding",
    "training",
    "evaluating",
    "deciding",
    "reporting",
    "succeeded",
    "refused",
    "failed",
    "cancelled",
]

STAGES: tuple[Stage, ...] = get_args(Stage)
FINAL: frozenset[Stage] = frozenset({"succeeded", "refused"})
"""Nothing is left to do; the same order again returns what was decided."""
STOPPED: frozenset[Stage] = frozenset({"failed", "cancelled"})
"""Not running, and resumable."""

_ORDER: tuple[Stage, ...] = (
    "validating_files",
    "preparing",
    "guarding",
    "reminding",
    "training",
    "evaluating",
    "deciding",
    "reporting",
)


def may_follow(before: Stage, after: Stage) -> bool:
    """Tells whether a run in stage `before` may go to stage `after`.

    Going back to an earlier working stage is a resumed run (its finished parts are only loaded) or a remedy.

    >>> may_follow("training", "evaluating"), may_follow("training", "succeeded"), may_follow("succeeded", "training")
    (True, False, False)
    """
    if before in FINAL:
        return False
    if after in STOPPED or before in STOPPED:
        return after not in FINAL
    if after in FINAL:
        return before == "reporting"
    return _ORDER.index(after) <= _ORDER.index(before) + 1 or after == before


def checked(before: Stage, after: Stage) -> Stage:
    """Returns `after`, or raises StoreError when a run in `before` cannot go there."""
    if not may_follow(before, after):
        raise StoreError(
            f"A run in stage '{before}' cannot go to '{after}'; this is a defect of Holdfast, please report it."
        )
    return after
