"""Annotation in: every line of every sheet is checked, agreement is measured, and a majority becomes the label."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from holdfast.data.example_json import example_id
from holdfast.data.making.cells import plain, safe
from holdfast.data.making.sheet_files import Line, read_csv, read_jsonl, write_csv, write_jsonl
from holdfast.data.making.sheets import Sheets, item_of, load_sheets
from holdfast.data.rejected import Rejected
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from holdfast.types import Example, JSONValue

NEEDED = ("id", "text", "label")
ADJUDICATION = "adjudication"
COMPARED = 400
"""So many characters of a text, spaces aside, must still be those that were written."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What annotators answered: `given` is item id -> annotator -> label.

    Every line of every sheet is in `given`, in `num_blank` (no label yet) or in `rejected` (with the reason). `missing`
    counts, for each annotator, the items of their sheet that no usable or blank line is there for.
    """

    given: Mapping[str, Mapping[str, str]]
    rejected: tuple[Rejected, ...]
    num_blank: int
    missing: Mapping[str, int]
    comments: tuple[tuple[str, str, str], ...]
    """(item id, annotator, comment), where there is one."""


@dataclass(frozen=True, slots=True)
class Gold:
    """Rows after annotation: each is in exactly one of `labelled`, `disputed` and `unanswered`."""

    labelled: list[Example]
    disputed: list[Example]
    unanswered: list[Example]


def read_sheets(rows: Sequence[Example], folder: Path) -> Answers:
    """Returns the answers in a folder that `write_sheets` made of `rows`.

    A line is rejected when its id is unknown or of another sheet, its label is not one of the labels, its text is not
    the text of its id (a sheet sorted by one column only), or its id stands there twice. Labels may differ in case and
    in spaces around them.

    Raises:
        DataError: the folder is no folder of sheets, its rows are others, or fewer than two sheets are there.
    """
    sheets = load_sheets(rows, folder)
    given: dict[str, dict[str, str]] = {}
    rejected: list[Rejected] = []
    missing: dict[str, int] = {}
    comments: list[tuple[str, str, str]] = []
    num_blank = num_files = 0
    for name, ids in sheets.assigned.items():
        path = folder / f"{name}.{sheets.format}"
        if not path.is_file():
            missing[name] = len(ids)
            continue
        num_files += 1
        usable, refused = _checked(sheets, _read(path, sheets.format), str(path), set(ids))
        rejected += refused
        missing[name] = len(ids) - len(usable)
        for key, (label, comment) in usable.items():
            if comment:
                comments.append((key, name, comment))
            if label is None:
                num_blank += 1
            else:
                given.setdefault(key, {})[name] = label
    if num_files < 2:
        raise DataError(
            f"{folder}: {num_files} of its {len(sheets.assigned)} sheets are there; at least two are needed."
        )
    return Answers(given, tuple(rejected), num_blank, missing, tuple(comments))


def gold(rows: Sequence[Example], answers: Answers, decided: Mapping[str, str] | None = None) -> Gold:
    """Returns the rows with the label that more than half of an item's annotators gave, if at least two answered.

    Items without such a label are `disputed` unless `decided` (item id -> label, from an adjudication) settles them.
    A decision also goes before a majority. `columns["annotation"]` has the votes and who decided.
    """
    decided = decided or {}
    done = Gold([], [], [])
    for row in rows:
        key = item_of(row).id
        votes = Counter(answers.given.get(key, {}).values())
        best, count = votes.most_common(1)[0] if votes else ("", 0)
        if key in decided:
            done.labelled.append(_with_label(row, decided[key], votes, ADJUDICATION))
        elif votes.total() < 2:
            done.unanswered.append(row)
        elif 2 * count > votes.total():
            done.labelled.append(_with_label(row, best, votes, "majority"))
        else:
            done.disputed.append(row)
    return done


@dataclass(frozen=True, slots=True)
class Decisions:
    """What an adjudication decided: item id -> label; `num_blank` items are not decided yet.

    `listed` are all items with a usable line, decided or not, and `comments` what was remarked on them.
    """

    decided: Mapping[str, str]
    rejected: tuple[Rejected, ...]
    num_blank: int
    listed: tuple[str, ...] = ()
    comments: Mapping[str, str] = field(default_factory=dict[str, str])


def adjudication_file(sheets: Sheets, folder: Path) -> Path:
    """Returns where the disputed items of a folder of sheets are decided."""
    return folder / f"{ADJUDICATION}.{sheets.format}"


def write_adjudication(
    rows: Sequence[Example], answers: Answers, folder: Path, decisions: Decisions | None = None
) -> Path:
    """Writes the disputed rows beside the sheets, with how often each label was given, but not by whom.

    Returns the file; it has a line for each item, whose label is to be filled in. An existing one is not replaced,
    unless what it holds is given as `decisions`: these and their comments are written again before the other lines.
    """
    sheets = load_sheets(rows, folder)
    path = adjudication_file(sheets, folder)
    if path.exists() and decisions is None:
        raise DataError(f"{path}: is there already and may hold decisions. Move it away first.")
    told = decisions or Decisions({}, (), 0)
    if told.rejected:
        raise DataError(f"{path}: {len(told.rejected)} of its lines cannot be used and would be lost. Correct them.")
    kept = [key for key in told.listed if key in told.decided or key in told.comments]
    disputed = [item_of(row).id for row in gold(rows, answers, told.decided).disputed]
    lines: list[dict[str, str]] = []
    for key in dict.fromkeys([*kept, *disputed]):
        item = sheets.items[key]
        votes = Counter(answers.given.get(key, {}).values())
        said = ", ".join(f"{label}: {count}" for label, count in sorted(votes.items()))
        shown = {"id": key, "text": item.text, "document": item.document, "answers": said}
        lines.append({**shown, "label": told.decided.get(key, ""), "comment": told.comments.get(key, "")})
    if sheets.format == "csv":
        columns = ("id", "text", "document", "answers", "label", "comment")
        write_csv(path, columns, [{name: safe(cell) for name, cell in line.items()} for line in lines])
    else:
        write_jsonl(path, lines)
    return path


def read_adjudication(rows: Sequence[Example], folder: Path) -> Decisions:
    """Returns the decisions in the adjudication file of a folder, checked like the lines of a sheet."""
    sheets = load_sheets(rows, folder)
    path = adjudication_file(sheets, folder)
    usable, rejected = _checked(sheets, _read(path, sheets.format), str(path), set(sheets.items))
    decided = {key: label for key, (label, _) in usable.items() if label is not None}
    comments = {key: comment for key, (_, comment) in usable.items() if comment}
    return Decisions(decided, tuple(rejected), len(usable) - len(decided), tuple(usable), comments)


def _read(path: Path, format: str) -> list[Line]:
    return read_csv(path, NEEDED) if format == "csv" else read_jsonl(path, NEEDED)


def _checked(
    sheets: Sheets, lines: list[Line], place: str, own: set[str]
) -> tuple[dict[str, tuple[str | None, str]], list[Rejected]]:
    """The label (None: blank) and comment of each item, and the lines that cannot be used."""
    read_label = _label_reader(sheets)
    written = plain if sheets.format == "csv" else str
    usable: dict[str, tuple[str | None, str]] = {}
    rejected: list[Rejected] = []
    places: dict[str, list[Line]] = {}
    for line in lines:
        key = line.cells.get("id", "").strip()
        label, fault = read_label(line.cells.get("label", ""))
        kind, reason = _fault(sheets, line, key, own, written)
        if not kind and fault:
            kind, reason = "label", fault
        if kind:
            rejected.append(Rejected(place, line.number, reason, line.raw, kind))
            continue
        places.setdefault(key, []).append(line)
        usable[key] = (label, written(line.cells.get("comment", "")).strip())
    for key, there in places.items():
        if len(there) > 1:
            del usable[key]
            numbers = " and ".join(str(line.number) for line in there)
            reason = f"the item {key} stands on lines {numbers}; keep one of them"
            rejected += [Rejected(place, line.number, reason, line.raw, "duplicate") for line in there]
    return usable, sorted(rejected, key=lambda row: row.line)


def _fault(sheets: Sheets, line: Line, key: str, own: set[str], written: Callable[[str], str]) -> tuple[str, str]:
    if line.fault:
        return "format", line.fault
    if key not in sheets.items:
        return "unknown_id", f"the id {key[:40]!r} is not one of the items"
    if key not in own:
        return "other_sheet", f"the item {key} belongs to another annotator's sheet"
    text = _beginning(sheets.items[key].text)
    # A text without letters ("007", "1/2") is a number or a date to a spreadsheet, which saves it in its own way.
    if any(sign.isalpha() for sign in text) and _beginning(written(line.cells.get("text", ""))) != text:
        return "text", f"the text is not that of {key}; were the rows sorted by one column only?"
    return "", ""


def _beginning(text: str) -> str:
    """What spreadsheets leave as it is: the beginning of a text without spaces and line breaks."""
    return "".join(text[: 10 * COMPARED].split())[:COMPARED]


def _label_reader(sheets: Sheets) -> Callable[[str], tuple[str | None, str]]:
    known = {label.strip().casefold(): label for label in sheets.labels}
    known |= {safe(label).strip().casefold(): label for label in sheets.labels}

    def read_label(cell: str) -> tuple[str | None, str]:
        key = cell.strip().casefold()
        if not key:
            return None, ""
        if key in known:
            return known[key], ""
        near = difflib.get_close_matches(key, list(known), n=1)
        hint = f"did you mean {known[near[0]]}?" if near else f"choose one of {', '.join(sheets.labels)}"
        return None, f"the label {cell.strip()[:40]!r} is not known; {hint}"

    return read_label


def _with_label(row: Example, label: str, votes: Counter[str], by: str) -> Example:
    counts: dict[str, JSONValue] = dict(sorted(votes.items()))
    note: dict[str, JSONValue] = {"votes": counts, "by": by}
    new = replace(row, label=label, columns={**row.columns, "annotation": note})
    return replace(new, id=example_id(new))
