"""What was measured of reflections: every figure with its interval, worked out by hand."""

import json
from dataclasses import replace

import pytest

from holdfast.evaluation.bound import lower_bound, upper_bound
from holdfast.jobs.reflection_figures import MEANS, figures, means, mistakes, rows, shares, spelled
from holdfast.training.reflection_check import Counted, ReflectionReport

NOTHING = ReflectionReport(
    first=Counted(5, 5), second=Counted(5, 5), recovery=Counted(0, 0), controls={}, informative=Counted(0, 0),
    gains={}, lengths=[], ended=[], leaks=[], unique=0.0, not_graded=0,
)  # fmt: skip
FAILED = 20
REPORT = replace(
    NOTHING,
    first=Counted(30, 50),
    second=Counted(38, 50),
    recovery=Counted(8, FAILED),
    controls={"bare": Counted(2, FAILED), "blind": Counted(3, FAILED), "gold": Counted(FAILED, FAILED)},
    informative=Counted(10, FAILED),
    # Over bare 7 tasks are won and 1 is lost, over blind 5 and none.
    gains={"bare": [1.0] * 7 + [-1.0] + [0.0] * 12, "blind": [1.0] * 5 + [0.0] * 15},
    lengths=[20.0] * 10 + [40.0] * 10,
    ended=[1.0] * FAILED,
    leaks=[0.0] * 8,
    unique=0.5,
    reasons={"wrong value": 15, "unparsable": 5},
    reasons_after={"wrong value": 12},
)


def test_the_gain_is_that_over_the_best_control_task_by_task():
    gain = means(REPORT)["gain_over_best_control"]
    # 7 - 1 of 20 over bare, 5 of 20 over blind, which is the better control.
    assert gain.value == pytest.approx(0.25)
    assert gain.tasks == FAILED
    lower = {name: lower_bound(values, 0.975) for name, values in REPORT.gains.items()}
    assert gain.low == pytest.approx(min(lower.values()))
    # The best control is chosen among two by the data, so the upper end spends half of its chance on each.
    upper = {name: upper_bound(values, 0.9875) for name, values in REPORT.gains.items()}
    assert gain.high == pytest.approx(min(upper.values()))


@pytest.mark.parametrize("num_controls", [1, 4])
def test_a_gain_of_nothing_has_an_interval_all_the_same(num_controls):
    # n unchanged tasks: a difference of d is missed with chance (1 - d)^n; each of k upper ends has 2.5 % / k.
    same = {f"control {n}": [0.0] * 48 for n in range(num_controls)}
    gain = means(replace(REPORT, gains=same))["gain_over_best_control"]
    assert gain.value == 0.0
    assert gain.low == pytest.approx(-(1 - 0.025 ** (1 / 48)), abs=1e-6)
    assert gain.high == pytest.approx(1 - (0.025 / num_controls) ** (1 / 48), abs=1e-6)


def test_another_control_never_raises_the_gain_or_its_lower_end():
    before = means(REPORT)["gain_over_best_control"]
    for wins in range(FAILED + 1):
        more = {**REPORT.gains, "donor": [1.0] * wins + [0.0] * (FAILED - wins)}
        after = means(replace(REPORT, gains=more))["gain_over_best_control"]
        assert after.value <= before.value
        assert after.low <= before.low
        assert after.low <= after.value <= after.high


def test_the_length_has_the_spread_of_tasks_not_of_their_reflections():
    # Half of 20 tasks write 20 tokens and half 40: sd 10, of the mean 10 / sqrt(20) = 2.236; 1.96 * 2.236 = 4.38.
    length = means(REPORT)["reflection_tokens"]
    assert length.value == 30.0
    assert length.low == pytest.approx(30 - 4.38, abs=0.6)
    assert length.high == pytest.approx(30 + 4.38, abs=0.6)
    assert "reflection_tokens" not in means(replace(REPORT, lengths=[20.0]))


def test_shares_that_are_alike_in_all_tasks_have_an_interval():
    found = means(REPORT)
    # If a share s ended nowhere, 20 tasks without one would come up with chance (1 - s)^20; 0.025^(1/20) = 0.8316.
    ended = found["reflections_ended"]
    assert (ended.value, ended.high) == (1.0, 1.0)
    assert ended.low == pytest.approx(0.8316, abs=1e-4)
    # Only 8 tasks have an answer: 1 - 0.025^(1/8) = 0.3694.
    leaks = found["reflections_with_the_answer"]
    assert (leaks.value, leaks.low, leaks.tasks) == (0.0, 0.0, 8)
    assert leaks.high == pytest.approx(0.3694, abs=1e-4)


def test_mistakes_are_shares_of_the_failed_tasks():
    found = mistakes(REPORT)
    first = {row.name: row for row in found["mistakes_at_first"]}
    assert first["wrong value"].share == 0.75
    assert first["unparsable"].share == 0.25
    # Wilson, z = 1.96, n = 20: (0.75 + 0.0960 -+ 1.96 sqrt(0.009375 + 0.0024)) / 1.1921 = 0.531 and 0.888.
    assert first["wrong value"].low == pytest.approx(0.531, abs=1e-3)
    assert first["wrong value"].high == pytest.approx(0.888, abs=1e-3)
    (after,) = found["mistakes_after"]
    assert (after.num, after.total) == (12, FAILED)
    names = [row.name for row in rows(REPORT)]
    assert names[: len(shares(REPORT))] == [row.name for row in shares(REPORT)]
    assert names[-1] == "mistake at the retry: wrong value"


def test_everything_that_is_measured_is_in_the_json_within_its_interval():
    found = json.loads(json.dumps(figures(REPORT)))
    for part in ("shares", "mistakes_at_first", "mistakes_after"):
        assert found[part]
        assert all(row["low"] <= row["share"] <= row["high"] for row in found[part].values())
    for key in MEANS:
        assert found[key]["low"] <= found[key]["value"] <= found[key]["high"]
    assert found["unique_reflections"] == 0.5


def test_where_nothing_failed_nothing_is_averaged():
    assert means(NOTHING) == {}
    found = figures(NOTHING)
    assert [found[key] for key in MEANS] == [None] * len(MEANS)
    assert found["mistakes_at_first"] == found["mistakes_after"] == {}
    assert [row.name for row in shares(NOTHING)] == ["first try", "second try"]


def test_people_read_points_and_tokens():
    mean = {"value": 0.125, "low": -0.05, "high": 0.3}
    assert spelled("gain_over_best_control", mean) == ("12.5", "-5.0 to 30.0")
    assert spelled("reflection_tokens", {"value": 30.26, "low": 25.0, "high": 35.0}) == ("30.3", "25.0 to 35.0")
