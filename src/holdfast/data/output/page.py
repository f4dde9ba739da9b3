"""The report of a preparation: one HTML file that needs nothing else, for people to read, print, sign and keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from holdfast.data.output.datasheet import made_by
from holdfast.data.output.differing import marked
from holdfast.data.output.figures import Picture, pictures
from holdfast.data.output.personal import where_it_stands
from holdfast.data.output.pictures import whole
from holdfast.data.output.rendering import cut, flatten, html_environment, number_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.data.check import Shown
    from holdfast.data.output.prepared import Outcome, PreparedData, Source
    from holdfast.data.output.version import DataVersion, FileHash

# Together these keep the page below a megabyte even where each character takes five bytes.
_TEXT_LENGTH, _ROW_LENGTH, _SHOWN_BYTES = 260, 320, 150_000
_MOST_SHOWN, _MOST_FINDINGS, _MOST_SOURCES, _MOST_SETTINGS = 5, 100, 100, 150
_TONES = {"problem": "bad", "warning": "fair", "note": "", "ok": "good"}


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    before: Markup
    after: Markup


@dataclass(frozen=True, slots=True)
class _Found:
    number: int
    title: str
    level: str
    tone: str
    remedy: str
    applied: bool
    done: str
    shown: Sequence[_Row]
    more_shown: int


@dataclass(frozen=True, slots=True)
class _Page:
    title: str
    summary: str
    whole: Markup
    parts: str
    personal: str
    left: Sequence[int]
    titles: Mapping[int, str]
    more_findings: int
    pictures: Sequence[Picture]
    findings: Sequence[_Found]
    quiet: Sequence[_Found]
    sources: Sequence[Source]
    more_sources: int
    files: Sequence[tuple[str, FileHash]]
    plan: Sequence[tuple[str, str]]
    more_plan: int
    made: str


def report_page(data: PreparedData, version: DataVersion) -> str:
    """Returns the report as HTML text, well below a megabyte whatever the size of the data."""
    counts = data.counts
    found = _all_found(data.outcomes)
    quiet = {number for number, outcome in enumerate(data.outcomes, start=1) if _is_quiet(outcome)}
    plan = flatten(data.plan)
    page = _Page(
        title=f"{cut(data.name, 120)}: data version {version.hash[:12]}",
        summary=_summary(data, version),
        whole=whole(
            (counts.unchanged, counts.changed, counts.num_rejected),
            name=f"{counts.unchanged:,} kept, {counts.changed:,} changed, {counts.num_rejected:,} rejected",
            styles=("s1", "s2", "s4"),
        ),
        parts=_parts(data, version),
        personal=where_it_stands(data),
        left=[number for number, outcome in enumerate(data.outcomes, start=1) if _is_left(outcome)],
        titles={each.number: each.title for each in found},
        more_findings=max(0, len(data.outcomes) - _MOST_FINDINGS),
        pictures=pictures(data, version),
        findings=[each for each in found if each.number not in quiet],
        quiet=[each for each in found if each.number in quiet],
        sources=version.sources[:_MOST_SOURCES],
        more_sources=max(0, len(version.sources) - _MOST_SOURCES),
        files=_files(version.files),
        plan=plan[:_MOST_SETTINGS],
        more_plan=max(0, len(plan) - _MOST_SETTINGS),
        made=version.created_at[:16].replace("T", " ") + " UTC",
    )
    return html_environment().get_template("report.html").render(page=page, counts=counts, version=version)


def _summary(data: PreparedData, version: DataVersion) -> str:
    num_rows = sum(part.num_rows for part in version.parts.values())
    about = f"{cut(data.about.description, 300)} " if data.about.description else ""
    return (
        f"{about}{number_of(num_rows, 'row')} from {number_of(len(version.sources), 'source')}, prepared on "
        f"{version.created_at[:10]} with seed {data.seed}."
    )


def _parts(data: PreparedData, version: DataVersion) -> str:
    sizes = ", ".join(f"{number_of(part.num_rows, 'row')} for {name}" for name, part in version.parts.items())
    num_made = data.counts.made
    made = f" {number_of(num_made, 'row')} made, not read: {made_by(data)}." if num_made else ""
    documents = data.counts.documents
    lost = sum(data.counts.lost_documents.values())
    lost_said = f" {lost:,} of {number_of(documents, 'document')} gave nothing." if lost else ""
    told = sum(outcome.num_changed for outcome in data.outcomes)
    other = (
        f" The findings tell of {number_of(told, 'change')} and this sum of "
        f"{number_of(data.counts.changed, 'changed row')}: a row that several checks changed is one row, and one "
        "that was changed and then rejected counts as rejected."
    )
    explained = other if told != data.counts.changed else ""
    return (
        f"Written: {sizes}.{made}{lost_said}{explained} Every changed row is in changed.jsonl, before and "
        "after; every rejected row is in rejected.jsonl with its reason."
    )


def _is_left(outcome: Outcome) -> bool:
    """What a reader must know before signing: a problem or warning whose remedy was not done, or that has none."""
    return outcome.finding.level in ("problem", "warning") and not outcome.applied


def _is_quiet(outcome: Outcome) -> bool:
    return outcome.finding.level == "ok" and not outcome.applied and not outcome.finding.shown


def _all_found(outcomes: Sequence[Outcome]) -> list[_Found]:
    """The findings as the page shows them, with rows until they have their share of the page."""
    found: list[_Found] = []
    num_bytes = 0
    for number, outcome in enumerate(outcomes[:_MOST_FINDINGS], start=1):
        rows: list[_Row] = []
        for shown in outcome.finding.shown[:_MOST_SHOWN]:
            row = _row(shown)
            num_bytes += sum(len(text.encode()) for text in (row.place, row.before, row.after))
            if num_bytes > _SHOWN_BYTES:
                break
            rows.append(row)
        found.append(_found(number, outcome, rows))
    return found


def _found(number: int, outcome: Outcome, rows: Sequence[_Row]) -> _Found:
    finding = outcome.finding
    return _Found(
        number=number,
        title=cut(finding.title, _TEXT_LENGTH),
        level=finding.level,
        tone=_TONES[finding.level],
        remedy=f"Remedy: {cut(finding.remedy, _TEXT_LENGTH)}" if finding.remedy else "",
        applied=outcome.applied,
        done=_done(outcome),
        shown=rows,
        more_shown=len(finding.shown) - len(rows),
    )


def _done(outcome: Outcome) -> str:
    if outcome.finding.remedy is None:
        return "for people to decide" if outcome.finding.level in ("problem", "warning") else ""
    if not outcome.applied:
        return "not done"
    numbers = {"changed": outcome.num_changed, "dropped": outcome.num_dropped}
    done = ", ".join(f"{number:,} {what}" for what, number in numbers.items() if number)
    return f"done: {done or 'no row was other for it'}"


def _row(row: Shown) -> _Row:
    place = f"{cut(row.source, 160)}{' · ' if row.source and row.note else ''}{cut(row.note, _TEXT_LENGTH)}"
    before, after = marked(cut(row.before, _ROW_LENGTH), cut(row.after, _ROW_LENGTH))
    return _Row(place, before, after)


def _files(files: Mapping[str, FileHash]) -> list[tuple[str, FileHash]]:
    """The data first: the documents were not yet written when the page was."""
    return sorted(files.items(), key=lambda item: (not item[0].endswith(".parquet"), item[0]))
