"""A run is driven to its end, and what is left of it on disk."""

import pytest

from holdfast.jobs.interrupt import StopSwitch
from holdfast.jobs.progress import Silent
from holdfast.jobs.train import drive, go_back
from holdfast.models.checkpoint import checkpoints, load_checkpoint
from holdfast.training.loop import Step


class Walk:
    """Steps that only count; `ends` says at which one there is nothing to go on with."""

    num_steps, stopped = 40, None

    def __init__(self, ends=None):
        self.done, self.ends = 0, ends

    def __iter__(self):
        while self.done < self.num_steps:
            if self.done == self.ends:
                self.stopped = "nothing is left"
                return
            self.done += 1
            yield Step(self.done, self.num_steps, 0.0, {}, 0.1, 0.0, 1, 1, 0, 0.0)

    def load_state_dict(self, state):
        self.done = state["step"]

    def state_dict(self):
        return {"step": self.done, "stopped": self.stopped}


def walk(run, folder, *, every, back=0):
    recorded = []
    drive(
        run, folder, every=every, keep=set(), back=back, record=lambda steps: recorded.extend(s.index for s in steps),
        progress=Silent(), stop=StopSwitch(), title="walking",
    )  # fmt: skip
    return recorded


def test_a_run_that_stops_between_checkpoints_is_kept_and_recorded_to_its_last_step(tmp_path):
    assert walk(Walk(ends=7), tmp_path, every=5) == [1, 2, 3, 4, 5, 6, 7]
    assert max(checkpoints(tmp_path)) == 7
    assert load_checkpoint(checkpoints(tmp_path)[7]) == {"step": 7, "stopped": "nothing is left"}


@pytest.mark.parametrize("dies_at", range(5, 12))
def test_a_run_that_is_killed_while_it_records_leaves_no_step_out_when_it_is_resumed(tmp_path, dies_at):
    recorded = []

    def record(steps):
        for step in steps:
            if step.index == dies_at and dies_at not in recorded:
                recorded.append(dies_at)
                raise KeyboardInterrupt
            recorded.append(step.index)

    asked = {"every": 5, "keep": set(), "record": record, "stop": StopSwitch(), "title": "walking"}
    with pytest.raises(KeyboardInterrupt):
        drive(Walk(), tmp_path, progress=Silent(), **asked)
    drive(Walk(), tmp_path, progress=Silent(), **asked)
    assert sorted(set(recorded)) == list(range(1, 41))


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize("back", [5, 10])
def test_wherever_a_collapse_shows_there_is_a_checkpoint_from_before_its_window(tmp_path, every, back):
    """The step that shows it is never made: after `ends` steps the weights of `back` steps before are wanted."""
    for ends in range(back + every, back + every + 6):
        folder = tmp_path / str(ends)
        folder.mkdir()
        walk(Walk(ends=ends), folder, every=every, back=back)
        good = go_back(folder, ends - back, every=every, keep=set())
        assert good is not None
        assert ends - back - every < good <= ends - back
