"""Teaches several arms at once, each in a process of its own with its share of the cores.

For small models: one process per core gets more out of a machine than one process on all of them, because the
threads of one step wait for each other. Every arm does exactly what `teach_sequence` does.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, ClassVar

from holdfast.jobs.comparison import Arm, Course, Lesson, Measured, teach_sequence
from holdfast.jobs.progress import Silent, SilentBar
from holdfast.training.defaults import count_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from multiprocessing.sharedctypes import Synchronized

    from holdfast.jobs.progress import Bar, Reporter

LOOK_EVERY = 0.5
"""Seconds between two looks at how far the processes are."""


def teach_side_by_side(
    arms: Sequence[Arm],
    lessons: Sequence[Lesson],
    *,
    seed: int,
    num_ability_items: int,
    before: Mapping[str, Measured],
    progress: Reporter,
    title: str,
) -> list[Course]:
    """Returns what each arm did, in the order of `arms`; `before` is what the base scores.

    A course's seconds are those of its own process beside the others.
    """
    from holdfast.models.threads import available_cores

    cores = available_cores()
    workers = min(len(arms), cores)
    context = get_context("spawn")
    steps = context.Value("q", 0)
    total = sum(count_steps(arm.recipe(seed, each.name), len(each.train)) for arm in arms for each in lessons)
    with (
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_begin, initargs=(steps, cores // workers)
        ) as pool,
        progress.bar(title, total, unit="steps") as bar,
    ):
        courses = [pool.submit(_teach, arm, lessons, seed, num_ability_items, dict(before)) for arm in arms]
        while wait(courses, LOOK_EVERY, FIRST_EXCEPTION).not_done and not any(map(_failed, courses)):
            bar.update(steps.value)
        bar.update(steps.value)
        return [course.result() for course in courses]


def _failed(course: Future[Course]) -> bool:
    return course.done() and course.exception() is not None


def _begin(steps: Synchronized[int], threads: int) -> None:
    """Prepares a process for its arms; it ends when the one that started it does, however that ended."""
    import torch

    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Counter.steps = steps


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _teach(
    arm: Arm, lessons: Sequence[Lesson], seed: int, num_ability_items: int, before: Mapping[str, Measured]
) -> Course:
    return teach_sequence(
        arm,
        lessons,
        seed=seed,
        num_ability_items=num_ability_items,
        before=before,
        with_teacher=False,
        progress=_Counter(),
    )


class _Counter(Silent):
    """Adds the steps that its bars count to the number that all processes share."""

    steps: ClassVar[Synchronized[int]]

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Yields a bar that adds to `steps`; what is only measured is not counted."""
        yield _SharedBar(self.steps, done) if unit == "steps" else SilentBar()


class _SharedBar:
    def __init__(self, steps: Synchronized[int], done: int) -> None:
        self._steps, self._done = steps, done

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Adds what is new."""
        with self._steps.get_lock():
            self._steps.value += done - self._done
        self._done = done
