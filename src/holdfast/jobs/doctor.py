"""What reflections would be worth on some tasks, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.prepare import prepare
from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.evaluation.metrics import wilson
from holdfast.graders import grader, title
from holdfast.jobs.admission import Reader, read_rows, train_problem
from holdfast.jobs.grading import choose_grader
from holdfast.jobs.model import learner_of
from holdfast.jobs.progress import counting
from holdfast.seeds import derive_seed
from holdfast.training.config import ReflectConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.training.reflection_check import Counted, ReflectionReport
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Measured:
    """A share with its 95 % interval (Wilson)."""

    name: str
    passed: int
    total: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was measured, in figures and in words, and what speaks against learning."""

    model: str
    grader: str
    rows: list[Measured]
    report: ReflectionReport
    words: list[str]
    doubts: list[str]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole as JSON."""
        shares = {
            row.name: {"passed": row.passed, "total": row.total, "low": row.low, "high": row.high} for row in self.rows
        }
        report = self.report
        return {
            "model": self.model,
            "grader": self.grader,
            "shares": {name: dict(found) for name, found in shares.items()},
            "gain_over_best_control": report.gain,
            "unique_reflections": report.unique,
            "reflection_tokens": report.length,
            "reflections_ended": report.ended,
            "reflections_with_the_answer": report.leaks,
            "not_graded": report.not_graded,
            "mistakes_at_first": dict(report.reasons),
            "mistakes_after": dict(report.reasons_after),
            "words": list(self.words),
            "doubts": list(self.doubts),
        }


def examine_reflection(
    workspace: Workspace | None,
    source: str,
    *,
    recipe: Recipe,
    num: int,
    columns: Mapping[str, str] | None = None,
    progress: Reporter,
    stop: StopSwitch,
) -> Diagnosis:
    """Returns what reflections of the current version (or of the bare model, without a workspace) are worth.

    At most `num` tasks are tried, chosen by the recipe's seed.
    """
    from holdfast.jobs.workspace import current_version
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.reflection_check import check_reflection, doubts, words

    if not isinstance(recipe.method, ReflectConfig):
        raise ConfigError(f"The recipe's method is {recipe.method.type}; the doctor looks at reflect.", param="method")
    found = read_rows(source, recipe, columns)
    for note in found.notes:
        progress.say(note)
    if workspace is None:
        loaded = load(recipe.base, dtype=recipe.precision, device=recipe.device)
        learner, model = Learner.create(loaded, None), recipe.base
    else:
        version = current_version(workspace)
        learner, model = learner_of(workspace, version, progress=progress), f"version {version.id}"
    reader = Reader(learner.tokenizer, learner.context_length)
    kept = prepare(
        found.examples, check=lambda example: train_problem(reader, example, recipe), rejected=found.rejected
    )
    if not kept.kept:
        reasons = "; ".join(f"{row.source}:{row.line}: {row.reason}" for row in kept.rejected[:5])
        raise NothingToLearnError(f"{source}: no row is a task that could be tried: {reasons}")
    order = sorted(kept.kept, key=lambda example: derive_seed(recipe.seed, f"doctor {example.id}"))[:num]
    name, why = choose_grader(recipe.evaluation.grader, order)
    progress.say(f"grader {title(name)}: {why}.")
    with progress.bar("trying tasks", len(order), unit="tasks") as bar:
        report = check_reflection(
            learner, order, grader(name), recipe.method, which="candidate", seed=recipe.seed,
            attempt_temperature=recipe.method.temperature, progress=counting(bar, stop.check),
        )  # fmt: skip
    counted = {"first try": report.first, "second try": report.second, "recovery": report.recovery}
    counted |= {f"control: {key}": value for key, value in report.controls.items()}
    counted |= {"groups that teach": report.informative}
    rows = [_measured(key, value) for key, value in counted.items() if value.total]
    return Diagnosis(model, title(name), rows, report, words(report), doubts(report))


def _measured(name: str, counted: Counted) -> Measured:
    interval = wilson(counted.passed, counted.total)
    return Measured(name, counted.passed, counted.total, counted.share, interval.lower, interval.upper)
