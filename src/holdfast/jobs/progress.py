"""What a job tells whoever watches it: sentences, warnings and bars; the command line draws them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager


class Bar(Protocol):
    """One long part of a job, counted."""

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Sets how much is done; `note` is shown beside the rate (a loss, for example), `metrics` are for programs."""
        ...


class Reporter(Protocol):
    """Shows a job to a person, or keeps it from them."""

    def say(self, text: str) -> None:
        """Shows one sentence."""
        ...

    def warn(self, text: str) -> None:
        """Shows one sentence that the reader should not miss."""
        ...

    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> AbstractContextManager[Bar]:
        """Opens a bar of `total` units of which `done` were finished in an earlier run."""
        ...


class SilentBar:
    """Draws nothing."""

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Does nothing."""


class Silent:
    """Shows nothing and remembers every sentence: for programs and for tests."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        """Remembers the sentence in `said`."""
        self.said.append(text)

    def warn(self, text: str) -> None:
        """Remembers the sentence in `warned`."""
        self.warned.append(text)

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Yields a bar that draws nothing."""
        yield SilentBar()


def counting(bar: Bar, check: Callable[[], None]) -> Callable[[int, int], None]:
    """Returns a `progress(done, total)` callback that moves `bar` and lets `check` stop the work."""

    def progress(done: int, total: int) -> None:
        bar.update(done, total)
        check()

    return progress
