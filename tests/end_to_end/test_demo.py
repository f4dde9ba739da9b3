"""The demo runs both arms to their end and prints what they measured, on a few items and steps."""

import json

import pytest

from holdfast.jobs import demo
from holdfast.jobs.comparison import Measured
from holdfast.jobs.demo import GRADERS
from holdfast.jobs.demo_result import ArmResult, Cell, demo_text
from holdfast.jobs.progress import Silent

FEW = {
    "steps": 2,
    "batch": {"examples": 2},
    "rehearsal": {"num_reminders": 8, "per_step": 2, "max_new_tokens": 16},
    "guards": {"alignment_check": False},
    "gate": {"remedies": []},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "COMPARED_ITEMS", 3)
        return demo.run_demo(
            seed=0,
            folder=folder,
            progress=Silent(),
            settings=FEW,
            rates=(1e-4,),
            num_ability_items=2,
            num_test_items=4,
        )


def test_the_demo_measures_every_skill_and_ability_before_and_after_in_both_arms(result):
    arms = json.loads(json.dumps(result.to_json()))["arms"]
    assert set(arms) == {"holdfast", "sft"}
    for name, arm in arms.items():
        assert arm["seconds"] > 0
        new = {skill for skill, cell in arm["scores"].items() if cell["new"]}
        assert new == set(GRADERS)
        assert len(arm["scores"]) > len(new) + 10
        for skill, cell in arm["scores"].items():
            assert 0 <= cell["interval"][0] <= cell["after"] <= cell["interval"][1] <= 1
            assert (cell["teacher"] is not None) == (skill in new and name == "holdfast")
            assert cell["registered"] == (skill in new and name == "holdfast")


def test_both_arms_start_from_the_same_base(result):
    ours, theirs = result.arms["holdfast"].cells, result.arms["sft"].cells
    assert {name: cell.before for name, cell in ours.items()} == {name: cell.before for name, cell in theirs.items()}


def test_the_gate_asks_for_every_item_and_what_ours_is_compared_with_for_a_part(result):
    ours, theirs = result.arms["holdfast"].cells, result.arms["sft"].cells
    for skill in GRADERS:
        assert (ours[skill].after.items, theirs[skill].after.items) == (4, 3)
        assert (ours[skill].before.items, ours[skill].teacher.items) == (3, 3)


def test_the_printed_table_names_every_row_and_both_arms(result):
    text = demo_text(result)
    for name in result.arms["holdfast"].cells:
        assert f"  {name}" in text
    assert "Holdfast" in text
    assert "SFT" in text


def test_an_arm_that_learns_nothing_and_keeps_all_is_no_better_than_one_that_does_the_opposite():
    def cell(value, *, new):
        return Cell(Measured(0.5, 10), Measured(value, 10), None, new, registered=False)

    def arm(new, old):
        cells = {"taught": cell(new, new=True), **{f"ability {n}": cell(old, new=False) for n in range(9)}}
        return ArmResult(cells, [], 1.0, [])

    assert arm(new=0.0, old=1.0).merit == arm(new=1.0, old=0.0).merit == 0.5
    assert arm(new=0.8, old=0.9).merit == pytest.approx(0.85)
