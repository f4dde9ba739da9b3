"""Second tries: the failed items of a test, reflected on and tried again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.evaluation.run import ItemResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.graders import Grader
    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner, Which
    from holdfast.store.records import ItemScore
    from holdfast.training.config import ReflectConfig
    from holdfast.types import Example


_AGAIN = re.compile(r"try \d+, after the reflection ")
"""How the explanation of an item begins that was tried again."""


def recovery(results: Sequence[ItemScore]) -> tuple[int, int, int]:
    """Returns how many items passed at the first try, how many of the rest at a later one, and how many failed first.

    Items that could not be graded count in none of them.
    """
    graded = [result for result in results if result.error_type is None]
    recovered = sum(result.passed and _AGAIN.match(result.explanation) is not None for result in graded)
    first = sum(result.passed for result in graded) - recovered
    return first, recovered, len(graded) - first


def second_tries(
    learner: Learner,
    which: Which,
    items: Sequence[Example],
    results: Mapping[str, ItemResult],
    grader: Grader,
    config: ReflectConfig,
    turn: int,
    *,
    progress: Reporter,
) -> dict[str, ItemResult]:
    """Returns new results for the items that failed, greedily; `turn` counts the tries after the first from 0.

    An item keeps the result that it has where its turns no longer fit the model, and where the retry could not be
    graded: the failure is known.
    """
    from holdfast.training.reflection import Conversation, reflect_and_retry

    talk = Conversation(learner, config)
    failed = [(item, results[item.id]) for item in items]
    failed = [(item, result) for item, result in failed if not result.passed and result.error_type is None]
    tasks = [(item, result.completion) for item, result in failed if talk.can_go_on(item, result.completion)]
    if not tasks:
        return {}
    progress.say(f"{len(tasks)} of {len(items)} items failed and are tried again after a reflection.")
    groups = reflect_and_retry(
        talk, tasks, grader, which=which, num_samples=1, temperature=0.0, retry_temperature=0.0, seed=turn
    )
    found: dict[str, ItemResult] = {}
    for (item, _), (tried,) in zip(tasks, groups, strict=True):
        score = tried.score
        if score.error_type is not None:
            continue
        said = f"try {turn + 2}, after the reflection {tried.reflection.text.strip()[:120]!r}: {score.explanation}"
        found[item.id] = ItemResult(item.id, score.value, score.passed, tried.retry.text, said)
    return found
