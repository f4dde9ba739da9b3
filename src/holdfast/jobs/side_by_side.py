"""Teaches arms in processes of their own, beside each other and beside what the caller does meanwhile.

For small models: one process per core gets more out of a machine than one process on all of them, because the
threads of one step wait for each other. Every arm does exactly what `teach_sequence` does.
"""

from __future__ import annotations

import os
import signal
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
    from multiprocessing.synchronize import Event

    from holdfast.jobs.progress import Bar, Reporter

LOOK_EVERY = 0.5
"""Seconds between two looks at how far the processes are."""


@contextmanager
def side_by_side(
    arms: Sequence[Arm],
    lessons: Sequence[Lesson],
    *,
    seed: int,
    num_ability_items: int,
    before: Mapping[str, Measured],
    workers: int,
) -> Iterator[SideBySide]:
    """Teaches the arms in `workers` processes of one thread while the caller does something else.

    `before` is what the base scores. A caller that fails, or is stopped, ends the processes at once.
    """
    context = get_context("spawn")
    counts = _Counts(*(context.Value("q", 0) for _ in range(3)))
    given_up = context.Event()
    total = sum(count_steps(arm.recipe(seed, each.name), len(each.train)) for arm in arms for each in lessons)
    with ProcessPoolExecutor(
        min(len(arms), workers), mp_context=context, initializer=_begin, initargs=(counts, given_up)
    ) as pool:
        courses = [pool.submit(_teach, arm, lessons, seed, num_ability_items, dict(before)) for arm in arms]
        try:
            yield SideBySide(courses, counts, total)
        except BaseException:
            given_up.set()
            raise


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Arms that are being taught: what they will have done, what they have counted, how many steps there are."""

    futures: Sequence[Future[Course]]
    counts: _Counts
    total: int

    def courses(self, progress: Reporter, title: str) -> list[Course]:
        """Returns what each arm did, in their order, and shows a bar as long as they are at it.

        A course's seconds are those of its own process beside the others.
        """
        if _go_on(self.futures):
            self._show_steps(progress, title)
        if _go_on(self.futures):
            self._show_tests(progress, f"testing {title}")
        return [future.result() for future in self.futures]

    def _show_steps(self, progress: Reporter, title: str) -> None:
        steps = self.counts.steps
        with progress.bar(title, self.total, unit="steps", done=steps.value) as bar:
            while steps.value < self.total and _go_on(self.futures):
                bar.update(steps.value)
            bar.update(steps.value)

    def _show_tests(self, progress: Reporter, title: str) -> None:
        items, begun = self.counts.items, self.counts.items_begun
        with progress.bar(title, begun.value, unit="items", done=items.value) as bar:
            while _go_on(self.futures):
                bar.update(items.value, begun.value)
            bar.update(items.value, begun.value)


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


def _begin(counts: _Counts, given_up: Event) -> None:
    """Prepares a process for its arms; an interrupt at the terminal is for the parent to answer."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    threading.Thread(target=_end_when_given_up, args=(given_up,), daemon=True).start()
    _Counter.counts = counts


def _end_when_given_up(given_up: Event) -> None:
    given_up.wait()
    os._exit(1)


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

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Adds what is new."""
        _add(self._count, done - self._done)
        self._done = done


def _add(count: Synchronized[int], number: int) -> None:
    with count.get_lock():
        count.value += number
