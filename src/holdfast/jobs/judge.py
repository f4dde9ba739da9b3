"""Tests a candidate on every skill it must not lose and on the new one, and asks the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.evaluation.gate import Pair, decide, pair
from holdfast.jobs.answers import scored
from holdfast.jobs.exam import exam_of, exam_of_skill
from holdfast.jobs.overview import lineage

if TYPE_CHECKING:
    from holdfast.evaluation.run import ItemResult
    from holdfast.evaluation.verdict import Verdict
    from holdfast.jobs.job import Job
    from holdfast.models.learner import Learner, Which
    from holdfast.store.workspace import Workspace
    from holdfast.types import Skill, Version


@dataclass(frozen=True, slots=True)
class Slips:
    """Earlier skills that fell, and those for which the items do not suffice to tell."""

    lost: list[str]
    undecided: list[str]


def earlier_skills(workspace: Workspace, parent: Version, new: str) -> list[Skill]:
    """Returns the chat skills that the line of versions up to `parent` was taught, without the new one.

    A skill whose every version was refused is registered too, but there is nothing of it to lose.
    """
    taught = {version.skill for version in lineage(workspace, parent)}
    return [skill for skill in workspace.skills() if skill.kind == "chat" and skill.name in taught - {new}]


def judge(job: Job, learner: Learner, version: Version, skill: Skill) -> Verdict:
    """Returns the gate's verdict about `version`, whose weights are the learner's candidate; keeps everything.

    Scores of `current` and scores that an interrupted run had saved are read back, not measured again.
    """
    earlier = earlier_skills(job.workspace, job.parent, job.skill)
    pairs: dict[str, Pair] = {}
    for each in [*earlier, skill]:
        job.stop.check()
        before = _scored(job, learner, "current", job.parent, each)
        after = _scored(job, learner, "candidate", version, each)
        pairs[each.name] = pair(before, after)
    new = {skill.name: pairs.pop(skill.name)}
    verdict = decide(pairs, new, margin=job.recipe.gate.margin, confidence=job.recipe.gate.confidence)
    if not job.workspace.verdicts(version.id):
        job.workspace.save_verdict(version.id, verdict.decision, verdict.to_json(), against=job.parent.id)
    return verdict


def _scored(job: Job, learner: Learner, which: Which, version: Version, skill: Skill) -> list[ItemResult]:
    exam = exam_of(job.recipe) if skill.name == job.skill else exam_of_skill(job.workspace, skill)
    return scored(job.workspace, learner, which, version.id, skill, exam, progress=job.progress, stop=job.stop)


def slips(verdict: Verdict) -> Slips:
    """Returns which earlier skills made the gate refuse."""
    findings = [finding for finding in verdict.per_skill.values() if finding.role == "earlier"]
    lost = [f.skill for f in findings if f.decision == "reject" or (f.decision == "inconclusive" and f.difference < 0)]
    undecided = [f.skill for f in findings if f.decision == "inconclusive" and f.difference >= 0]
    return Slips(lost, undecided)
