"""What a run of Reflect, Retry, Reward changed on held-out items: tries, recovery and every control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from holdfast.evaluation.report import Change
from holdfast.jobs.answers import items_of
from holdfast.jobs.progress import counting
from holdfast.jobs.reflection_figures import MEANS, MISTAKES, figures, spelled
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from holdfast.jobs.job import Job
    from holdfast.models.learner import Learner, Which
    from holdfast.training.config import ReflectConfig
    from holdfast.types import JSONValue, Skill

MAX_TASKS = 200
"""Held-out tasks that are tried; every one that fails is retried many times."""


def examine_reflections(job: Job, learner: Learner, skill: Skill, config: ReflectConfig) -> None:
    """Measures `current` and the learner's candidate on the skill's held-out test, once, and tells what changed.

    First tries are greedy; reflections and retries have the recipe's temperatures. The candidate is also asked about
    the failures of `current`: where first tries improve, its own are fewer and harder, or none.
    """
    found = cast("_Exam", job.folder.once("reflection", lambda: _measure(job, learner, skill, config)))
    if not found:
        return
    for row in [*_beside(found, _figures), *_on_same_failures(found)]:
        job.progress.say(f"{row.label}: {row.before} before, {row.after} after.")


def changes(job: Job) -> list[Change]:
    """Returns what the report's table of reflections shows; empty for other methods."""
    found = cast("_Exam | None", job.folder.read("reflection"))
    if not found:
        return []
    return [*_beside(found, _figures), *_on_same_failures(found), *_beside(found, _mistakes)]


_Exam: TypeAlias = dict[Literal["before", "after", "after_on_failures_before"], dict[str, "JSONValue"]]
_MEASUREMENTS: tuple[tuple[str, Which, Which], ...] = (
    ("before", "current", "current"),
    ("after", "candidate", "candidate"),
    ("after_on_failures_before", "candidate", "current"),
)
"""Under which name, which version is asked, and about whose failures."""
_Rows: TypeAlias = dict[str, dict[str, float]]


def _measure(job: Job, learner: Learner, skill: Skill, config: ReflectConfig) -> JSONValue:
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection import Conversation
    from holdfast.training.reflection_check import check_reflection

    items = items_of(job.workspace.files.path_of(skill.test_hash))
    talk = Conversation(learner, config)
    fitting = [item for item in items if talk.fits(item)]
    if len(fitting) < len(items):
        job.note(
            f"{len(items) - len(fitting)} of {len(items)} test items are left out where reflections are measured: with "
            f"a reflection and a retry they do not fit the {learner.context_length} tokens that the model reads.",
            warning=True,
        )
    if not fitting:
        return {}
    most = min(MAX_TASKS, job.recipe.evaluation.max_items or MAX_TASKS)
    items = sorted(fitting, key=lambda item: derive_seed(job.recipe.seed, f"reflection exam {item.id}"))[:most]
    found: dict[str, JSONValue] = {}
    for name, which, attempts_by in _MEASUREMENTS:
        with job.progress.bar(f"reflecting, {name.replace('_', ' ')}", len(items), unit="tasks") as bar:
            report = check_reflection(
                learner, items, judge_with(learner, skill.grader), config, seed=job.recipe.seed, which=which,
                attempts_by=attempts_by, progress=counting(bar, job.stop.check),
            )  # fmt: skip
        found[name] = figures(report)
    return found


def _beside(found: _Exam, told: Callable[[Mapping[str, JSONValue]], dict[str, str]]) -> list[Change]:
    """Returns what is told of both versions, line by line; "-" where one of them lacks it."""
    before, after = told(found["before"]), told(found["after"])
    return [Change(name, before.get(name, "-"), after.get(name, "-")) for name in dict.fromkeys([*before, *after])]


def _on_same_failures(found: _Exam) -> list[Change]:
    """Returns recovery and its controls where both versions reflect on the failures of the one before."""
    both = (found["before"], found["after_on_failures_before"])
    before, after = (cast("_Rows", measured["shares"]) for measured in both)
    return [
        Change(f"on the failures before: {name}", _cell(before[name]), _cell(after[name]))
        for name in after
        if name in before and (name == "recovery" or name.startswith("control"))
    ]


def _figures(measured: Mapping[str, JSONValue]) -> dict[str, str]:
    means = {key: cast("dict[str, float] | None", measured[key]) for key in MEANS}
    unique = cast("float", measured["unique_reflections"])
    return {
        **{name: _cell(row) for name, row in cast("_Rows", measured["shares"]).items()},
        **{MEANS[key][0]: "{} ({})".format(*spelled(key, mean)) for key, mean in means.items() if mean},
        "different reflections, %": f"{100 * unique:.1f}",
        "tries that could not be graded": str(measured["not_graded"]),
    }


def _mistakes(measured: Mapping[str, JSONValue]) -> dict[str, str]:
    return {
        f"{words}: {kind}": _cell(row)
        for key, words in MISTAKES.items()
        for kind, row in cast("_Rows", measured[key]).items()
    }


def _cell(row: Mapping[str, float]) -> str:
    """Returns the share with its interval, in per cent."""
    share, low, high = (f"{100 * row[part]:.1f}" for part in ("share", "low", "high"))
    return f"{share} % ({low} to {high}) of {row['total']:.0f}"
