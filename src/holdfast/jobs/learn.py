"""The story of one order: from the user's file to a promoted version that has lost no skill.

    read -> prepare -> register the skill -> load current -> reminders -> checks -> train
         -> test every skill -> gate -> (remedies) -> promote -> report

Every part of it is made once and kept (see `folder`), so the story of a run that was killed is the same
story told again: finished parts are read back, and the training goes on from its last checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError, HoldfastError, TrainingError
from holdfast.jobs.candidates import Candidates
from holdfast.jobs.checks import run_checks
from holdfast.jobs.finish import finish, recorded
from holdfast.jobs.full_disk import is_full
from holdfast.jobs.grading import announce
from holdfast.jobs.interrupt import StopRequested, StopSwitch
from holdfast.jobs.judge import judge, slips
from holdfast.jobs.material import judge_test_size, read_all, require_rows
from holdfast.jobs.model import open_base
from holdfast.jobs.order import Order, decided_run, open_job, require_name
from holdfast.jobs.reflection_exam import examine_reflections
from holdfast.jobs.remedies import Attempt, attempts, worth_a_remedy
from holdfast.jobs.reminders import reminders_for
from holdfast.jobs.settle import settle
from holdfast.jobs.start import made_from, open_learner, prepared, register, use_threads
from holdfast.training.config import ClassifyConfig, EvaluationConfig, ReflectConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.evaluation.verdict import Verdict
    from holdfast.jobs.job import Checkpointed, Job
    from holdfast.jobs.material import Raw
    from holdfast.jobs.progress import Reporter
    from holdfast.jobs.result import LearnResult
    from holdfast.models.learner import Learner
    from holdfast.models.load import Device, Dtype
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.training.rehearsal import Reminder
    from holdfast.types import Example, JSONValue, Skill, Version

_NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory")
OUT_OF_MEMORY = (
    "The model and a micro-batch do not fit the memory. Lower batch.micro_batch_tokens (it changes no result), "
    "use an adapter, or precision = bfloat16. What was finished is kept."
)


def learn(
    workspace: Workspace,
    source: str,
    *,
    skill: str,
    recipe: Recipe,
    progress: Reporter,
    test_source: str | None = None,
    columns: Mapping[str, str] | None = None,
    resume: bool = True,
    again: bool = False,
    stop: StopSwitch | None = None,
    started: Callable[[str], None] | None = None,
    checkpointed: Checkpointed | None = None,
) -> LearnResult:
    """Teaches the current version a skill and promotes the result if the gate accepts it.

    An unfinished run of the same order is resumed (`resume`), a decided one is returned as it was
    decided (unless `again`). `columns` maps Holdfast's column names to those of the files
    (`{"label": "sentiment"}`). `started` is told the run's id as soon as there is one, `checkpointed` the
    weights after each of the last epochs. A refusal is a result, not an
    error: its status says so.

    Raises:
        StopRequested: `stop` was turned; everything finished so far is kept.
        HoldfastError: the order cannot be carried out; the run can be taken up again.
    """
    require_name(skill)
    if test_source is not None and recipe.evaluation.test_share != EvaluationConfig().test_share:
        raise ConfigError(
            "evaluation.test_share would have no effect because a test file is given; remove one of them.",
            param="evaluation.test_share",
        )
    if recipe.evaluation.grader != "auto":
        announce(recipe.evaluation.grader, progress.warn)
    with workspace.exclusively("learn"):
        raw = read_all(source, test_source, recipe, progress, columns)
        order = Order(skill, raw.key, recipe)
        done = None if again else decided_run(workspace, order)
        if done is not None and workspace.unfinished_run(order.key) is None:
            return recorded(workspace, done)
        job = open_job(workspace, order, progress=progress, stop=stop or StopSwitch(), resume=resume)
        job.checkpointed = checkpointed
        if started is not None:
            started(job.run_id)
        try:
            return _carry_out(job, raw)
        except StopRequested:
            job.mark("cancelled")
            raise
        except (HoldfastError, OSError, MemoryError, RuntimeError) as error:
            if is_full(error):
                raise  # nothing more can be written
            job.mark("failed")
            workspace.add_event(job.run_id, str(error), level="error")
            if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
                raise TrainingError(OUT_OF_MEMORY, param="batch.micro_batch_tokens") from error
            raise


def _carry_out(job: Job, raw: Raw) -> LearnResult:
    require_rows(job.folder.path / "prepared", raw)
    kept = cast("dict[str, dict[str, JSONValue]] | None", job.folder.read("settled"))
    machine = kept["recipe"] if kept else job.recipe.model_dump(mode="json")
    precision, device = cast("Dtype", machine["precision"]), cast("Device", machine["device"])
    loaded = open_base(job.workspace, job.recipe.base, dtype=precision, device=device)
    job.enter("preparing")
    data = prepared(job, raw, loaded)
    settled = settle(job, loaded, data)
    job.recipe = settled.recipe
    judge_test_size(len(data.test), job.recipe, job.progress)
    use_threads(settled.threads)
    if isinstance(job.recipe.method, ClassifyConfig):
        from holdfast.jobs.classify import learn_classifier

        skill = register(job, data, settled.grader, "classify")
        return finish(job, *learn_classifier(job, loaded, data, skill))
    skill = register(job, data, settled.grader, "chat")
    learner = open_learner(job, loaded)
    alike, was_auto = raw.test is None, settled.method_was_auto
    return finish(job, *_teach(job, learner, data.train, data.test, skill, alike=alike, was_auto=was_auto))


def _teach(
    job: Job,
    learner: Learner,
    examples: Sequence[Example],
    test: Sequence[Example],
    skill: Skill,
    *,
    alike: bool,
    was_auto: bool,
) -> tuple[Skill, Version, Verdict, list[dict[str, JSONValue]]]:
    """Trains, judges, and tries remedies until the gate accepts or nothing is left to try."""
    job.enter("guarding")
    run_checks(job, learner, examples, grader_name=skill.grader, tested_alike=alike, method_was_auto=was_auto)
    job.enter("reminding")
    written: Sequence[Reminder] = ()
    if job.recipe.rehearsal.enabled:
        reminders = reminders_for(job, learner, job.recipe.rehearsal)
        job.folder.write("coverage", cast("JSONValue", asdict(reminders.report)))
        written = reminders.items
    else:
        job.note("Rehearsal is off: nothing but the method itself protects what the model knows.", warning=True)

    def remind(recipe: Recipe) -> Sequence[Reminder]:
        if recipe.rehearsal == job.recipe.rehearsal:
            return written
        return reminders_for(job, learner, recipe.rehearsal).items

    facts: dict[str, JSONValue] = {"skill": skill.name, "seed": job.recipe.seed, **made_from(skill)}
    candidates = Candidates(job, learner, examples, test, remind, facts)
    gate = job.recipe.gate
    tried: list[tuple[Attempt, Version, Verdict]] = []
    for attempt in attempts(gate.remedies, gate.remedy_budget, rehearsed=job.recipe.rehearsal.enabled):
        if not candidates.is_new(attempt):
            continue
        if tried:
            job.note(f"Remedy {attempt.index}: {attempt.words}.")
        job.enter("training")
        version = candidates.make(attempt)
        job.enter("evaluating")
        candidates.load(attempt)
        verdict = judge(job, learner, version, skill)
        tried.append((attempt, version, verdict))
        job.enter("deciding")
        job.note(f"The gate's verdict on {version.id} ({attempt.words}): {verdict.decision}. {verdict.words}")
        if verdict.decision == "accept":
            break
        found = slips(verdict)
        helps, why = worth_a_remedy(found.lost, found.undecided)
        job.note(f"{why[0].upper()}{why[1:]}.")
        if not helps:
            break
    attempt, version, verdict = tried[-1] if tried[-1][2].decision == "accept" else _best(tried)
    if isinstance(job.recipe.method, ReflectConfig):
        candidates.load(attempt)
        examine_reflections(job, learner, skill, job.recipe.method)
    return skill, version, verdict, [_attempt_json(job, *each) for each in tried]


def _best(tried: Sequence[tuple[Attempt, Version, Verdict]]) -> tuple[Attempt, Version, Verdict]:
    """Returns the refused candidate that the outcome speaks about: the one that lost least, then gained most."""

    def merit(each: tuple[Attempt, Version, Verdict]) -> tuple[bool, float, float]:
        findings = each[2].per_skill.values()
        worst = min((f.difference for f in findings if f.role == "earlier"), default=0.0)
        gain = sum(f.difference for f in findings if f.role == "new")
        return each[2].decision != "reject", worst, gain

    return max(tried, key=merit)


def _attempt_json(job: Job, attempt: Attempt, version: Version, verdict: Verdict) -> dict[str, JSONValue]:
    return {
        "version": version.id,
        "kind": attempt.kind,
        "how": attempt.words,
        "decision": verdict.decision,
        "scores": cast("JSONValue", dict(job.workspace.version(version.id).scores)),
    }
