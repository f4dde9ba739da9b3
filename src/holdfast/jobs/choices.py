"""Asking a model which of an item's two answers it finds likelier: how a preference is tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import ContextLengthError, DataError
from holdfast.evaluation.run import ItemResult, evaluate
from holdfast.graders import grader
from holdfast.jobs.progress import counting
from holdfast.types import Completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner, Which
    from holdfast.training.method import Row
    from holdfast.types import Example, Skill

GRADER = "preferred"
"""The grader of skills that are tested so."""
TOO_LONG = "context_length_exceeded"
_AT_ONCE = 32


def choose_all(
    learner: Learner,
    which: Which,
    items: Sequence[Example],
    skill: Skill,
    *,
    title: str,
    progress: Reporter,
    stop: StopSwitch,
) -> list[ItemResult]:
    """Returns one result per item. An item with an answer too long for the model is kept as not gradable."""
    from holdfast.training.methods.dpo import pair_row

    rows, long = dict[str, "Row"](), dict[str, ItemResult]()
    for item in items:
        try:
            rows[item.id] = pair_row(learner.tokenizer, item, max_tokens=learner.context_length)
        except ContextLengthError as error:
            long[item.id] = ItemResult(
                item.id, 0.0, passed=False, completion="", explanation=error.message, error_type=TOO_LONG
            )
    if not rows:
        raise DataError(
            f"Skill {skill.name}: no test item fits the model. {next(iter(long.values())).explanation}", param="test"
        )

    def choose(asked: Sequence[Example]) -> list[Completion]:
        found: list[Completion] = []
        with progress.bar(title, len(asked), unit="items") as bar:
            count = counting(bar, stop.check)
            for start in range(0, len(asked), _AT_ONCE):
                part = asked[start : start + _AT_ONCE]
                found += likelier(learner, which, part, [rows[item.id] for item in part])
                count(len(found), len(asked))
        return found

    fitting = [item for item in items if item.id in rows]
    results = long | {result.item_id: result for result in evaluate(fitting, choose, grader(skill.grader).many)}
    if long:
        progress.warn(
            f"{len(long)} of {len(items)} items of {skill.name} are too long for the model; they count as not gradable."
        )
    return [results[item.id] for item in items]


def likelier(learner: Learner, which: Which, items: Sequence[Example], rows: Sequence[Row]) -> list[Completion]:
    """Returns of each item the answer whose tokens are the likelier on average; where none is, the rejected one.

    `rows` are the items' pairs, as `training.methods.dpo.pair_row` lays them.
    """
    from holdfast.models.logprobs import row_logprobs
    from holdfast.training.method import token_rows

    found: list[Completion] = []
    for item, row, read in zip(
        items, rows, row_logprobs(learner, token_rows(rows), which, packed=learner.can_pack), strict=True
    ):
        assert item.demonstration is not None
        assert item.rejected is not None
        assert row.pair is not None
        border = row.pair.lengths[0]
        sides = (read.logprobs[:border], read.logprobs[border:])
        preferred, rejected = (sum(side) / len(side) for side in sides)
        best = 0 if preferred > rejected else 1
        ids = [token for token, used in zip(row.input_ids, row.mask, strict=True) if used]
        told = (ids[:border], ids[border:])[best]
        text = (item.demonstration, item.rejected)[best].said
        found.append(Completion(text, tuple(told), tuple(sides[best]), "stop"))
    return found
