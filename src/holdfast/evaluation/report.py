"""The report of a run: one HTML file that needs nothing else, for people to read, print and keep."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from holdfast.evaluation.drawing import bound_bar, heat_map, line_chart
from holdfast.evaluation.pages import template
from holdfast.evaluation.verdict import Finding, Verdict
from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a table: what, how much, and a remark."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a table: what, before and after."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class MatrixPicture:
    """One accuracy matrix to draw; `marked` is the version that the report is about."""

    versions: Sequence[str]
    skills: Sequence[str]
    values: Sequence[Sequence[float | None]]
    items: Sequence[Sequence[int]] | None = None
    marked: str | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity over the steps of training, such as the loss in nats per token.

    What is not `noisy` is drawn as it is, without a running mean.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    remark: str = ""
    noisy: bool = True


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out item with the answers of both versions; `passed` None: not graded."""

    skill: str
    prompt: str
    expected: str
    before: str
    after: str
    before_passed: bool | None
    after_passed: bool | None


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report shows. Parts left empty are left out of the page."""

    title: str
    summary: str
    created_at: str
    verdict: Verdict | None = None
    matrices: Sequence[MatrixPicture] = ()
    curves: Sequence[Curve] = ()
    reflections: Sequence[Change] = ()
    samples: Sequence[Sample] = ()
    warnings: Sequence[str] = ()
    remedies: Sequence[str] = ()
    data: Sequence[Fact] = ()
    rejected: Sequence[Fact] = ()
    reminders: Sequence[Fact] = ()
    reminder_examples: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    settings: Mapping[str, JSONValue] = field(default_factory=dict[str, JSONValue])


def write_report(path: Path, data: ReportData) -> None:
    """Writes the report to `path` as one self-contained HTML file; the file is there whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("w", encoding="utf-8") as writer:
        writer.write(render_report(data))
        writer.flush()
        os.fsync(writer.fileno())
    os.replace(beside, path)


def render_report(data: ReportData) -> str:
    """Returns the report as HTML text."""
    # Autoescape covers all text; the pictures are Markup whose text was escaped where it was drawn.
    findings = list(data.verdict.per_skill.values()) if data.verdict else []
    return template("report.html").render(
        report=data,
        pictures=[(matrix.title, _matrix(matrix)) for matrix in data.matrices if matrix.versions and matrix.skills],
        curves=[
            (curve, line_chart(curve.steps, curve.values, name=curve.name, noisy=curve.noisy)) for curve in data.curves
        ],
        findings=[(finding, _bar(finding, findings)) for finding in findings],
        settings=flatten(data.settings),
    )


def flatten(settings: Mapping[str, JSONValue], prefix: str = "") -> list[tuple[str, str]]:
    """Returns nested settings as lines with dotted names.

    >>> flatten({"adapter": {"rank": 16}, "seed": 0})
    [('adapter.rank', '16'), ('seed', '0')]
    """
    lines: list[tuple[str, str]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            lines += flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            lines.append((prefix + name, ", ".join(str(entry) for entry in value)))
        else:
            lines.append((prefix + name, str(value)))
    return lines


def _matrix(matrix: MatrixPicture) -> Markup:
    return heat_map(matrix.versions, matrix.skills, matrix.values, matrix.items, marked=matrix.marked)


def _bar(finding: Finding, findings: Sequence[Finding]) -> Markup:
    """Draws skills of the same role on the same scale: a new skill moves far more than the margin of an earlier one."""
    same = [other for other in findings if other.role == finding.role]
    span = 1.1 * max(max(abs(other.lower), abs(other.upper), abs(other.threshold)) for other in same)
    return bound_bar(
        finding.lower, finding.upper, finding.difference, finding.threshold, span=span, decision=finding.decision
    )
