"""The reminders of a stage: made once by the version it starts from, kept under what they were made of."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING

from holdfast.data.folder import write_rejected
from holdfast.data.prepare import prepare
from holdfast.data.read import read
from holdfast.errors import DataError
from holdfast.jobs.answers import items_of
from holdfast.jobs.exam import exam_of_skill
from holdfast.jobs.judge import earlier_skills
from holdfast.jobs.material import listed_rows
from holdfast.jobs.progress import counting
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from holdfast.jobs.exam import Exam
    from holdfast.jobs.job import Job
    from holdfast.models.learner import Learner
    from holdfast.training.config import RehearsalConfig
    from holdfast.training.rehearsal import Reminders
    from holdfast.types import Example, JSONValue, Skill

KIND = "reminders"


def reminders_for(job: Job, learner: Learner, settings: RehearsalConfig) -> Reminders:
    """Returns the reminders that `settings` ask for, written by the frozen current version or read back."""
    from holdfast.training.rehearsal import Reminders, make_reminders

    skills = earlier_skills(job.workspace, job.parent, job.skill)
    exams = {skill.name: exam_of_skill(job.workspace, skill) for skill in skills}
    given = _given(job, learner, settings)
    seed = derive_seed(job.recipe.seed, "reminders")
    made_of: JSONValue = {
        "version": job.parent.id,
        "weights": job.parent.weights_hash,
        "base": job.parent.base,
        "template": str(learner.tokenizer.chat_template),
        "precision": job.recipe.precision,
        "settings": settings.model_dump(mode="json", exclude={"per_step", "weight", "first_weight", "cache"}),
        "seed": seed,
        "registered": {skill.name: skill.train_hash for skill in skills},
        "second tries": {
            skill.name: [skill.grader, exams[skill.name].reflect.model_dump(mode="json")]
            for skill in skills
            if exams[skill.name].retries
        },
        "given": [example.id for example in given],
    }
    key = f"{KIND} {hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()}"
    found = job.workspace.recall(key)
    if found is not None:
        reminders = Reminders.from_json(json.loads(job.workspace.files.read_bytes(found)))
        job.progress.say(f"{len(reminders.items)} reminders of version {job.parent.id} are there already.")
        if job.folder.read("coverage") is None:
            _tell(job, reminders)
        return reminders
    registered = {skill.name: _registered(job, learner, skill, exams[skill.name], settings, seed) for skill in skills}
    with job.progress.bar("writing reminders", settings.num_reminders, unit="texts") as bar:
        reminders = make_reminders(
            learner,
            settings,
            registered_prompts=registered,
            given_prompts=given,
            seed=seed,
            progress=counting(bar, job.stop.check),
        )
    text = json.dumps(reminders.to_json(), ensure_ascii=False)
    job.workspace.remember(key, job.workspace.files.put_bytes(text.encode()), kind=KIND)
    _tell(job, reminders)
    return reminders


def _registered(
    job: Job, learner: Learner, skill: Skill, exam: Exam, settings: RehearsalConfig, seed: int
) -> list[Example]:
    """Returns the tasks of an earlier skill; where it is tested with second tries, also what these ask the model.

    Without them a version could keep every first answer and unlearn to reflect on a failure.
    """
    tasks = items_of(job.workspace.files.path_of(skill.train_hash))
    if not exam.retries or not settings.registered_share:
        return tasks
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection import Conversation, second_try_prompts

    most = math.ceil(settings.num_reminders * settings.registered_share)
    drawn = sorted(tasks, key=lambda task: derive_seed(seed, f"second tries {skill.name} {task.id}"))[:most]
    talk = Conversation(learner, exam.reflect)
    fitting = [task for task in drawn if talk.can_be_tried(task)]
    too_long = f" ({len(drawn) - len(fitting)} more are too long for that)" if len(fitting) < len(drawn) else ""
    job.progress.say(
        f"{skill.name}: {len(fitting)} tasks are tried, for reminders of its reflections and second tries{too_long}."
    )
    if not fitting:
        return drawn
    return [*drawn, *second_try_prompts(talk, fitting, judge_with(learner, skill.grader), seed=seed)]


def _tell(job: Job, reminders: Reminders) -> None:
    """Notes with the run what its reminders cover."""
    sources = ", ".join(f"{count} {source}" for source, count in reminders.report.by_source.items())
    job.note(f"{len(reminders.items)} reminders are mixed into the training: {sources}.")
    for warning in reminders.report.warnings:
        job.note(warning, warning=True)


def _given(job: Job, learner: Learner, settings: RehearsalConfig) -> list[Example]:
    """Returns the prompts of the user's file; rows that are none are named, and kept beside the run's data."""
    if settings.prompts_file is None:
        return []
    from holdfast.models.render import control_token_problem

    found = read(settings.prompts_file, need_demonstration=False)
    done = prepare(
        found.examples,
        check=lambda example: control_token_problem(learner.tokenizer, example),
        rejected=found.rejected,
    )
    folder = job.folder.path / "prompts"
    if done.rejected:
        write_rejected(folder, done.rejected)
        which = listed_rows(done.rejected, folder)
        job.note(f"{settings.prompts_file}: {len(done.rejected)} rows are not used:{which}", warning=True)
    if not done.kept:
        raise DataError(
            f"{settings.prompts_file}: no row could be read as a prompt. Give chat messages or a prompt column.",
            param="rehearsal.prompts_file",
        )
    return done.kept
