"""Rates and remaining times as people read them."""

import io
import re

import pytest
from rich.console import Console

from holdfast.cli.bars import LineReporter, TerminalReporter, pace, span


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7320, "2 h 02 min")],
)
def test_durations_are_written_in_two_units_at_most(seconds, text):
    assert span(seconds) == text


def test_a_slow_rate_is_given_in_seconds_a_step():
    assert pace(2, 10, 60.0, "steps") == "30.0 s a step, 4 min 00 s left"
    assert pace(50, 200, 10.0, "steps") == "5.0 steps/s, 30 s left"
    assert pace(0, 10, 5.0, "steps") == ""


def test_lines_come_now_and_then_with_rate_and_remaining_time():
    lines, clock = [], Clock()
    with LineReporter(lines.append, clock=clock).bar("training", 100, unit="steps") as bar:
        for done in range(1, 51):
            clock.now += 0.5
            bar.update(done, note=f"loss {done}")
    assert lines == [
        "training: 20/100 steps, 2.0 steps/s, 40 s left, loss 20",
        "training: 40/100 steps, 2.0 steps/s, 30 s left, loss 40",
        "training: 50/100 steps, 2.0 steps/s, 25 s left, loss 50",
    ]


def test_steps_done_before_a_resume_do_not_count_as_speed():
    lines, clock = [], Clock()
    with LineReporter(lines.append, clock=clock).bar("training", 100, unit="steps", done=60) as bar:
        clock.now = 10.0
        bar.update(70)
    assert lines[0] == "training: 70/100 steps, 1.0 steps/s, 30 s left"


def test_a_count_that_falls_begins_a_rate_of_its_own():
    lines, clock = [], Clock()
    with LineReporter(lines.append, clock=clock).bar("reminders", 100, unit="texts") as bar:
        clock.now = 9.0
        bar.update(100)
        bar.update(0)
        clock.now = 19.0
        bar.update(20)
    assert lines[0] == "reminders: 20/100 texts, 2.0 texts/s, 40 s left"


def test_a_terminal_shows_a_bar_with_rate_and_remaining_time():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, color_system=None)
    reporter = TerminalReporter(console)
    reporter.warn("few items")
    with reporter.bar("training", 10, unit="steps") as bar:
        bar.update(5, note="loss 1.25")
        bar.update(2)  # begins anew
    text = screen.getvalue()
    assert "warning: few items" in text
    assert re.search(r"training .*2/10", text)
    assert "loss 1.25" in text
