"""Labels from people: blind sheets are written, and when they are back, the rows get the labels of a majority.

sources -> rows -> a sheet for each annotator  ...  sheets -> agreement -> gold, adjudication list, undecided
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from holdfast.data.formats import UNREAD
from holdfast.data.making.agreement import agreement
from holdfast.data.making.annotation import (
    Decisions,
    adjudication_file,
    gold,
    read_adjudication,
    read_sheets,
    write_adjudication,
)
from holdfast.data.making.annotation_folder import ROWS, check_place, load_rows, row_json, write_folder
from holdfast.data.making.sheets import item_of, load_sheets
from holdfast.data.rejected import Rejected
from holdfast.data.sources.stream import stream
from holdfast.data.strict_json import dump
from holdfast.errors import DataError
from holdfast.jobs.annotation_words import agreement_words, sheet_words
from holdfast.jobs.folder import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from holdfast.data.making.agreement import Agreement
    from holdfast.data.making.annotation import Answers, Gold
    from holdfast.data.making.sheets import Sheets, SheetSettings
    from holdfast.types import Example, JSONValue

GOLD, UNDECIDED, NOT_USED = "gold.jsonl", "undecided.jsonl", "not_used.jsonl"
_SHOWN_REASONS = 3


@dataclass(frozen=True, slots=True)
class Annotated:
    """What `annotate` wrote: the sheets with their number of items, and how many rows stand behind them."""

    folder: Path
    sheets: Mapping[str, int]
    labels: Sequence[str]
    num_rows: int
    num_items: int
    num_rejected: int
    notes: Sequence[str]

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole as JSON."""
        return {**_jsonable(self), "folder": str(self.folder)}


@dataclass(frozen=True, slots=True)
class Collected:
    """What came back: agreement, every line that is not used, and what became of the rows.

    `num_rows` = `num_labelled` + `num_undecided`. `labels` counts the gold labels, `decided_by` who gave them.
    """

    folder: Path
    out: Path
    num_rows: int
    num_labelled: int
    num_undecided: int
    labels: Mapping[str, int]
    decided_by: Mapping[str, int]
    agreement: Agreement
    not_used: Sequence[Rejected]
    num_blank: int
    missing: Mapping[str, int]
    comments: Sequence[tuple[str, str, str]]
    """(item id, who, comment)."""
    adjudication: Path | None
    """The list of disputed items, where there is one; `num_disputed` rows are not decided yet."""
    num_disputed: int
    words: Sequence[str] = field(default_factory=tuple[str, ...])

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole as JSON."""
        place = None if self.adjudication is None else str(self.adjudication)
        files: dict[str, JSONValue] = {"folder": str(self.folder), "out": str(self.out), "adjudication": place}
        return {**_jsonable(self), **files}


def annotate(
    sources: Sequence[str], folder: Path, settings: SheetSettings, *, columns: Mapping[str, str] | None = None
) -> Annotated:
    """Reads rows, which may be without labels and answers, and writes a blind sheet for each annotator.

    Raises:
        DataError: nothing can be read, the settings contradict each other, or the folder holds files.
    """
    check_place(folder)
    notes: list[str] = []
    rows: list[Example] = []
    rejected: list[Rejected] = []
    keep = frozenset({UNREAD})
    for item in stream(sources, seed=settings.seed, columns=columns, keep=keep, unlabelled=True, notes=notes):
        if isinstance(item, Rejected):
            rejected.append(item)
        else:
            rows.append(item)
    if not rows:
        raise DataError(_nothing_usable(sources, rejected, notes), param="sources")
    sheets = write_folder(rows, rejected, folder, settings)
    written = {f"{name}.{sheets.format}": len(ids) for name, ids in sheets.assigned.items()}
    return Annotated(folder, written, sheets.labels, len(rows), len(sheets.items), len(rejected), notes)


def collect(folder: Path, *, out: Path | None = None) -> Collected:
    """Reads the sheets of a folder, and its adjudication list if one is there, and writes what they say.

    The rows with a label go to `out`, all others with the reason to `undecided.jsonl`, the lines of sheets that are
    not used to `not_used.jsonl`. What was collected before is replaced, each file at once.

    Raises:
        DataError: the folder is none of sheets, a sheet cannot be read, fewer than two are there, or `out` is another
            file than an earlier outcome.
    """
    out = folder / GOLD if out is None else out
    rows = load_rows(folder)
    _check_out(out)
    sheets = load_sheets(rows, folder)
    answers = read_sheets(rows, folder)
    path = adjudication_file(sheets, folder)
    decisions = read_adjudication(rows, folder) if path.exists() else Decisions({}, (), 0)
    done = gold(rows, answers, decisions.decided)
    measured = agreement(answers.given)
    words = [*agreement_words(measured), *sheet_words(folder, sheets, answers.missing, _own_files(folder, sheets, out))]
    words += _renew_adjudication(rows, answers, decisions, done, folder, path)
    not_used = [*answers.rejected, *decisions.rejected]
    without = {item_of(row).id for row in (*done.disputed, *done.unanswered)}
    reasons = [(row, _reason(row, answers)) for row in rows if item_of(row).id in without]
    _write(folder / NOT_USED, (asdict(line) for line in not_used))
    _write(folder / UNDECIDED, ({**row_json(row), "undecided": reason} for row, reason in reasons))
    _write(out, (row_json(row) for row in done.labelled))
    adjudicated = [(key, path.stem, comment) for key, comment in decisions.comments.items()]
    return Collected(
        folder=folder,
        out=out,
        num_rows=len(rows),
        num_labelled=len(done.labelled),
        num_undecided=len(reasons),
        labels=dict(Counter(row.label or "" for row in done.labelled).most_common()),
        decided_by=dict(Counter(_decided_by(row) for row in done.labelled).most_common()),
        agreement=measured,
        not_used=not_used,
        num_blank=answers.num_blank,
        missing=answers.missing,
        comments=[*answers.comments, *adjudicated],
        adjudication=path if path.exists() else None,
        num_disputed=len(done.disputed),
        words=words,
    )


def _nothing_usable(sources: Sequence[str], rejected: Sequence[Rejected], notes: Sequence[str]) -> str:
    place = ", ".join(sources)
    if not rejected:
        return f"{place}: there is no row to annotate. {' '.join(f'{note}.' for note in notes)}".rstrip()
    first = "; ".join(f"{row.source}:{row.line}: {row.reason}" for row in rejected[:_SHOWN_REASONS])
    more = f"; and {len(rejected) - _SHOWN_REASONS} more" if len(rejected) > _SHOWN_REASONS else ""
    return f"{place}: none of {len(rejected)} rows can be annotated, and nothing was written. {first}{more}"


def _renew_adjudication(
    rows: Sequence[Example], answers: Answers, decisions: Decisions, done: Gold, folder: Path, path: Path
) -> list[str]:
    """Writes the list where an item is disputed that it does not have; returns what there is to say."""
    new = {item_of(row).id for row in done.disputed} - set(decisions.listed)
    if not new:
        return []
    if decisions.rejected:
        return [
            f"{path} has lines that cannot be used (above), so the {len(new)} items that it lacks were not added. "
            "Correct the lines and collect again."
        ]
    write_adjudication(rows, answers, folder, decisions)
    return []


def _reason(row: Example, answers: Answers) -> str:
    votes = Counter(answers.given.get(item_of(row).id, {}).values())
    said = ", ".join(f"{label}: {count}" for label, count in votes.most_common())
    if not votes:
        return "nobody gave a label"
    if votes.total() == 1:
        return f"only one annotator gave a label ({said}); two are needed"
    return f"no label has more than half of the answers ({said})"


def _decided_by(row: Example) -> str:
    note = row.columns["annotation"]
    return str(note["by"]) if isinstance(note, dict) else ""


def _check_out(out: Path) -> None:
    """Raises `DataError` where `out` is a file that `collect` did not write: it would be lost."""
    if out.is_dir():
        raise DataError(f"{out}: is a folder. Give the name of a file.", param="out")
    if not out.exists():
        return
    with out.open("rb") as file:
        first = file.readline()
    try:
        row = json.loads(first) if first else {"annotation": None}
    except ValueError:
        row = None
    if not isinstance(row, dict) or "annotation" not in row:
        raise DataError(f"{out}: is there already, and holds no labels collected before. Choose another.", param="out")


def _own_files(folder: Path, sheets: Sheets, out: Path) -> set[str]:
    names = {"sheets.json", ROWS, "rejected.jsonl", GOLD, UNDECIDED, NOT_USED, adjudication_file(sheets, folder).name}
    names |= {f"{name}.{sheets.format}" for name in sheets.assigned}
    return names | ({out.name} if out.resolve().parent == folder.resolve() else set())


def _write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    write_atomically(path, "".join(dump(row) + "\n" for row in rows))


def _jsonable(found: Annotated | Collected) -> dict[str, JSONValue]:
    return json.loads(json.dumps(asdict(found), default=str))
