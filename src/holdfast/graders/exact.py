"""Exact: the answer is the reference, up to white space and Unicode composition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.graders.reference import judged, one_line, reference_text, shown, ungradable

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, Score


def exact(completion: Completion, example: Example) -> Score:
    """Returns 1 if the answer equals the reference; case and punctuation count."""
    reference = reference_text(example)
    if reference is None:
        return ungradable("no_reference", "the item has no answer and no label to compare with")
    if one_line(completion.text) == one_line(reference):
        return judged(right=True, explanation="equal")
    return judged(right=False, explanation=f"{shown(completion.text)} is not {shown(reference)}")
