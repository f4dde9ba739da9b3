"""Shows a job on stderr: bars with rate and remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from holdfast.jobs.progress import Bar, Reporter

LINE_EVERY_SECONDS = 10.0


def span(seconds: float) -> str:
    """Returns a duration for people.

    >>> span(42), span(125), span(7320)
    ('42 s', '2 min 05 s', '2 h 02 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def pace(done: int, total: int, seconds: float, unit: str) -> str:
    """Returns the rate and the remaining time after `done` units in `seconds`.

    >>> pace(50, 200, 10.0, "steps")
    '5.0 steps/s, 30 s left'
    >>> pace(2, 10, 60.0, "steps")
    '30.0 s a step, 4 min 00 s left'
    """
    if done <= 0 or seconds <= 0:
        return ""
    rate = done / seconds
    speed = f"{rate:.1f} {unit}/s" if rate >= 1 else f"{1 / rate:.1f} s a {unit.removesuffix('s')}"
    left = span((total - done) / rate)
    return f"{speed}, {left} left" if total > done else f"{speed}, {span(seconds)}"


class _Pace(ProgressColumn):
    """Rate and remaining time of this sitting: units done before a resume do not count as speed."""

    def render(self, task: Task) -> Text:
        first = int(task.fields["first"])
        done, total = int(task.completed) - first, int(task.total or 0) - first
        return Text(pace(done, total, task.elapsed or 0.0, str(task.fields["unit"])), style="cyan")


class TerminalReporter:
    """Draws on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Shows one sentence."""
        self._console.print(Text(text))

    def warn(self, text: str) -> None:
        """Shows one sentence in yellow."""
        self._console.print(Text.assemble(("warning: ", "bold yellow"), text))

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Draws a live bar while the block runs."""
        columns = (
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Pace(),
            TextColumn("[dim]{task.fields[note]}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task(title, total=total, completed=done, unit=unit, first=done, note="")
            yield _TerminalBar(progress, task)


class _TerminalBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Moves the bar; a count that falls begins anew, with a rate of its own."""
        task = self._progress.tasks[0]
        if done < task.completed:
            self._progress.reset(self._task, completed=done, total=total, **{**task.fields, "first": done})
        self._progress.update(self._task, completed=done, total=total, note=note)


class LineReporter:
    """Writes plain lines: for log files and pipes."""

    def __init__(self, write: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock

    def say(self, text: str) -> None:
        """Writes one line."""
        self._write(text)

    def warn(self, text: str) -> None:
        """Writes one line that starts with `warning:`."""
        self._write(f"warning: {text}")

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Writes a line now and then, and one at the end."""
        bar = _LineBar(self._write, self._clock, title, total, unit, done)
        try:
            yield bar
        finally:
            bar.close()


class _LineBar:
    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float], title: str, total: int, unit: str, done: int
    ) -> None:
        self._write, self._clock, self._title, self._unit = write, clock, title, unit
        self._first, self._done, self._total, self._note = done, done, total, ""
        self._start = self._last = clock()

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Counts, and writes a line when the last one is old enough; a count that falls begins anew."""
        if done < self._done:
            self._first, self._start = done, self._clock()
        self._done, self._note = done, note or self._note
        self._total = total if total is not None else self._total
        if self._clock() - self._last >= LINE_EVERY_SECONDS:
            self._line()

    def close(self) -> None:
        """Writes where the bar stopped."""
        self._line()

    def _line(self) -> None:
        self._last = self._clock()
        speed = pace(self._done - self._first, self._total - self._first, self._last - self._start, self._unit)
        parts = [f"{self._title}: {self._done}/{self._total} {self._unit}", speed, self._note]
        self._write(", ".join(part for part in parts if part))


def reporter(*, quiet: bool = False) -> Reporter:
    """Returns the right reporter for stderr: bars on a terminal, lines elsewhere, nothing if `quiet`."""
    if quiet:
        from holdfast.jobs.progress import Silent

        return Silent()
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        return TerminalReporter(console)
    return LineReporter(lambda text: console.print(text, soft_wrap=True, markup=False))
