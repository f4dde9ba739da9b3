"""Teaches several arms at once, each in a process of its own with its share of the cores.

For small models: one process per core gets more out of a machine than one process on all of them, because the
threads of one step wait for each other. Every arm does exactly what `teach_sequence` does.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING, ClassVar

from holdfast.jobs.comparison import Arm, Course, Lesson, Measured, teach_sequence
from holdfast.jobs.progress import Silent
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
    counts = _Counts(*(context.Value("q", 0) for _ in range(3)))
    total = sum(count_steps(arm.recipe(seed, each.name), len(each.train)) for arm in arms for each in lessons)
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(counts, cores // workers)
    ) as pool:
        courses = [pool.submit(_teach, arm, lessons, seed, num_ability_items, dict(before)) for arm in arms]
        with progress.bar(title, total, unit="steps") as bar:
            while counts.steps.value < total and _go_on(courses):
                bar.update(counts.steps.value)
            bar.update(counts.steps.value)
        if not any(map(_failed, courses)):
            _show_testing(courses, counts, progress, f"testing {title}")
        return [course.result() for course in courses]


def _show_testing(courses: Sequence[Future[Course]], counts: _Counts, progress: Reporter, title: str) -> None:
    with progress.bar(title, counts.items_begun.value, unit="items", done=counts.items.value) as bar:
        while _go_on(courses):
            bar.update(counts.items.value, counts.items_begun.value)
        bar.update(counts.items.value, counts.items_begun.value)


def _go_on(courses: Sequence[Future[Course]]) -> bool:
    """Waits a moment; returns whether arms are still at work and none has failed."""
    return bool(wait(courses, LOOK_EVERY, FIRST_EXCEPTION).not_done) and not any(map(_failed, courses))


def _failed(course: Future[Course]) -> bool:
    return course.done() and course.exception() is not None


@dataclass(frozen=True, slots=True)
class _Counts:
    """What all processes count together: optimizer steps, test items answered, and those of the tests begun."""

    steps: Synchronized[int]
    items: Synchronized[int]
    items_begun: Synchronized[int]


def _begin(counts: _Counts, threads: int) -> None:
    """Prepares a process for its arms."""
    import torch

    torch.set_num_threads(threads)
    end_with_parent()
    _Counter.counts = counts


def end_with_parent() -> None:
    """Lets this process end as soon as the one that started it has, however that ended."""
    threading.Thread(target=_end_after_parent, daemon=True).start()


def _end_after_parent() -> None:
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
    """Adds what its bars count to the numbers that all processes share."""

    counts: ClassVar[_Counts]

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Yields a bar that adds to the steps, or to the items."""
        if unit == "steps":
            yield _SharedBar(self.counts.steps, done)
        else:
            _add(self.counts.items_begun, total)
            yield _SharedBar(self.counts.items, done)


class _SharedBar:
    def __init__(self, count: Synchronized[int], done: int) -> None:
        self._count, self._done = count, done

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """Adds what is new."""
        _add(self._count, done - self._done)
        self._done = done


def _add(count: Synchronized[int], number: int) -> None:
    with count.get_lock():
        count.value += number
