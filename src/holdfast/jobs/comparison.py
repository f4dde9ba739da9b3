"""Teaches a sequence of skills by a plain recipe, with no gate, and measures everything: what baselines are.

An `Arm` is one way to teach. `teach_sequence` runs it from the bare base over all skills and returns what
every skill and every ability of the embedded base scored before the first and after each stage.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from holdfast.data.read import read
from holdfast.errors import ConfigError
from holdfast.graders import grader
from holdfast.seeds import derive_seed
from holdfast.training.config import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner, Which
    from holdfast.training.rehearsal import Reminder
    from holdfast.types import Example, JSONValue

Replay = Literal["none", "answers"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """One skill to teach: training examples, held-out test, and the grader of both."""

    name: str
    train: list[Example]
    test: list[Example]
    grader: str


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to teach a sequence: recipe settings, and whether stored answers of earlier skills are replayed.

    `steps` maps a lesson's name to its optimizer steps, where they are not those of the settings.
    """

    name: str
    settings: Mapping[str, JSONValue]
    replay: Replay = "none"
    steps: Mapping[str, int] = field(default_factory=dict[str, int])

    def recipe(self, seed: int, lesson: str = "") -> Recipe:
        """Returns the arm's recipe for a lesson with this seed."""
        steps: dict[str, JSONValue] = {"steps": self.steps[lesson]} if lesson in self.steps else {}
        return Recipe.from_mapping({**self.settings, **steps, "seed": seed}, where=self.name)


@dataclass(frozen=True, slots=True)
class Measured:
    """Share of right answers and how many items it is from."""

    value: float
    items: int


@dataclass(frozen=True, slots=True)
class Course:
    """What an arm did: `stages[0]` is the base, `stages[k]` after k skills; name -> measured. Seconds taught.

    `teacher` is empty where it was not measured.
    """

    arm: str
    stages: list[dict[str, Measured]]
    teacher: dict[str, Measured]
    seconds: float
    losses: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    @property
    def final(self) -> dict[str, Measured]:
        """The scores after the last stage."""
        return self.stages[-1]


def read_lesson(folder: Path, name: str, grader_name: str) -> Lesson:
    """Returns the skill in `NAME.jsonl` and `NAME.test.jsonl`."""
    train, test = (read(str(folder / f"{name}{part}.jsonl")).examples for part in ("", ".test"))
    return Lesson(name, train, test, grader_name)


def measure_lessons(
    learner: Learner, which: Which, lessons: Sequence[Lesson], progress: Reporter
) -> dict[str, Measured]:
    """Returns the greedy accuracy of `which` on every lesson's held-out test."""
    from holdfast.models.render import render_prompt

    scores = {}
    for lesson in lessons:
        prompts = [render_prompt(learner.tokenizer, item.prompt, item.tools) for item in lesson.test]
        scores[lesson.name] = _graded(learner, which, lesson, prompts, progress)
    return scores


def measure_teacher(learner: Learner, lesson: Lesson, progress: Reporter) -> Measured:
    """Returns the greedy accuracy of `current` on the lesson's test when it reads what the SDFT teacher reads."""
    from holdfast.models.render import render_teacher_prompt

    prompts = [render_teacher_prompt(learner.tokenizer, item) for item in lesson.test]
    return _graded(learner, "current", lesson, prompts, progress, "asking the teacher")


def _graded(
    learner: Learner,
    which: Which,
    lesson: Lesson,
    prompts: Sequence[list[int]],
    progress: Reporter,
    title: str = "testing",
) -> Measured:
    from holdfast.models.generate import Sampling

    grade = grader(lesson.grader)
    with progress.bar(f"{title}: {lesson.name}", len(prompts), unit="items") as bar:
        found = learner.generate(
            prompts, Sampling(max_new_tokens=64, temperature=0.0), which=which, progress=bar.update
        )
    passed = [grade(texts[0], item).passed for texts, item in zip(found, lesson.test, strict=True)]
    return Measured(sum(passed) / len(passed), len(passed))


def measure_abilities(learner: Learner, which: Which, num_items: int, progress: Reporter) -> dict[str, Measured]:
    """Returns the greedy accuracy on held-out items of every ability of the embedded base."""
    from holdfast.models.abilities import accuracy_by_ability
    from holdfast.models.generate import Sampling

    def texts(prompts: Sequence[Sequence[int]], temperature: float, max_new_tokens: int) -> list[str]:
        sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature)
        with progress.bar("testing the abilities", len(prompts), unit="items") as bar:
            found = learner.generate(prompts, sampling, which=which, progress=bar.update)
        return [completions[0].text for completions in found]

    accuracy = accuracy_by_ability(learner.tokenizer, texts, num_items)
    return {name: Measured(value, num_items) for name, value in accuracy.items()}


def measure_base(
    learner: Learner, lessons: Sequence[Lesson], num_ability_items: int, progress: Reporter
) -> dict[str, Measured]:
    """Returns what `current` scores on every lesson and ability before anything is taught.

    Raises ConfigError when a lesson has the name of an ability: their scores could not be told apart.
    """
    abilities = measure_abilities(learner, "current", num_ability_items, progress)
    if shared := {lesson.name for lesson in lessons} & set(abilities):
        raise ConfigError(f"{min(shared)}: the embedded base has an ability of this name. Call the skill otherwise.")
    return measure_lessons(learner, "current", lessons, progress) | abilities


def teach_sequence(
    arm: Arm,
    lessons: Sequence[Lesson],
    *,
    seed: int,
    num_ability_items: int,
    progress: Reporter,
    before: Mapping[str, Measured] | None = None,
    with_teacher: bool = True,
    measure_every_stage: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> Course:
    """Teaches `lessons` one after another from the bare base; the seconds are those of teaching, not of measuring.

    `before` is what the base scores, where that was measured already. Skills are measured after every stage or
    the last one, abilities after the last; the teacher of each stage only if `with_teacher`.
    """
    recipe = arm.recipe(seed)
    seconds, teacher, losses = 0.0, dict[str, Measured](), dict[str, list[float]]()
    stages: list[dict[str, Measured]] = []
    with tempfile.TemporaryDirectory(prefix="holdfast-") as scratch:
        start: Path | None = None
        for number, lesson in enumerate(lessons):
            learner = _learner(recipe, start)
            if not stages:
                stages.append(dict(before or measure_base(learner, lessons, num_ability_items, progress)))
            if with_teacher:
                teacher[lesson.name] = measure_teacher(learner, lesson, progress)
            began = clock()
            stage_recipe = arm.recipe(derive_seed(seed, "stage", number) % 2**31, lesson.name)
            losses[lesson.name] = _teach(arm, learner, lessons[: number + 1], stage_recipe, progress)
            seconds += clock() - began
            last = number + 1 == len(lessons)
            if measure_every_stage or last:
                stages.append(measure_lessons(learner, "candidate", lessons[: number + 1], progress))
            if last:
                stages[-1] |= measure_abilities(learner, "candidate", num_ability_items, progress)
            start = Path(scratch) / str(number)
            learner.save(start)
    return Course(arm.name, stages, teacher, seconds, losses)


def _learner(recipe: Recipe, start: Path | None) -> Learner:
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.defaults import choose_adapter

    loaded = load(recipe.base, dtype=recipe.precision, device=recipe.device)
    chosen = choose_adapter(recipe, sum(p.numel() for p in loaded.model.parameters()))
    return Learner.create(loaded, chosen.adapter, start=start)


def _teach(arm: Arm, learner: Learner, lessons: Sequence[Lesson], recipe: Recipe, progress: Reporter) -> list[float]:
    """Trains the last of `lessons` (the earlier ones are registered); returns the loss of every step."""
    from holdfast.training.loop import Run
    from holdfast.training.methods import build

    lesson, earlier = lessons[-1], lessons[:-1]
    examples = with_replay(lesson, earlier) if arm.replay == "answers" else lesson.train
    reminders = _reminders(learner, earlier, recipe)
    run = Run(learner, build(recipe, learner, examples), examples, recipe, reminders=reminders)
    losses = []
    with progress.bar(f"{arm.name}: {lesson.name}", run.num_steps, unit="steps") as bar:
        for step in run:
            losses.append(step.loss)
            bar.update(step.index, note=f"loss {step.loss:.3f}")
    return losses


def with_replay(lesson: Lesson, earlier: Sequence[Lesson]) -> list[Example]:
    """Returns the lesson's examples and as many stored ones of all earlier lessons together, evenly."""
    stored = [example for other in earlier for example in other.train]
    if not stored:
        return lesson.train
    share = -(-len(lesson.train) // len(earlier))
    picked = [replace(example) for other in earlier for example in (other.train * share)[:share]]
    return [*lesson.train, *picked]


def _reminders(learner: Learner, earlier: Sequence[Lesson], recipe: Recipe) -> Sequence[Reminder]:
    from holdfast.training.rehearsal import make_reminders

    if not recipe.rehearsal.enabled:
        return ()
    registered = {lesson.name: lesson.train for lesson in earlier}
    return make_reminders(learner, recipe.rehearsal, registered_prompts=registered, seed=recipe.seed).items
