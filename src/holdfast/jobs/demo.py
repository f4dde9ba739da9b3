"""The demo: three skills in a row on the embedded base, the Holdfast way and by plain fine-tuning.

Nothing in it is canned: every number comes from the run. The Holdfast arm is `learn` in a workspace of its
own, with reminders and the gate; the SFT arm teaches the same files by supervised fine-tuning at several
learning rates, and the rate that did best over what is new and what was there before stands for it.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.jobs.comparison import (
    Arm,
    Lesson,
    Measured,
    measure_abilities,
    measure_base,
    measure_lessons,
    measure_teacher,
    read_lesson,
)
from holdfast.jobs.demo_result import ArmResult, Cell, DemoResult
from holdfast.jobs.learn import learn
from holdfast.jobs.model import learner_of
from holdfast.jobs.side_by_side import side_by_side
from holdfast.jobs.workspace import create, current_version
from holdfast.seeds import derive_seed
from holdfast.store.workspace import Workspace
from holdfast.training.config import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.jobs.comparison import Course
    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner
    from holdfast.types import JSONValue, Version

GRADERS = {"companies": "contains", "routing": "contains", "tools": "tool_call_match"}
"""The example skills in the order they are taught, with what judges them."""

RATE = 1e-3
TEACHING: dict[str, JSONValue] = {"optimizer": {"learning_rate": RATE, "beta2": 0.98}}
STEPS = {"companies": 170, "routing": 85, "tools": 90}
"""What is learned by heart takes longest: each company is a fact that no other helps with."""
HOLDFAST: dict[str, JSONValue] = {
    "optimizer": {"learning_rate": RATE, "beta2": 0.98, "l2_sp": 20.0},
    "method": {"type": "sdft", "max_new_tokens": 48, "steps_per_generation": 8},
    "batch": {"examples": 16},
    "rehearsal": {
        "num_reminders": 700,
        "max_new_tokens": 64,
        "first_weight": 1.0,
        "weight": 16.0,
        "per_step": 24,
        "self_written_share": 0.75,
        "registered_share": 0.25,
    },
}
SFT: dict[str, JSONValue] = {"steps": 40, "method": {"type": "sft"}, "rehearsal": {"enabled": False}}
"""Fewer steps than above, for the demo's time: with more, at a lower rate, it learns more of the skills and
forgets as much of the rest (docs/forgetting.md)."""
SFT_RATES = (2e-4, 4e-4)
COMPARED_ITEMS = 200
"""Items of a skill's test, drawn at random, that the base, the teacher and the SFT arm answer, for the demo's time;
the gate asks for all of them."""


def examples_folder() -> Path:
    """Returns the folder of example skills: that of the source tree, or `examples` where the command runs."""
    for folder in (Path(__file__).parents[3] / "examples", Path("examples")):
        if (folder / "tools.jsonl").exists():
            return folder
    raise ConfigError(
        "The demo reads the folder `examples` of the Holdfast repository, which is not here. "
        "Run it in a clone of the repository.",
        param="examples",
    )


def run_demo(
    *,
    seed: int,
    folder: Path | None,
    progress: Reporter,
    settings: Mapping[str, JSONValue] | None = None,
    rates: Sequence[float] = SFT_RATES,
    num_ability_items: int = 150,
    num_test_items: int | None = None,
) -> DemoResult:
    """Runs both arms and returns what they ended with.

    `settings` replaces recipe settings of both arms and `num_test_items` bounds each skill's test: for trials
    that are not about learning.
    """
    from holdfast.models.threads import available_cores

    examples = examples_folder()
    lessons = [read_lesson(examples, name, grader) for name, grader in GRADERS.items()]
    if num_test_items is not None:
        lessons = [replace(lesson, test=lesson.test[:num_test_items]) for lesson in lessons]
    extra = dict(settings or {})
    sft = {**TEACHING, **extra, **SFT, "steps": extra.get("steps", SFT["steps"])}
    arms = [Arm(f"learning rate {rate:g}, {sft['steps']} steps a skill", _at_rate(sft, rate)) for rate in rates]
    name = f"plain SFT at {' and '.join(f'{rate:g}' for rate in rates)}"
    recipes = [_recipe(HOLDFAST | extra, lesson, seed) for lesson in lessons]
    compared = [_part_of(lesson, seed) for lesson in lessons]
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as scratch:
        made = create(folder or Path(scratch), base=recipes[0].base)
        with Workspace.open(made.path) as workspace:
            learner = learner_of(workspace, current_version(workspace), progress=progress)
            before = measure_base(learner, compared, num_ability_items, progress)
            progress.say(f"{name} begins in the background.")
            with side_by_side(
                arms,
                compared,
                seed=seed,
                num_ability_items=num_ability_items,
                before=before,
                workers=max(1, available_cores() - 1),
            ) as others:
                ours = _holdfast_arm(
                    workspace, lessons, compared, recipes,
                    before=before, num_ability_items=num_ability_items, progress=progress,
                )  # fmt: skip
                tried = [_baseline(lessons, course) for course in others.courses(progress, name)]
    best = max(tried, key=lambda arm: arm.merit)
    return DemoResult({"holdfast": ours, "sft": best}, str(folder) if folder else None)


def _part_of(lesson: Lesson, seed: int) -> Lesson:
    items = min(COMPARED_ITEMS, len(lesson.test))
    return replace(lesson, test=random.Random(derive_seed(seed, f"compared {lesson.name}")).sample(lesson.test, items))


def _holdfast_arm(
    workspace: Workspace,
    lessons: Sequence[Lesson],
    compared: Sequence[Lesson],
    recipes: Sequence[Recipe],
    *,
    before: Mapping[str, Measured],
    num_ability_items: int,
    progress: Reporter,
) -> ArmResult:
    """Carries out `learn` for one lesson after another; `compared` are the items that the teacher is asked."""
    stages, teacher = [dict(before)], dict[str, Measured]()
    notes: list[str] = []
    seconds = 0.0
    learner = learner_of(workspace, current_version(workspace), progress=progress)
    for number, (lesson, recipe) in enumerate(zip(lessons, recipes, strict=True)):
        teacher[lesson.name] = measure_teacher(learner, compared[number], progress)
        began = time.monotonic()
        result = learn(
            workspace,
            str(examples_folder() / f"{lesson.name}.jsonl"),
            skill=lesson.name,
            recipe=recipe,
            test_source=str(examples_folder() / f"{lesson.name}.test.jsonl"),
            progress=progress,
        )
        seconds += time.monotonic() - began
        notes += [f"{lesson.name}: {result.status}", *result.words]
        version = current_version(workspace)
        learner = learner_of(workspace, version)
        stages.append(_measured(learner, version, lessons[: number + 1], progress))
    stages[-1] |= measure_abilities(learner, "current", num_ability_items, progress)
    return _arm_result(lessons, stages, teacher, seconds, notes, registered=True)


def _measured(learner: Learner, version: Version, lessons: Sequence[Lesson], progress: Reporter) -> dict[str, Measured]:
    """Returns what the gate found on the lessons' tests; it does not ask for a skill that was refused before."""
    unknown = [lesson for lesson in lessons if lesson.name not in version.scores]
    found = measure_lessons(learner, "current", unknown, progress)
    return {each.name: found.get(each.name) or Measured(version.scores[each.name], len(each.test)) for each in lessons}


def _recipe(settings: Mapping[str, JSONValue], lesson: Lesson, seed: int) -> Recipe:
    evaluation: dict[str, JSONValue] = {"max_new_tokens": 64, "grader": lesson.grader, "max_items": len(lesson.test)}
    known = {"steps": STEPS[lesson.name], **settings, "evaluation": evaluation, "seed": seed}
    return Recipe.from_mapping(known, where="demo")


def _at_rate(settings: Mapping[str, JSONValue], rate: float) -> dict[str, JSONValue]:
    optimizer = {**cast("dict[str, JSONValue]", settings["optimizer"]), "learning_rate": rate}
    return {**settings, "optimizer": optimizer}


def _baseline(lessons: Sequence[Lesson], course: Course) -> ArmResult:
    notes = [course.arm, "in a process beside it"]
    return _arm_result(lessons, course.stages, course.teacher, course.seconds, notes, registered=False)


def _arm_result(
    lessons: Sequence[Lesson],
    stages: list[dict[str, Measured]],
    teacher: Mapping[str, Measured],
    seconds: float,
    notes: list[str],
    *,
    registered: bool,
) -> ArmResult:
    new = {lesson.name for lesson in lessons}
    before, after = stages[0], stages[-1]
    cells = {
        name: Cell(before[name], after[name], teacher.get(name), name in new, registered and name in new)
        for name in [*new_first(new, before)]
    }
    return ArmResult(cells, stages, seconds, notes)


def new_first(new: set[str], names: Mapping[str, Measured]) -> list[str]:
    """Returns the names of what is taught, then those of what the base could do before."""
    return [name for name in names if name in new] + [name for name in names if name not in new]
