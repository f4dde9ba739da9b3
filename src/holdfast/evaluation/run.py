"""Ask a model every item of a held-out test, grade every answer, keep every result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from holdfast.errors import DataError, GraderError, ModelError
from holdfast.types import Completion, Example, Score


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What the model answered to one item and what the grader made of it.

    `error_type` set means the answer could not be graded: such an item counts neither as right nor as wrong.
    """

    item_id: str
    value: float
    passed: bool
    completion: str
    explanation: str = ""
    error_type: str | None = None


def evaluate(
    items: Sequence[Example],
    generate: Callable[[Sequence[Example]], Sequence[Completion]],
    grade: Callable[[Sequence[tuple[Completion, Example]]], Sequence[Score]],
) -> list[ItemResult]:
    """Returns one result per item, in the items' order.

    `generate` and `grade` are called once with all items, so that they can batch as they like. What either raises
    passes through: a grader says of an answer that it cannot be graded by the score's `error_type`.
    """
    if not items:
        raise DataError(
            "The held-out test is empty, so nothing can be measured. Give the skill at least one test item."
        )
    repeated = _first_repeated([item.id for item in items])
    if repeated is not None:
        raise DataError(
            f"The held-out test holds item {repeated} twice, so paired comparisons would count it twice. "
            "Drop exact duplicates before evaluating."
        )
    completions = generate(items)
    if len(completions) != len(items):
        raise ModelError(f"The model answered {len(completions)} of {len(items)} test items; each needs one answer.")
    scores = grade(list(zip(completions, items, strict=True)))
    return [_judged(*each) for each in zip(items, completions, scores, strict=True)]


def _judged(item: Example, completion: Completion, score: Score) -> ItemResult:
    if not 0.0 <= score.value <= 1.0:
        raise GraderError(f"The grader gave item {item.id} the value {score.value}; values lie between 0 and 1.")
    return ItemResult(item.id, score.value, score.passed, completion.text, score.explanation, score.error_type)


def _first_repeated(ids: Sequence[str]) -> str | None:
    seen: set[str] = set()
    for item_id in ids:
        if item_id in seen:
            return item_id
        seen.add(item_id)
    return None
