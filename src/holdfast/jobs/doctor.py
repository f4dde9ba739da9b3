"""What reflections would be worth on some tasks, before anything is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from holdfast.data.prepare import prepare
from holdfast.errors import ConfigError, NothingToLearnError
from holdfast.graders import title
from holdfast.jobs.admission import Reader, read_rows, train_problem
from holdfast.jobs.grading import announce, choose_grader
from holdfast.jobs.model import learner_of
from holdfast.jobs.progress import counting
from holdfast.jobs.reflection_figures import MEANS, Share, figures, means, rows, spelled
from holdfast.seeds import derive_seed
from holdfast.training.config import ReflectConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.training.reflection_check import ReflectionReport
    from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was measured, in figures and in words, and what speaks against learning.

    `means` has a mean and its interval as people read them, by what it is of.
    """

    model: str
    grader: str
    rows: list[Share]
    means: dict[str, tuple[str, str]]
    report: ReflectionReport
    words: list[str]
    doubts: list[str]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole as JSON."""
        return {
            "model": self.model,
            "grader": self.grader,
            **figures(self.report),
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
    from holdfast.training.judging import judge_with
    from holdfast.training.reflection_check import check_reflection, doubts, words

    if not isinstance(recipe.method, ReflectConfig):
        raise ConfigError(f"The recipe's method is {recipe.method.type}; the doctor looks at reflect.", param="method")
    if recipe.evaluation.grader != "auto":
        announce(recipe.evaluation.grader, progress.warn)
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
            learner, order, judge_with(learner, name), recipe.method, which="candidate", seed=recipe.seed,
            attempt_temperature=recipe.method.temperature, progress=counting(bar, stop.check),
        )  # fmt: skip
    read = {MEANS[key][0]: spelled(key, asdict(mean)) for key, mean in means(report).items()}
    return Diagnosis(model, title(name), rows(report), read, report, words(report), doubts(report))
