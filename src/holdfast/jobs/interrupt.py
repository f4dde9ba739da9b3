"""Stopping a job politely: a signal asks, the job stops at the next safe point."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class StopRequested(Exception):  # noqa: N818 - a request, not an error: nothing went wrong
    """Somebody asked the job to stop; everything finished so far is on disk."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.exit_code = 128 + signal_number


def turn_with_parent(stop: StopSwitch, parent: int, *, every: float = 1.0) -> None:
    """Turns `stop` when the process `parent`, which started this one, has ended: no worker outlives its server."""

    def watch() -> None:
        while not stop.turned:
            if os.getppid() != parent:
                stop.turn()
            time.sleep(every)

    threading.Thread(target=watch, name="parent", daemon=True).start()


class StopSwitch:
    """Turned by SIGTERM or SIGINT while `listening`; a job asks `check()` wherever it may stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def turned(self) -> bool:
        """True once a stop was asked for."""
        return self.signal_number is not None

    def turn(self, signal_number: int = signal.SIGTERM) -> None:
        """Asks for a stop at the next safe point."""
        self.signal_number = signal_number

    def check(self) -> None:
        """Raises StopRequested if a stop was asked for."""
        if self.signal_number is not None:
            raise StopRequested(self.signal_number)

    @contextmanager
    def listening(self) -> Iterator[StopSwitch]:
        """Lets SIGTERM and SIGINT turn the switch; a second signal of the same kind ends at once, as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield self  # Python allows signal handlers in the main thread only
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def ask(number: int, _frame: FrameType | None) -> None:
            self.turn(number)
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, ask)
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
