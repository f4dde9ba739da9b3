"""The report is one file, says everything it was given, and cannot be broken by what a model wrote."""

import re
import xml.etree.ElementTree as ET

import pytest

from holdfast.evaluation.drawing import bound_bar, heat_map, line_chart
from holdfast.evaluation.gate import Pair, decide
from holdfast.evaluation.report import (
    Curve,
    Fact,
    MatrixPicture,
    ReportData,
    Sample,
    flatten,
    render_report,
    write_report,
)

EVIL = '<script>alert("1")</script> & <b>'


@pytest.fixture
def data():
    verdict = decide({"add": Pair([1.0] * 150, [1.0] * 150)}, {"routing": Pair([0.0] * 30, [1.0] * 28 + [0.0] * 2)})
    return ReportData(
        title="routing: version v2",
        summary="Taught on 60 examples.",
        created_at="2030-01-01 00:00 UTC",
        verdict=verdict,
        matrices=[MatrixPicture(["v1", "v2"], ["add", "routing"], [[1.0, None], [0.98, 0.9333]], marked="v2")],
        curves=[Curve("Loss", list(range(100)), [2.0 / (1 + s) for s in range(100)])],
        samples=[Sample("routing", EVIL, "billing", EVIL, "billing", before_passed=None, after_passed=True)],
        warnings=["only 3 prompts cover add"],
        remedies=["an earlier checkpoint was tried"],
        data=[Fact("Read", "62 rows", "messages")],
        rejected=[Fact("Exact duplicate", "2")],
        reminders=[Fact("Self-written", "1,774")],
        reminder_examples=["add 3 and 9"],
        facts=[Fact("Time", "41 s")],
        settings={"base": "holdfast:tiny", "adapter": {"rank": 16, "targets": ["q", "v"]}},
    )


def test_the_report_says_everything_it_was_given(data):
    page = render_report(data)
    for text in (
        "Accepted: routing learned; add kept.",
        "98.0",
        "93.3",
        "-2.0",
        "only 3 prompts",
        "earlier checkpoint",
    ):
        assert text in page
    for text in ("62 rows", "Exact duplicate", "1,774", "add 3 and 9", "41 s", "adapter.rank", "q, v", "not graded"):
        assert text in page
    for finding in data.verdict.per_skill.values():
        assert finding.words in page.replace("&gt;", ">").replace("&#39;", "'")


def test_the_report_needs_nothing_from_anywhere_else(data):
    page = render_report(data)
    assert not re.search(r"""(src|href)=|url\(|@import|<script|<link""", page)


def test_what_a_model_wrote_is_shown_and_never_run(data):
    page = render_report(data)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_empty_parts_are_left_out():
    page = render_report(ReportData("empty", "nothing yet", "2030-01-01"))
    for heading in ("gate", "Training", "Answers", "The data", "Reminders", "Settings", "Warnings"):
        assert f">{heading}" not in page


def test_a_report_replaces_the_old_one_and_leaves_nothing_beside_it(data, tmp_path):
    path = tmp_path / "deep" / "report.html"
    write_report(path, data)
    write_report(path, data)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "picture",
    [
        heat_map(["v1", EVIL], ["a", EVIL], [[1.0, None], [0.0, 0.5]], [[150, 0], [150, 20]], marked=EVIL),
        heat_map([], [], []),
        line_chart([0, 1, 2], [1.0, float("nan"), 0.5], name=EVIL),
        line_chart([], [], name="none"),
        line_chart([5], [0.0], name="one"),
        line_chart(list(range(5000)), [float(s) for s in range(5000)], name="long"),
        line_chart([0, 1], [-3.0, -1.0], name="below zero"),
        bound_bar(-0.02, 0.01, -0.005, -0.02, span=0.02, decision="accept"),
    ],
)
def test_every_picture_is_well_formed_whatever_stands_in_it(picture):
    assert ET.fromstring(str(picture)).tag == "svg"


def test_a_cell_shows_the_change_since_the_last_version_that_was_measured():
    picture = str(heat_map(["v1", "v2", "v3"], ["a"], [[0.5], [None], [0.75]]))
    assert ">75.0" in picture
    assert ">+25.0" in picture


def test_a_curve_without_noise_is_drawn_through_its_values():
    values = [1.0 if step == 20 else 0.0 for step in range(41)]
    noisy, exact = (str(line_chart(list(range(41)), values, name="x", noisy=noisy)) for noisy in (True, False))
    assert noisy.count("<polyline") == 2
    thin = noisy[noisy.index("<polyline") :].split("/>")[0]
    assert exact.count("<polyline") == 1
    assert exact[exact.index("<polyline") :].split("/>")[0] == thin.replace('"raw"', '"curve"')


def test_a_long_run_is_drawn_with_few_points():
    assert len(str(line_chart(list(range(100_000)), [1.0] * 100_000, name="x"))) < 40_000


def test_settings_are_flattened_with_dotted_names():
    assert flatten({"a": {"b": {"c": 1}}, "d": [1, 2], "e": None}) == [("a.b.c", "1"), ("d", "1, 2"), ("e", "None")]
