"""What people see of a preparation: numbered findings with their remedies, and versions of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Column, Table
from rich.text import Text

from holdfast.cli.tables import screen
from holdfast.data.output.rendering import number_of
from holdfast.data.output.version import NAME_LENGTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Finding, Shown
    from holdfast.data.output.difference import Difference, SettingChange
    from holdfast.data.output.version import DataVersion
    from holdfast.data.output.write import Written
    from holdfast.jobs.prepare import PrepareResult

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}
_SHOWN = 3


def ask(number: int, finding: Finding) -> bool:
    """Shows a finding with its remedy on stderr and returns whether a person wants it; the answer is yes by default."""
    out = screen(stderr=True)
    out.print(_title(number, finding), soft_wrap=True)
    for one in finding.shown[:_SHOWN]:
        for line in _lines(one):
            out.print(line, soft_wrap=True)
    return typer.confirm(f"   Proposed: {finding.remedy}. Do it?", default=True, err=True)


def show_prepared(found: PrepareResult, *, asked: bool) -> None:
    """Writes what was found and done, what became of the rows, and where the version lies."""
    out = screen()
    for number, outcome in enumerate(found.outcomes, start=1):
        out.print(_title(number, outcome.finding), soft_wrap=True)
        if not asked:
            for one in outcome.finding.shown[:_SHOWN] if outcome.finding.level != "ok" else ():
                for line in _lines(one):
                    out.print(line, soft_wrap=True)
        if outcome.finding.remedy is not None:
            done = f"{number_of(outcome.num_changed, 'row')} changed, {outcome.num_dropped:,} dropped"
            said = f"done: {done}" if outcome.applied else "not done"
            out.print(f"   {outcome.finding.remedy}: {said}", markup=False, soft_wrap=True)
    for note in found.notes:
        out.print(note, markup=False, soft_wrap=True)
    show_version(found.version)
    if said := _said_of(found.written):
        out.print(said, markup=False, soft_wrap=True)
    out.print(f"Report: {found.version.folder / 'report.html'}", markup=False, soft_wrap=True)
    command = f"holdfast learn {found.version.folder} --skill {found.version.skill}"
    out.print(f"Teach it: {command}", markup=False, soft_wrap=True)


def _said_of(written: Written) -> str:
    """Says what became of a version that was there already; "" where none was."""
    folder = written.version.folder
    if written.state == "same":
        return "The very same version was there already, with the same report and ledgers. Nothing was written."
    if written.state == "restored":
        return f"{folder}: what lay there was damaged, and was replaced by this preparation."
    if written.first is None:
        return ""
    return (
        f"The same rows, made by the same decisions, were there already: {written.first.folder} is left as it is. Its "
        f"sources, ledgers or documents say something else than this preparation's, which are kept beside it: {folder}"
    )


def show_versions(found: Sequence[DataVersion]) -> None:
    """Writes a line for each version, the oldest first."""
    out = screen()
    if not found:
        out.print("No data is prepared yet: holdfast prepare SOURCE --skill NAME", markup=False)
        return
    table = Table(Column("version", no_wrap=True), "skill", "made", "training", "test", "read", "changed", "rejected")
    for version in found:
        parts = [f"{version.parts[name].num_rows:,}" if name in version.parts else "-" for name in ("train", "test")]
        counts = version.counts
        table.add_row(
            version.folder.name, version.skill, version.created_at[:16].replace("T", " "), *parts,
            f"{counts.read:,}", f"{counts.changed:,}", f"{counts.num_rejected:,}",
        )  # fmt: skip
    out.print(table)


def show_version(version: DataVersion) -> None:
    """Writes the numbers that add up, the parts and the sources of a version."""
    out = screen()
    counts = version.counts
    out.print(Text(f"{version.skill}, version {version.hash[:NAME_LENGTH]}", style="bold"))
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in counts.rejected.items())
    made = f" + {counts.made:,} made" if counts.made else ""
    out.print(
        f"{number_of(counts.read, 'row')} read{made} = {counts.unchanged:,} kept as they were + "
        f"{counts.changed:,} changed + {counts.num_rejected:,} rejected{f' ({kinds})' if kinds else ''}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    if counts.documents:
        lost = ", ".join(f"{kind} {count:,}" for kind, count in counts.lost_documents.items())
        said = f"; gave nothing: {lost}" if lost else ""
        out.print(f"{number_of(counts.documents, 'document')}{said}", markup=False, soft_wrap=True)
    for name, part in version.parts.items():
        labels = ", ".join(f"{label} {count:,}" for label, count in list(part.labels.items())[:8])
        out.print(
            f"  {name}: {number_of(part.num_rows, 'row')}{f' ({labels})' if labels else ''}",
            markup=False,
            soft_wrap=True,
        )
    for source in version.sources:
        digest = f", sha256 {source.sha256[:12]}" if source.sha256 else ""
        given = [number_of(source.num_rows, "row")] if source.num_rows or not source.num_made else []
        given += [f"{number_of(source.num_made, 'row')} made"] if source.num_made else []
        out.print(f"  from {source.path}: {', '.join(given)}{digest}", markup=False, soft_wrap=True)


def show_difference(found: Difference) -> None:
    """Writes how many rows two versions do not share, some of them, and the shifts of labels."""
    out = screen()
    out.print(
        f"{number_of(found.num_same, 'row')} in both, {found.num_added:,} added, {found.num_removed:,} removed, "
        f"{found.num_changed:,} changed, {found.num_moved:,} in another part", markup=False, soft_wrap=True,
    )  # fmt: skip
    for kind, counts in (("rows of", found.parts), ("label", found.labels)):
        for name, (before, after) in counts.items():
            if before != after:
                out.print(f"  {kind} {name}: {before:,} to {after:,}", markup=False, soft_wrap=True)
    for shift in found.shifts:
        out.print(
            f"  label {shift.before or '(none)'} became {shift.after or '(none)'}: {number_of(shift.num_rows, 'row')}",
            markup=False, soft_wrap=True,
        )  # fmt: skip
    for line in setting_lines(found.settings):
        out.print(f"  plan, {line}", markup=False, soft_wrap=True)
    for row in found.shown:
        out.print(Text(f"{row.kind} ({row.part}, {row.source})", style="bold"), soft_wrap=True)
        for sign, text, style in (("-", row.before, "red"), ("+", row.after, "green")):
            if text:
                out.print(Text(f"  {sign} {_one_line(text)}", style=style), soft_wrap=True)


def setting_lines(settings: Sequence[SettingChange]) -> list[str]:
    """Returns a line for each setting that differs, and one for a whole check that changed no row of one version."""
    absent: dict[str, str] = {}
    for one in settings:
        check = one.name.removesuffix(".enabled")
        if check != one.name and check.startswith("checks.") and "" in (one.before, one.after):
            words = ["had an effect" if value else "had no effect" for value in (one.before, one.after)]
            absent[check] = f"{check}: {words[0]} in the first version, {words[1]} in the second"
    lines: dict[str, None] = {}
    for one in settings:
        check = ".".join(one.name.split(".")[:2])
        lines[absent.get(check) or f"{one.name}: {one.before or '-'} to {one.after or '-'}"] = None
    return list(lines)


def _title(number: int, finding: Finding) -> Text:
    text = Text(f"{number:2d}. ", style="bold")
    text.append(f"{finding.check}: ", style=STYLES[finding.level])
    text.append(finding.title)
    return text


def _lines(one: Shown) -> list[Text]:
    """Returns a row as a person reads it, on one line before and one after."""
    found = [Text.assemble(("      ", ""), (one.source or "", "dim"), " ", _one_line(one.before))]
    if one.after:
        found.append(Text.assemble(("      ", ""), ("becomes ", "dim"), _one_line(one.after)))
    if one.note:
        found.append(Text.assemble(("      ", ""), (_one_line(one.note), "dim")))
    return found


def _one_line(text: str) -> str:
    return " ⏎ ".join(part for part in text.splitlines() if part.strip())
