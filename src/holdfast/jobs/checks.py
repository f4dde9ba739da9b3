"""The checks before a training: is there a teacher worth learning from, does the model know its own tokens?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from holdfast.errors import NothingToReflectError
from holdfast.jobs.admission import has_context
from holdfast.jobs.progress import counting
from holdfast.jobs.reflection_figures import figures
from holdfast.seeds import derive_seed
from holdfast.training.config import ReflectConfig, SdftConfig, SftConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.jobs.job import Job
    from holdfast.models.learner import Learner
    from holdfast.types import Example, JSONValue

ALIGNMENT_PROMPTS = 8


def run_checks(
    job: Job,
    learner: Learner,
    examples: Sequence[Example],
    *,
    grader_name: str,
    tested_alike: bool,
    method_was_auto: bool,
) -> None:
    """Runs the recipe's checks once per run and tells what they found; `grader_name` judges the skill.

    `tested_alike` says that the skill's test was held out of these examples, and is no file of another form.

    When the method was left open and the context does not make the teacher better, plain fine-tuning
    is taken instead of SDFT, and that is said; when SDFT was asked for, the recipe decides.

    Raises:
        TeacherNotBetterError: SDFT was asked for and its teacher is no better than the student.
        NothingToReflectError: the method is reflect, and retries are too much alike to learn from.
        TrainingError: generation and scoring see different models.
    """
    measured = job.folder.once(
        "checks", lambda: _measure(job, learner, examples, grader_name, tested_alike=tested_alike)
    )
    found = cast("dict[str, JSONValue]", measured)
    if "alignment" in found:
        job.note(f"Alignment self-test: {cast('float', found['alignment']):.0%} of greedy tokens are scored as chosen.")
    if "reflection" in found:
        _judge_reflection(job, cast("dict[str, JSONValue]", found["reflection"]))
    teacher = cast("dict[str, JSONValue] | None", found.get("teacher"))
    if teacher is None:
        return
    from holdfast.training.guards import TeacherReport, require_better_teacher

    report = TeacherReport(**teacher)  # pyright: ignore[reportArgumentType] - written by asdict
    job.note(f"Does the demonstration help the teacher? {report.words}.")
    if report.better:
        return
    if method_was_auto and not any(map(has_context, examples)):
        job.note("Reading a demonstration does not make this model better, so it is trained by sft instead of sdft.")
        job.recipe, unread = job.recipe.with_method(SftConfig())
        for name in unread:
            job.note(f"{name} has no effect with sft.")
    elif job.recipe.guards.teacher_check == "refuse":
        require_better_teacher(report)
    else:
        job.note("The context does not make the teacher better; going on, as the recipe says.", warning=True)


def _judge_reflection(job: Job, found: Mapping[str, JSONValue]) -> None:
    for sentence in cast("list[str]", found["words"]):
        job.note(sentence)
    doubts = cast("list[str]", found["doubts"])
    if not doubts:
        return
    text = f"Reflections on these tasks can hardly be learned from: {'; '.join(doubts)}."
    if job.recipe.guards.reflection_check == "refuse":
        raise NothingToReflectError(
            f"{text} `holdfast doctor` shows more. Change the tasks, the templates or the grader, or go on all "
            "the same with --set guards.reflection_check=warn.",
            param="guards.reflection_check",
        )
    job.note(f"{text} Going on, as the recipe says.", warning=True)


def _measure(
    job: Job, learner: Learner, examples: Sequence[Example], grader_name: str, *, tested_alike: bool
) -> JSONValue:
    from holdfast.models.render import render_prompt
    from holdfast.training.guards import check_alignment, check_teacher
    from holdfast.training.judging import judge_with

    guards, method, found = job.recipe.guards, job.recipe.method, dict[str, object]()
    if guards.alignment_check:
        order = sorted(examples, key=lambda example: derive_seed(job.recipe.seed, f"alignment {example.id}"))
        chosen = order[:ALIGNMENT_PROMPTS]
        prompts = [list(render_prompt(learner.tokenizer, example.prompt, example.tools)) for example in chosen]
        found["alignment"] = check_alignment(learner, prompts)
    if isinstance(method, SdftConfig) and guards.teacher_check != "off":
        asked = 2 * min(guards.teacher_check_examples, len(examples))
        with job.progress.bar("asking the teacher", asked, unit="answers") as bar:
            report = check_teacher(
                learner,
                examples,
                num_examples=guards.teacher_check_examples,
                template=method.teacher_template,
                grade=judge_with(learner, grader_name).many,
                tested_alike=tested_alike,
                max_new_tokens=job.recipe.evaluation.max_new_tokens,
                seed=job.recipe.seed,
                progress=counting(bar, job.stop.check),
            )
        found["teacher"] = asdict(report)
    if isinstance(method, ReflectConfig) and guards.reflection_check != "off":
        found["reflection"] = _reflection(job, learner, examples, method)
    return cast("JSONValue", found)


def _reflection(job: Job, learner: Learner, examples: Sequence[Example], method: ReflectConfig) -> dict[str, object]:
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection_check import check_reflection, doubts, words

    order = sorted(examples, key=lambda example: derive_seed(job.recipe.seed, f"reflection {example.id}"))
    chosen = order[: job.recipe.guards.reflection_check_tasks]
    judge = judge_with(learner, job.recipe.evaluation.grader)
    with job.progress.bar("trying tasks", len(chosen), unit="tasks") as bar:
        report = check_reflection(
            learner, chosen, judge, method, which="current", seed=job.recipe.seed,
            attempt_temperature=method.temperature, progress=counting(bar, job.stop.check),
        )  # fmt: skip
    return {**figures(report), "words": words(report), "doubts": doubts(report)}
