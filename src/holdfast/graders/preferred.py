"""Preferred: of the two answers that an item gives, the one that the model finds likelier is the preferred one.

An item with a rejected answer is a choice. The model is not asked to write: it reads both answers, and the one whose
tokens are the likelier on average is its answer, which is judged here. So a version is measured by itself, without
the version that it was trained from, and a later one can be compared with it.

Choices made here: the mean over an answer's tokens, because a sum favours the shorter answer whatever it says. An
answer that was written, and is neither of the two, cannot be judged: how near it is to one of them says little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.graders.reference import NO_REFERENCE, judged, shown, ungradable

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, Score


def preferred(completion: Completion, example: Example) -> Score:
    """Returns 1 if the answer that a model chose of the item's two is the preferred one."""
    if example.demonstration is None or example.rejected is None:
        return ungradable(NO_REFERENCE, "the item has no rejected answer beside a preferred one")
    if completion.text not in (example.demonstration.said, example.rejected.said):
        return ungradable("no_choice", f"{shown(completion.text)} is neither of the item's two answers")
    right = completion.text == example.demonstration.said
    return judged(right=right, explanation=f"finds the {'preferred' if right else 'rejected'} answer likelier")
