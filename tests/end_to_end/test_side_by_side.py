"""Arms taught at once end where the same arms end one after another, and leave nothing running."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from contextlib import contextmanager

import pytest

from holdfast.errors import ModelError
from holdfast.jobs.comparison import Arm, Lesson, Measured, teach_sequence
from holdfast.jobs.progress import Silent
from holdfast.jobs.side_by_side import side_by_side
from holdfast.types import Example, Message

SFT = {"method": {"type": "sft"}, "batch": {"examples": 4}, "rehearsal": {"enabled": False}}
BEFORE = {"a": Measured(0.0, 8)}


def lesson(name, size):
    items = [Example(f"{name}{n}", (Message("user", f"{name} {n}"), Message("assistant", name))) for n in range(size)]
    return Lesson(name, items, items, "contains")


LESSONS = [lesson("a", 8), lesson("b", 8)]


def arm(rate, **settings):
    return Arm(f"rate {rate:g}", {**SFT, "optimizer": {"learning_rate": rate}, "steps": 3, **settings})


class Counting(Silent):
    """Remembers what every bar was moved to."""

    def __init__(self):
        super().__init__()
        self.totals, self.units, self.moves = [], [], []

    @contextmanager
    def bar(self, title, total, *, unit, done=0):
        self.totals.append(total)
        self.units.append(unit)
        yield self

    def update(self, done, total=None, note="", metrics=None):
        self.moves.append((self.units[-1], done, total))


def taught(arms, progress):
    with side_by_side(arms, LESSONS, seed=5, num_ability_items=1, before=BEFORE, workers=2) as others:
        return others.courses(progress, "at once")


def test_arms_at_once_end_as_one_after_another_and_every_step_and_item_is_counted():
    arms, progress = [arm(1e-4), arm(1e-3)], Counting()
    at_once = taught(arms, progress)
    for each, course in zip(arms, at_once, strict=True):
        alone = teach_sequence(
            each, LESSONS, seed=5, num_ability_items=1, progress=Silent(), before=BEFORE, with_teacher=False
        )
        assert course.arm == each.name
        assert course.stages == alone.stages
        for name, losses in alone.losses.items():
            assert course.losses[name] == pytest.approx(losses, rel=1e-3)
    assert progress.totals[0] == 12
    assert progress.units == ["steps", "items"]
    assert [move for move in progress.moves if move[0] == "steps"][-1] == ("steps", 12, None)
    abilities = len(at_once[0].final) - len(LESSONS)
    items = 2 * (8 + 16 + abilities)
    assert progress.moves[-1] == ("items", items, items)


def test_what_an_arm_failed_of_is_what_the_caller_is_told():
    progress = Counting()
    with pytest.raises(ModelError, match="nowhere"):
        taught([arm(1e-4), arm(1e-4, base="/nowhere/at/all")], progress)
    assert progress.units == ["steps"]


def test_a_caller_that_fails_ends_the_arms_at_once_and_one_that_comes_late_sees_no_bar():
    forever = [arm(1e-4, steps=10**6)]
    with (
        pytest.raises(RuntimeError, match="meanwhile"),
        side_by_side(forever, LESSONS, seed=5, num_ability_items=1, before=BEFORE, workers=1),
    ):
        raise RuntimeError("meanwhile")
    progress = Counting()
    with side_by_side([arm(1e-4)], LESSONS, seed=5, num_ability_items=1, before=BEFORE, workers=1) as others:
        wait(others.futures)
        assert [course.arm for course in others.courses(progress, "late")] == ["rate 0.0001"]
    assert progress.units == []


LONG = """
from tests.end_to_end.test_side_by_side import Silent, arm, taught
if __name__ == "__main__":
    taught([arm(1e-4, steps=10**6), arm(1e-3, steps=10**6)], Silent())
"""


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(each) for each in file.read().split()]
    except FileNotFoundError:
        return []


def runs(pid):
    """Whether a process is there and no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(found, seconds=60):
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="reads the processes from /proc")
def test_a_killed_parent_leaves_no_process_behind(tmp_path, repository):
    script = tmp_path / "long.py"
    script.write_text(LONG)
    parent = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(repository)})
    started = []
    try:
        until(lambda: len(children(parent.pid)) >= 3)  # two arms and multiprocessing's own tracker
        started = children(parent.pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not any(map(runs, started)))
