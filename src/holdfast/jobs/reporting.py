"""Gathers what the report of a run shows, from the store and the run's folder."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, cast

from holdfast.evaluation.report import Curve, Fact, MatrixPicture, ReportData, Sample, write_report
from holdfast.evaluation.run import ItemResult
from holdfast.graders import title
from holdfast.jobs.answers import items_of
from holdfast.jobs.overview import lineage
from holdfast.jobs.reflection_exam import changes
from holdfast.jobs.words import attempt_sentence
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from holdfast.data.report import DataReport
    from holdfast.evaluation.verdict import Verdict
    from holdfast.jobs.job import Job
    from holdfast.store.records import ItemScore
    from holdfast.types import Example, JSONValue, Skill, Version

SAMPLES = 12
CURVES = {
    "kl": ("KL to the teacher", "nats a token, on new examples"),
    "reminder_kl": ("KL to the current version", "nats a token, on reminders: how far it drifts from what it knew"),
    "cross_entropy": ("cross-entropy", "nats a token, on the demonstrations"),
    "batch_accuracy": ("accuracy on a step's examples", "share, classes weighted as in the loss"),
    "validation_accuracy": ("accuracy, held back", "share of the examples held back from training"),
    "validation_macro_f1": ("macro-F1, held back", "mean over the classes; the best of them is kept"),
    "length": ("rollout length", "tokens"),
    "ended": ("rollouts that end", "share that reached their end of turn"),
    "repetition": ("repetition", "share of a rollout that repeats itself; near 1, it has collapsed"),
    "anchor_kl": ("KL to the base", "nats a token, on new examples"),
    "reward": ("reward", "mean of the retries of a step, 0 to 1"),
    "groups_with_signal": ("groups that teach", "share of the groups whose retries differ"),
    "unique_reflections": ("different reflections", "share of different texts; near 0, they have become one"),
    "reflection_tokens": ("reflection length", "tokens"),
    "reflections_with_answer": ("reflections that hold the answer", "share; near 1, answers are learned in disguise"),
    "obedience": ("obedience", "share of retries that pass after a reflection that gives the answer"),
    "entropy": ("entropy of reflections", "nats a token"),
    "reward_margin": ("reward margin", "preferred less rejected answer, beta times nats; below 0, the wrong way round"),
    "reward_accuracy": ("pairs the right way round", "share of a step's pairs whose preferred answer gained more"),
    "preferred_reward": ("reward of preferred answers", "beta times nats; below 0, they have become less likely"),
    "rejected_reward": ("reward of rejected answers", "beta times nats"),
    "learning_rate": ("learning rate", ""),
}
"""Which of a step's metrics are drawn, if they were recorded: name and remark."""
OF_METHOD = {
    "reflect": {"kl": ("KL on reflections", "nats a token, to the current version")},
    "dpo": {"cross_entropy": ("cross-entropy", "nats a token, on the preferred answers")},
}
"""What a metric is called where a method means another thing by it."""


def report_path(folder: Path) -> Path:
    """Returns where a run's report is."""
    return folder / "report.html"


def write(
    job: Job,
    skill: Skill,
    version: Version,
    verdict: Verdict,
    tried: Sequence[Mapping[str, JSONValue]],
    words: Sequence[str],
    data: DataReport,
) -> None:
    """Writes the run's report.html."""
    events = job.workspace.events(job.run_id)
    run = job.workspace.run(job.run_id)
    outcome = {"accept": "accepted", "reject": "refused", "inconclusive": "not decided"}[verdict.decision]
    content = ReportData(
        title=f"{skill.name}: {outcome}",
        summary=" ".join(words),
        created_at=run.updated_at[:19].replace("T", " ") + " UTC",
        verdict=verdict,
        matrices=[_matrix(job, version)],
        curves=_curves(job),
        reflections=changes(job),
        samples=_samples(job, skill, version, majority=cast("str | None", tried[-1].get("majority"))),
        warnings=list(dict.fromkeys(event.message for event in events if event.level == "warning")),
        remedies=[attempt_sentence(each) for each in tried] if len(tried) > 1 else [],
        data=[
            Fact("rows read", str(data.num_rows), data.format),
            Fact("training examples", str(data.num_train)),
            Fact("test items", str(data.num_test)),
            Fact("rejected rows", str(data.num_rejected), "all of them in prepared/rejected.jsonl"),
            *(Fact("note", note) for note in data.notes),
        ],
        rejected=[Fact(kind, str(num), data.first_reasons.get(kind, "")) for kind, num in data.reasons.items()],
        reminders=_reminder_facts(job),
        reminder_examples=_reminder_examples(job),
        facts=[
            Fact("version", version.id, f"parent {job.parent.id}"),
            Fact("base", version.base),
            Fact("run", job.run_id),
            Fact("grader", title(skill.grader)),
            Fact("method", job.recipe.method.type),
            *_classifier_facts(tried[-1]),
        ],
        settings=job.recipe.model_dump(mode="json"),
    )
    write_report(report_path(job.folder.path), content)


def _matrix(job: Job, version: Version) -> MatrixPicture:
    found = job.workspace.matrix()
    shown = {each.id for each in lineage(job.workspace, job.workspace.version(version.id))}
    rows = [index for index, name in enumerate(found.versions) if name in shown]
    return MatrixPicture(
        versions=[found.versions[index] for index in rows],
        skills=list(found.skills),
        values=[found.values[index] for index in rows],
        items=[found.items[index] for index in rows],
        marked=version.id,
        title="Accuracy on every skill's held-out test",
    )


def _curves(job: Job) -> list[Curve]:
    steps = job.workspace.steps(job.run_id)
    if not steps:
        return []
    reminded = any("reminder_kl" in step.metrics for step in steps)
    remark = "nats; new examples and reminders together" if reminded else "nats"
    curves = [Curve("loss", [s.step for s in steps], [s.loss for s in steps], remark)]
    for key, (name, remark) in (CURVES | OF_METHOD.get(job.recipe.method.type, {})).items():
        having = [step for step in steps if key in step.metrics]
        if having:
            values = [step.metrics[key] for step in having]
            curves.append(Curve(name, [s.step for s in having], values, remark, noisy=key != "learning_rate"))
    return curves


def _classifier_facts(attempt: Mapping[str, JSONValue]) -> list[Fact]:
    if "macro_f1" not in attempt:
        return []
    answer = f"always answering '{attempt['majority']}', which is what 'before' means here"
    return [
        Fact("macro-F1", f"{cast('float', attempt['macro_f1']):.3f}", "mean over the classes, on the held-out test"),
        Fact("class balance", str(attempt["balance"])),
        Fact("compared with", answer),
    ]


def _samples(job: Job, skill: Skill, version: Version, *, majority: str | None) -> list[Sample]:
    """Returns held-out items with both answers: those that changed first, then others, drawn by the seed.

    A classifier is compared with always answering the `majority` class.
    """
    items = {item.id: item for item in items_of(job.workspace.files.path_of(skill.test_hash))}
    before: dict[str, ItemScore] = {
        result.item_id: result for result in job.workspace.scores(job.parent.id, skill.name)
    }
    if majority is not None:
        before = {
            name: ItemResult(name, float(item.label == majority), item.label == majority, majority)
            for name, item in items.items()
        }
    after = {result.item_id: result for result in job.workspace.scores(version.id, skill.name)}
    both = sorted(before.keys() & after.keys() & items.keys())
    random.Random(derive_seed(job.recipe.seed, "report samples")).shuffle(both)
    lost = [name for name in both if before[name].passed and not after[name].passed]
    failed = [name for name in both if not after[name].passed and name not in lost]
    fine = [name for name in both if after[name].passed]
    third = SAMPLES // 3
    chosen = [*lost[:third], *failed[:third]]
    chosen += fine[: SAMPLES - len(chosen)]
    return [
        Sample(
            skill=skill.name,
            prompt=_prompt_text(items[name]),
            expected=_expected_text(items[name]),
            before=before[name].completion,
            after=after[name].completion,
            before_passed=before[name].passed if before[name].error_type is None else None,
            after_passed=after[name].passed if after[name].error_type is None else None,
        )
        for name in chosen
    ]


def _prompt_text(item: Example) -> str:
    return "\n".join(f"{turn.role}: {turn.content}" for turn in item.prompt)


def _expected_text(item: Example) -> str:
    if item.label is not None:
        return item.label
    turn = item.demonstration
    if turn is None:
        return ""
    return (
        turn.said.strip()
        if item.rejected is None
        else f"{turn.said.strip()}\nrather than\n{item.rejected.said.strip()}"
    )


def _reminder_facts(job: Job) -> list[Fact]:
    report = _coverage(job)
    if report is None:
        return []
    facts = [Fact("reminders", str(report["num_reminders"]), "mixed into the training, a batch of them in every step")]
    facts += [Fact(f"from {source}", str(num)) for source, num in _items(report, "by_source")]
    facts.append(Fact("different from each other", f"{float(str(report['unique_share'])):.0%}", "of the self-written"))
    facts += [
        Fact(f"near {name}", f"{float(str(share)):.1%}", "of the self-written prompts")
        for name, share in _items(report, "skill_shares")
    ]
    facts += [
        Fact("of one kind", str(cluster["size"]), f"marked by: {' '.join(cluster['words'])}")
        for cluster in _clusters(report)
    ]
    facts += [Fact("dropped", str(num), reason) for reason, num in _items(report, "dropped")]
    return facts


def _reminder_examples(job: Job) -> list[str]:
    report = _coverage(job)
    return [text for cluster in _clusters(report) for text in cluster["examples"][:2]] if report is not None else []


def _clusters(report: Mapping[str, JSONValue]) -> list[dict[str, list[str]]]:
    return cast("list[dict[str, list[str]]]", report["clusters"])


def _items(report: Mapping[str, JSONValue], key: str) -> list[tuple[str, JSONValue]]:
    return list(cast("dict[str, JSONValue]", report[key]).items())


def _coverage(job: Job) -> Mapping[str, JSONValue] | None:
    return cast("Mapping[str, JSONValue] | None", job.folder.read("coverage"))
