"""Which stage may follow which."""

import itertools

import pytest

from holdfast.errors import StoreError
from holdfast.jobs.stages import FINAL, STAGES, STOPPED, checked, may_follow


def test_the_story_runs_from_validating_files_to_succeeded():
    story = [
        "validating_files",
        "preparing",
        "guarding",
        "reminding",
        "training",
        "evaluating",
        "deciding",
        "reporting",
    ]
    assert all(may_follow(before, after) for before, after in itertools.pairwise([*story, "succeeded"]))


def test_nothing_follows_a_final_stage():
    assert not [after for before in FINAL for after in STAGES if may_follow(before, after)]


def test_no_stage_is_skipped_on_the_way_forward():
    assert not may_follow("preparing", "training")
    assert not may_follow("training", "succeeded")
    assert not may_follow("failed", "succeeded")


def test_every_unfinished_run_can_stop_and_be_taken_up_again():
    working = [stage for stage in STAGES if stage not in FINAL | STOPPED]
    assert all(may_follow(stage, stop) for stage in working for stop in STOPPED)
    assert all(may_follow(stop, stage) for stage in working for stop in STOPPED)


def test_a_remedy_goes_back_to_training():
    assert may_follow("deciding", "training")


def test_an_impossible_step_is_a_named_error():
    with pytest.raises(StoreError, match="'succeeded' cannot go to 'training'"):
        checked("succeeded", "training")
