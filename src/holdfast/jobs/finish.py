"""The end of an order: promoted or refused, reported, tidied up; each of it once, however often it is repeated."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, cast

from holdfast.data.folder import load_prepared
from holdfast.jobs.folder import RunFolder
from holdfast.jobs.overview import skill_matrix
from holdfast.jobs.reporting import report_path, write
from holdfast.jobs.result import LearnResult
from holdfast.jobs.words import verdict_sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from holdfast.data.report import DataReport
    from holdfast.evaluation.verdict import Verdict
    from holdfast.jobs.job import Job
    from holdfast.store.records import RunRecord
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue, Skill, Version


def finish(
    job: Job, skill: Skill, version: Version, verdict: Verdict, tried: Sequence[Mapping[str, JSONValue]]
) -> LearnResult:
    """Promotes or refuses the candidate, writes the report, ends the run and returns what came out."""
    workspace, accepted = job.workspace, verdict.decision == "accept"
    job.enter("reporting")
    words = verdict_sentences(skill.name, verdict, version=version.id, parent=job.parent.id, kind=skill.kind)
    if accepted:
        workspace.update_run(job.run_id, details={"version": version.id})  # before: a crash in between is recognised
        if skill.kind == "chat":
            workspace.promote(version.id, expect=_expected(job, version))
        else:
            workspace.accept(version.id)  # a classifier serves beside the chat versions and is never current
    _refuse_others(job, tried, keep=version.id if accepted else "")
    prepared = job.folder.path / "prepared"
    report = load_prepared(prepared).report
    outcome: dict[str, JSONValue] = {
        "version": version.id,
        "parent": job.parent.id,
        "verdict": verdict.to_json(),
        "attempts": cast("JSONValue", list(tried)),
        "words": cast("JSONValue", words),
        "data": _data(prepared, report),
        "reflection": job.folder.read("reflection"),
    }
    job.folder.write("outcome", outcome)
    write(job, skill, version, verdict, tried, words, report)
    record = workspace.finish_run(job.run_id, "succeeded" if accepted else "refused")
    _tidy(job)
    return recorded(workspace, record, already=False)


def _expected(job: Job, version: Version) -> str:
    """Returns the version that must be current for the promotion: the parent, or the candidate after a crash."""
    current = job.workspace.current()
    return version.id if current is not None and current.id == version.id else job.parent.id


def _refuse_others(job: Job, tried: Sequence[Mapping[str, JSONValue]], *, keep: str) -> None:
    """Marks every other rejected candidate as refused; an inconclusive one stays a candidate."""
    for each in tried:
        version = job.workspace.version(str(each["version"]))
        if version.id != keep and version.status == "candidate" and each["decision"] == "reject":
            job.workspace.refuse(version.id)


def _tidy(job: Job) -> None:
    """Deletes checkpoints and loose weights of a finished run; the versions are in the store."""
    for path in job.folder.path.iterdir():
        if path.is_dir() and (path.name.startswith("training-") or path.name == "weights"):
            shutil.rmtree(path, ignore_errors=True)


def recorded(workspace: Workspace, run: RunRecord, *, already: bool = True) -> LearnResult:
    """Returns the result of a finished run from what it kept."""
    folder = workspace.run_folder(run.id)
    outcome = cast("dict[str, JSONValue]", RunFolder(folder).read("outcome"))
    return LearnResult(
        status="accepted" if run.state == "succeeded" else "refused",
        skill=run.skill,
        version=workspace.version(str(outcome["version"])),
        parent=workspace.version(str(outcome["parent"])),
        run_id=run.id,
        verdict=cast("dict[str, JSONValue]", outcome["verdict"]),
        attempts=cast("list[Mapping[str, JSONValue]]", outcome["attempts"]),
        words=cast("list[str]", outcome["words"]),
        matrix=skill_matrix(workspace),
        report_path=report_path(folder),
        data=cast("dict[str, JSONValue]", outcome["data"]),
        reflection=cast("dict[str, JSONValue] | None", outcome.get("reflection")),
        already=already,
    )


def _data(prepared: Path, report: DataReport) -> dict[str, JSONValue]:
    """Returns what became of the rows, and where the rejected ones are kept with their reasons."""
    return {
        "rows": report.num_rows,
        "train": report.num_train,
        "test": report.num_test,
        "rejected": report.num_rejected,
        "reasons": dict(report.reasons),
        "rejected_file": str(prepared / "rejected.jsonl"),
    }
