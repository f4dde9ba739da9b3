"""Testing a version on the held-out items of skills, outside a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from holdfast.errors import NotFoundError
from holdfast.evaluation.metrics import macro_f1, wilson
from holdfast.graders import title
from holdfast.jobs.answers import items_of, scored
from holdfast.jobs.classify import classify_all, is_classifier, stored_classifier
from holdfast.jobs.exam import exam_of_skill
from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.model import learner_of
from holdfast.jobs.second_try import recovery
from holdfast.jobs.workspace import chosen_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner
    from holdfast.store.records import ItemScore
    from holdfast.store.workspace import Workspace
    from holdfast.types import Example, JSONValue, Skill, Version


@dataclass(frozen=True, slots=True)
class SkillScore:
    """How a version does on one skill; `low` and `high` bound the pass rate at 95 % (Wilson)."""

    skill: str
    kind: str
    grader: str
    passed: int
    total: int
    accuracy: float
    low: float
    high: float
    macro_f1: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A version's scores."""

    version: str
    rows: list[SkillScore]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the scores as JSON."""
        return {"version": self.version, "skills": [cast("JSONValue", asdict(row)) for row in self.rows]}


def evaluate_version(
    workspace: Workspace,
    *,
    version: str | None = None,
    skills: Sequence[str] = (),
    progress: Reporter,
    stop: StopSwitch | None = None,
    anew: bool = False,
) -> Evaluated:
    """Returns the scores of a version (default: the current one) on skills (default: all it can be tested on).

    Chat versions are tested on skills of kind chat. A classifier is tested on its own skill; for the
    current version the newest classifier of each skill of kind classify answers.
    """
    chosen = chosen_version(workspace, version)
    wanted = [workspace.skill(name) for name in skills] or workspace.skills()
    rows: list[SkillScore] = []
    learner: Learner | None = None
    for skill in wanted:
        if skill.kind == "classify":
            teller = _classifier_of(workspace, skill, chosen)
            if teller is not None:
                rows.append(_classify_score(workspace, teller, skill, progress, anew=anew))
            continue
        if is_classifier(workspace, chosen):
            continue
        if learner is None:
            learner = learner_of(workspace, chosen, progress=progress)
        exam = exam_of_skill(workspace, skill)
        results = scored(
            workspace,
            learner,
            "candidate",
            chosen.id,
            skill,
            exam,
            progress=progress,
            stop=stop or StopSwitch(),
            anew=anew,
        )
        rows.append(_score(skill, results, None, _tries(results) if exam.retries else ""))
    if not rows:
        raise NotFoundError(f"There is no skill to test version {chosen.id} on. Teach one with `holdfast learn`.")
    return Evaluated(chosen.id, rows)


def _classifier_of(workspace: Workspace, skill: Skill, chosen: Version) -> Version | None:
    """Returns the classifier that answers for a skill: the chosen version, or the newest that was not refused."""
    if is_classifier(workspace, chosen):
        return chosen if chosen.skill == skill.name else None
    made = [v for v in workspace.versions() if v.skill == skill.name and v.status != "refused"]
    return made[-1] if made else None


def _classify_score(
    workspace: Workspace, version: Version, skill: Skill, progress: Reporter, *, anew: bool
) -> SkillScore:
    items = items_of(workspace.files.path_of(skill.test_hash))
    results: Sequence[ItemScore] = workspace.scores(version.id, skill.name)
    if anew or len(results) != len(items):
        results = classify_all(items, skill, stored_classifier(workspace, version), progress)
        workspace.save_scores(version.id, skill.name, results)
    return _score(skill, results, _macro(items, results), f"classifier {version.id}")


def _macro(items: Sequence[Example], results: Sequence[ItemScore]) -> float:
    answers = {result.item_id: result.completion for result in results}
    return macro_f1([cast("str", item.label) for item in items], [answers[item.id] for item in items])


def _tries(results: Sequence[ItemScore]) -> str:
    """Returns how many items passed at the first try, and how many of the others after a reflection."""
    first, recovered, failed = recovery(results)
    return f"first try {first} of {first + failed}, recovered {recovered} of {failed}"


def _score(skill: Skill, results: Sequence[ItemScore], macro: float | None, note: str) -> SkillScore:
    graded = [result for result in results if result.error_type is None]
    if len(graded) < len(results):
        note = ", ".join(part for part in (note, f"{len(results) - len(graded)} not gradable") if part)
    passed, total = sum(result.passed for result in graded), len(graded)
    bounds = wilson(passed, total) if total else None
    accuracy = sum(result.value for result in graded) / total if total else 0.0
    low, high = (bounds.lower, bounds.upper) if bounds else (0.0, 1.0)
    return SkillScore(skill.name, skill.kind, title(skill.grader), passed, total, accuracy, low, high, macro, note)
