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
    grade: Callable[[Completion, Example], Score],
) -> list[ItemResult]:
    """Returns one result per item, in the items' order.

    `generate` is called once with all items, so that it can batch as it likes. A grader that raises `GraderError`
    leaves that one item ungraded; any other exception is a bug and passes through.
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
    return [_judge(item, completion, grade) for item, completion in zip(items, completions, strict=True)]


def _judge(item: Example, completion: Completion, grade: Callable[[Completion, Example], Score]) -> ItemResult:
    try:
        score = grade(completion, item)
    except GraderError as error:
        score = Score(value=0.0, passed=False, explanation=error.message, error_type=error.code)
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
