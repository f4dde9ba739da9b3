"""The bias audit: rates by hand and by fairlearn, small groups, errors of predictions, and never a remedy."""

import random
import sys

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    equal_opportunity_difference,
    selection_rate,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from holdfast.data.check import Context, Row
from holdfast.data.checks import bias
from holdfast.data.checks.bias import NO_VALUE, OTHERS, Bias, BiasSettings
from holdfast.data.labels.group_rates import gap, wilson
from holdfast.errors import DataError
from holdfast.types import Example, Message


def person(label, text="the text", **columns):
    return Example("", (Message("user", text),), label=label, columns=columns)


def audited(tmp_path, examples, **chosen):
    chosen = {"sensitive": ("gender",), **({} if "prediction_column" in chosen else {"baseline": False}), **chosen}
    check = Bias(BiasSettings(**chosen), Context(tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    for start in range(0, len(rows), 100):
        check.see(rows[start : start + 100])
    finding = check.finding()
    assert finding.remedy is None
    assert not any(check.decide(row) for row in rows)
    return finding


def test_a_setting_that_would_have_no_effect_is_refused():
    with pytest.raises(ValueError, match="favourable would have no effect because no sensitive column is declared"):
        BiasSettings(favourable=("approved",))
    with pytest.raises(ValueError, match="baseline would have no effect"):
        BiasSettings(sensitive=("gender",), prediction_column="guess", baseline=False)


# 60 of 100 women and 30 of 100 men are approved, and both of two others.
LOANS = [
    *(person("approved" if n < 60 else "refused", gender="f") for n in range(100)),
    *(person("approved" if n < 30 else "refused", gender="m") for n in range(100)),
    *(person("approved", gender="x") for _ in range(2)),
]


def test_rates_and_gaps_by_hand(tmp_path):
    finding = audited(tmp_path, LOANS, favourable=("approved",))
    found = finding.figures["columns"]["gender"]
    assert found["groups"]["f"]["rows"] == 100
    assert found["groups"]["f"]["share"] == pytest.approx(100 / 202)
    assert [found["groups"][name]["small"] for name in "fmx"] == [False, False, True]
    approved = found["labels"]["approved"]
    assert [approved["rates"][name]["share"] for name in "fmx"] == [0.6, 0.3, 1.0]
    assert approved["difference"] == pytest.approx(0.3)
    assert approved["ratio"] == pytest.approx(0.5)
    assert (approved["lowest"], approved["highest"], approved["certain"]) == ("m", "f", True)
    # Wilson, 60 in 100: (0.6 + 1.96²/200 ± 1.96 √(0.6 · 0.4/100 + 1.96²/40000)) / (1 + 1.96²/100)
    assert approved["rates"]["f"]["low"] == pytest.approx(0.50200, abs=1e-5)
    assert approved["rates"]["f"]["high"] == pytest.approx(0.69060, abs=1e-5)
    assert finding.title == (
        "1 sensitive columns in 202 rows; gender: 1 of 3 groups have fewer than 30 rows and were not compared; "
        "gender: the label 'approved': 30% of 'm', 60% of 'f'"
    )
    assert finding.level == "warning"


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=60))
def test_the_gaps_are_fairlearns_on_the_same_rows(people):
    groups, approved = (list(column) for column in zip(*people, strict=True))
    rows = {name: groups.count(name) for name in set(groups)}
    events = {name: sum(good for group, good in zip(groups, approved, strict=True) if group == name) for name in rows}
    found = gap(events, rows, min_group=1)
    frame = MetricFrame(metrics=selection_rate, y_true=approved, y_pred=approved, sensitive_features=groups)
    assert {name: rate.share for name, rate in found.rates.items()} == pytest.approx(frame.by_group.to_dict())
    if len(rows) == 1:
        assert (found.difference, found.ratio) == (None, None)
        return
    truth = {"y_true": approved, "y_pred": approved, "sensitive_features": groups}
    assert found.difference == pytest.approx(demographic_parity_difference(**truth))
    if any(approved):
        assert found.ratio == pytest.approx(demographic_parity_ratio(**truth))
    else:
        assert found.ratio == 1.0


def test_missed_favourable_labels_are_fairlearns_equal_opportunity(tmp_path):
    draw = random.Random(0)
    people = [
        (draw.choice("fm"), draw.choice(["approved", "refused"]), draw.choice(["approved", "refused"]))
        for _ in range(400)
    ]
    examples = [person(label, gender=group, guess=guess) for group, label, guess in people]
    finding = audited(tmp_path, examples, favourable=("approved",), prediction_column="guess")
    errors = finding.figures["columns"]["gender"]["errors"]
    groups, labels, guesses = (np.array(column) for column in zip(*people, strict=True))
    expected = equal_opportunity_difference(labels == "approved", guesses == "approved", sensitive_features=groups)
    assert errors["missed favourable labels"]["difference"] == pytest.approx(expected)
    wrong = {name: float((labels != guesses)[groups == name].mean()) for name in "fm"}
    shares = {name: rate["share"] for name, rate in errors["errors of the column 'guess'"]["rates"].items()}
    assert shares == pytest.approx(wrong)
    refused = (labels == "refused") & (groups == "f")
    assert errors["false favourable labels"]["rates"]["f"]["share"] == pytest.approx(
        float((guesses[refused] == "approved").mean())
    )


@pytest.mark.parametrize(("events", "num"), [(0, 10), (3, 10), (10, 10), (500, 1000)])
def test_intervals_are_wilsons(events, num):
    interval = binomtest(events, num).proportion_ci(method="wilson")
    rate = wilson(events / num, num)
    assert (rate.low, rate.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert wilson(0.0, 0).high == 1.0


def test_the_settings_say_which_differences_are_reported(tmp_path):
    near = [person("approved" if n < 60 else "refused", gender="f") for n in range(100)]
    near += [person("approved" if n < 40 else "refused", gender="m") for n in range(100)]
    assert audited(tmp_path, near).level == "warning"
    assert audited(tmp_path, near, max_difference=0.25, min_ratio=0.5).level == "note"
    assert audited(tmp_path, near, max_difference=0.15, min_ratio=0.5).level == "warning"
    assert audited(tmp_path, near, max_difference=0.25, min_ratio=0.7).level == "warning"
    few = near[::10]
    assert audited(tmp_path, few, min_group=5).level == "note"  # 6 of 10 and 4 of 10 may be chance
    small = audited(tmp_path, few, min_group=11)
    assert small.figures["columns"]["gender"]["labels"]["approved"]["difference"] is None
    assert "2 of 2 groups have fewer than 11 rows" in small.title


def test_without_a_favourable_label_every_label_is_compared(tmp_path):
    assert set(audited(tmp_path, LOANS).figures["columns"]["gender"]["labels"]) == {"approved", "refused"}
    chosen = audited(tmp_path, LOANS, favourable=("approved", "refused")).figures["columns"]["gender"]["labels"]
    assert chosen["approved or refused"]["difference"] == 0.0


def test_errors_of_the_baseline_are_compared_where_no_prediction_is_there(tmp_path):
    draw = random.Random(0)
    examples = []
    for n in range(300):
        label = ["good", "bad"][n % 2]
        clear = n % 3 > 0  # what f writes says its label, what m writes does not
        text = f"{label} {label} thing {n}" if clear else f"thing {draw.random()}"
        examples.append(person(label, text, gender="f" if clear else "m"))
    finding = audited(tmp_path, examples, baseline=True)
    errors = finding.figures["columns"]["gender"]["errors"]["errors of a cross-validated baseline on 300 rows"]
    assert errors["highest"] == "m"
    assert errors["rates"]["f"]["share"] < 0.1 < errors["rates"]["m"]["share"]
    assert finding.level == "warning"
    assert audited(tmp_path, examples, baseline=False).figures["columns"]["gender"]["errors"] == {}


def test_without_labels_groups_are_counted(tmp_path):
    finding = audited(tmp_path, [person(None, gender="f"), person(None)], baseline=True, min_group=1)
    found = finding.figures["columns"]["gender"]
    assert {name: group["rows"] for name, group in found["groups"].items()} == {"f": 1, NO_VALUE: 1}
    assert (found["labels"], found["errors"]) == ({}, {})


def test_values_of_any_kind_are_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(bias, "MANY_VALUES", 3)
    values = ["f", " f ", "", None, 3, True, ["x"], "زن", "more"]
    finding = audited(tmp_path, [person("a", gender=value) for value in values], min_group=1)
    groups = finding.figures["columns"]["gender"]["groups"]
    assert {name: group["rows"] for name, group in groups.items()} == {
        "f": 2, NO_VALUE: 3, "3": 1, "True": 1, OTHERS: 2,
    }  # fmt: skip


def test_no_audit_without_a_declared_column_and_a_missing_one_is_said(tmp_path):
    assert "No sensitive column is declared" in audited(tmp_path, LOANS, sensitive=(), baseline=True).title
    finding = audited(tmp_path, LOANS, sensitive=("gender", "gendre"))
    assert "no row has the column 'gendre'" in finding.title
    assert list(finding.figures["columns"]) == ["gender"]


def test_without_fairlearn_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(DataError, match=r"pip install 'holdfast\[govern\]'"):
        audited(tmp_path, LOANS)
