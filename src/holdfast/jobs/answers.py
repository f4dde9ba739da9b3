"""Asking a model the items of a skill's held-out test, greedily, and keeping every result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from holdfast.data.prepare import from_json
from holdfast.errors import DataError
from holdfast.evaluation.run import ItemResult, evaluate
from holdfast.jobs.choices import GRADER, TOO_LONG, choose_all
from holdfast.jobs.progress import counting
from holdfast.jobs.second_try import second_tries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.jobs.exam import Exam
    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner, Which
    from holdfast.store.workspace import Workspace
    from holdfast.types import Completion, Example, Skill


def items_of(path: Path) -> list[Example]:
    """Returns the examples in a JSONL file of the store."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [from_json(json.loads(line)) for line in lines if line]


def scored(
    workspace: Workspace,
    learner: Learner,
    which: Which,
    version: str,
    skill: Skill,
    exam: Exam,
    *,
    progress: Reporter,
    stop: StopSwitch,
    anew: bool = False,
) -> list[ItemResult]:
    """Returns the results of `version`, whose weights are `which`, on a skill's test; stored ones are read back."""
    items = items_of(workspace.files.path_of(skill.test_hash))
    items = items[: exam.evaluation.max_items] if exam.evaluation.max_items is not None else items
    name = f"scored {version} {skill.name} {skill.test_hash}"
    how = exam.spelled(skill.grader)
    as_now = workspace.recall(name) == hashlib.sha256(how.encode()).hexdigest()
    if as_now and not anew:
        known = {result.item_id: ItemResult(**asdict(result)) for result in workspace.scores(version, skill.name)}
        if all(item.id in known for item in items):
            return [known[item.id] for item in items]
    title = f"testing {skill.name}" + (" (before)" if which == "current" else "")
    results = ask_all(learner, which, items, skill, exam, title=title, progress=progress, stop=stop)
    workspace.save_scores(version, skill.name, results)
    # Scores measured with another grader or answer length must never be compared with these.
    workspace.remember(name, workspace.files.put_bytes(how.encode()), kind="evaluation settings")
    return results


def ask_all(
    learner: Learner,
    which: Which,
    items: Sequence[Example],
    skill: Skill,
    exam: Exam,
    *,
    title: str,
    progress: Reporter,
    stop: StopSwitch,
) -> list[ItemResult]:
    """Returns one result per item. An item too long for the model is kept as not gradable, never truncated."""
    if skill.grader == GRADER:
        return choose_all(learner, which, items, skill, title=title, progress=progress, stop=stop)
    from holdfast.models.generate import Sampling
    from holdfast.models.render import render_prompt
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection import Conversation

    settings = exam.evaluation
    talk = Conversation(learner, exam.reflect)
    asked_turns = {item.id: talk.task(item) if exam.retries else item.prompt for item in items}
    prompts = {item.id: render_prompt(learner.tokenizer, asked_turns[item.id], item.tools) for item in items}
    room = learner.context_length - settings.max_new_tokens
    fitting = [item for item in items if len(prompts[item.id]) <= room]
    if not fitting:
        shortest = min(len(prompt) for prompt in prompts.values())
        raise DataError(
            f"Skill {skill.name}: no test item fits the model. The shortest prompt has {shortest} tokens, and "
            f"{learner.context_length} of context less {settings.max_new_tokens} for the answer leave {room}. "
            "Use a base with a longer context, or set evaluation.max_new_tokens lower.",
            param="test",
        )
    sampling = Sampling(max_new_tokens=settings.max_new_tokens, temperature=0.0)

    def generate(asked: Sequence[Example]) -> Sequence[Completion]:
        with progress.bar(title, len(asked), unit="items") as bar:
            asked_prompts = [prompts[item.id] for item in asked]
            found = learner.generate(asked_prompts, sampling, which=which, progress=counting(bar, stop.check))
        return [completions[0] for completions in found]

    judge = judge_with(learner, skill.grader)
    results = {result.item_id: result for result in evaluate(fitting, generate, judge.many)}
    for turn in range(exam.retries):
        stop.check()
        results |= second_tries(learner, which, fitting, results, judge, exam.reflect, turn, progress=progress)
    for item in items:
        if item.id not in results:
            text = f"the prompt has {len(prompts[item.id])} tokens, the model can read {room}"
            results[item.id] = ItemResult(
                item.id, 0.0, passed=False, completion="", explanation=text, error_type=TOO_LONG
            )
    if len(fitting) < len(items):
        progress.warn(
            f"{len(items) - len(fitting)} of {len(items)} items of {skill.name} are too long for the model; "
            "they count as not gradable."
        )
    return [results[item.id] for item in items]
