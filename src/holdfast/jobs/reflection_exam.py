"""What a run of Reflect, Retry, Reward changed on held-out items: tries, recovery and every control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from holdfast.evaluation.report import Change
from holdfast.jobs.answers import items_of
from holdfast.jobs.progress import counting
from holdfast.jobs.reflection_figures import figures
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.jobs.job import Job
    from holdfast.models.learner import Learner
    from holdfast.training.config import ReflectConfig
    from holdfast.types import JSONValue, Skill

MAX_TASKS = 200
"""Held-out tasks that are tried; every one that fails is retried many times."""
_FIGURES = {
    "gain_over_best_control": "recovery over the best control",
    "unique_reflections": "different reflections",
    "reflection_tokens": "reflection length, tokens",
    "reflections_with_the_answer": "reflections that hold the answer",
}
_MISTAKES = {"mistakes_at_first": "mistakes at the first try", "mistakes_after": "mistakes at the retry"}


def examine_reflections(job: Job, learner: Learner, skill: Skill, config: ReflectConfig) -> None:
    """Measures `current` and the learner's candidate on the skill's held-out test, once, and tells what changed.

    First tries are greedy; reflections and retries have the recipe's temperatures.
    """
    found = cast("_Exam", job.folder.once("reflection", lambda: _measure(job, learner, skill, config)))
    before, after = found["before"], found["after"]
    for name, row in _shares(after).items():
        earlier = _shares(before).get(name)
        was = "-" if earlier is None else _spelled(earlier)
        job.progress.say(f"{name}: {was} before, {_spelled(row)} after.")


def changes(job: Job) -> list[Change]:
    """Returns what the report's table of reflections shows; empty for other methods."""
    found = cast("_Exam | None", job.folder.read("reflection"))
    if found is None:
        return []
    both = (found["before"], found["after"])
    rows = [
        Change(name, *(_cell(_shares(each).get(name)) for each in both))
        for name in dict.fromkeys(name for each in both for name in _shares(each))
    ]
    rows += [Change(label, *(f"{cast('float', each[key]):.2f}" for each in both)) for key, label in _FIGURES.items()]
    rows += [Change(label, *(_listed(each[key]) for each in both)) for key, label in _MISTAKES.items()]
    return rows


_Exam: TypeAlias = dict[Literal["before", "after"], dict[str, "JSONValue"]]


def _measure(job: Job, learner: Learner, skill: Skill, config: ReflectConfig) -> JSONValue:
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection_check import check_reflection

    items = items_of(job.workspace.files.path_of(skill.test_hash))
    items = sorted(items, key=lambda item: derive_seed(job.recipe.seed, f"reflection exam {item.id}"))[:MAX_TASKS]
    found: dict[str, JSONValue] = {}
    for name, which in (("before", "current"), ("after", "candidate")):
        with job.progress.bar(f"reflecting, {name}", len(items), unit="tasks") as bar:
            report = check_reflection(
                learner, items, judge_with(learner, skill.grader), config, seed=job.recipe.seed,
                which=cast("Literal['current', 'candidate']", which), progress=counting(bar, job.stop.check),
            )  # fmt: skip
        found[name] = figures(report)
    return found


def _shares(exam: Mapping[str, JSONValue]) -> dict[str, dict[str, float]]:
    return cast("dict[str, dict[str, float]]", exam["shares"])


def _spelled(row: Mapping[str, float]) -> str:
    return f"{row['passed'] / row['total']:.0%} of {row['total']:.0f}"


def _cell(row: Mapping[str, float] | None) -> str:
    """Returns the share with its interval, in per cent."""
    if row is None:
        return "-"
    share = 100 * row["passed"] / row["total"]
    return f"{share:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f}) of {row['total']:.0f}"


def _listed(counts: JSONValue) -> str:
    """Returns how often each mistake was made, in words."""
    return ", ".join(f"{reason} {num}" for reason, num in cast("dict[str, int]", counts).items()) or "none"
