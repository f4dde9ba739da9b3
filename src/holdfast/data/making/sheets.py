"""Blind annotation sheets: a file for each annotator, without labels and without anyone else's answers, out and in.

A folder of sheets holds `sheets.json` (which item is whose, the labels, the seed; no answers) and `annotator-1.csv`,
`annotator-2.csv`, … with the columns id, text, document, label and comment. An annotator fills in `label`. Every sheet
has its own order, so that tiredness does not fall on the same items for all.
"""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from holdfast.data.example_json import canonical, example_id
from holdfast.data.making.cells import safe
from holdfast.data.making.sheet_files import write_csv, write_jsonl
from holdfast.data.strict_json import dump
from holdfast.errors import DataError
from holdfast.seeds import derive_seed
from holdfast.settings import Count, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from holdfast.types import Example

COLUMNS = ("id", "text", "document", "label", "comment")
MANIFEST = "sheets.json"
_VERSION = 1


class SheetSettings(Settings):
    """How items are given to annotators."""

    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    """The labels to choose from."""
    annotators: Annotated[int, Field(ge=2)] = 3
    """How many people annotate."""
    overlap: Count | None = None
    """How many of them see each item; without, all of them. Agreement needs two, a majority three."""
    format: Literal["csv", "jsonl"] = "csv"
    """The files' format: csv for spreadsheets, jsonl for programs."""
    seed: int = 0
    """Draws who sees what, and the order of each sheet."""


@dataclass(frozen=True, slots=True)
class Item:
    """What an annotator sees of an example. `id` depends on it alone, never on a label."""

    id: str
    text: str
    document: str


@dataclass(frozen=True, slots=True)
class Sheets:
    """What was written: items by id, and the ids in the order of each annotator's sheet."""

    items: Mapping[str, Item]
    assigned: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    format: Literal["csv", "jsonl"] = "csv"


def item_of(example: Example) -> Item:
    """Returns what is shown of an example: its turns, and its document; never its label or its other columns.

    The id begins with a letter and holds none but letters after it, so that no spreadsheet reads it as a number.
    """
    text = "\n\n".join(_turn(example, number) for number in range(len(example.messages)))
    bare = replace(example, label=None, privileged_context=None)
    digest = hashlib.sha256(canonical(example_id(bare))).hexdigest()[:16]
    letters = digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    return Item(f"i-{letters}", text, example.document or "")


def write_sheets(rows: Sequence[Example], folder: Path, settings: SheetSettings) -> Sheets:
    """Writes a sheet for each annotator into `folder` and returns what is in them. Rows that look alike are one item.

    Raises:
        DataError: there is nothing to annotate, the settings contradict each other, or the folder holds files.
    """
    overlap = settings.annotators if settings.overlap is None else settings.overlap
    if overlap > settings.annotators:
        raise DataError(f"overlap is {overlap}, but there are {settings.annotators} annotators. Lower one of them.")
    _check_labels(settings.labels)
    items = {item.id: item for item in map(item_of, rows)}
    if not items:
        raise DataError("There is no row to annotate. Give at least one.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder, and sheets may hold answers. Choose another place.")
    names = [f"annotator-{number}" for number in range(1, settings.annotators + 1)]
    sheets = Sheets(items, _assigned(sorted(items), names, overlap, settings.seed), settings.labels, settings.format)
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids in sheets.assigned.items():
        lines = [_line(items[key]) for key in ids]
        if settings.format == "csv":
            write_csv(
                folder / f"{name}.csv", COLUMNS, [{key: safe(cell) for key, cell in line.items()} for line in lines]
            )
        else:
            write_jsonl(folder / f"{name}.jsonl", lines)
    (folder / MANIFEST).write_text(dump(_manifest(sheets)) + "\n", encoding="utf-8")
    return sheets


def load_sheets(rows: Sequence[Example], folder: Path) -> Sheets:
    """Returns what `write_sheets` wrote of `rows` into `folder`; raises `DataError` where the two do not match."""
    try:
        written = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        assigned = {str(name): tuple(map(str, ids)) for name, ids in written["assigned"].items()}
        labels, format = tuple(map(str, written["labels"])), written["format"]
        version = written["version"]
    except OSError as error:
        raise DataError(f"{folder}: has no {MANIFEST} ({error.strerror}). Give a folder of sheets.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{folder / MANIFEST}: is damaged ({error}). Write the sheets again.") from None
    if version != _VERSION or format not in ("csv", "jsonl"):
        raise DataError(f"{folder / MANIFEST}: was written by another version. Write the sheets again.")
    items = {item.id: item for item in map(item_of, rows)}
    missing = {key for ids in assigned.values() for key in ids} - set(items)
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of the items on its sheets are not among the {len(rows)} rows given. Give the "
            "rows that the sheets were made of."
        )
    return Sheets(items, assigned, labels, format)


def _turn(example: Example, number: int) -> str:
    message = example.messages[number]
    calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
    said = "\n".join([message.content, *calls] if message.content else calls)
    return said if len(example.messages) == 1 else f"[{message.role}] {said}"


def _line(item: Item) -> dict[str, str]:
    return {"id": item.id, "text": item.text, "document": item.document, "label": "", "comment": ""}


def _assigned(ids: list[str], names: list[str], overlap: int, seed: int) -> dict[str, tuple[str, ...]]:
    """Gives every item to `overlap` annotators, whose sheets differ by at most one item in length."""
    order = random.Random(derive_seed(seed, "annotation items")).sample(ids, len(ids))
    given: dict[str, list[str]] = {name: [] for name in names}
    for number, key in enumerate(order):
        for place in range(overlap):
            given[names[(number * overlap + place) % len(names)]].append(key)
    for index, (name, own) in enumerate(given.items()):
        random.Random(derive_seed(seed, "annotation order", index)).shuffle(own)
        given[name] = own
    return {name: tuple(own) for name, own in given.items()}


def _check_labels(labels: tuple[str, ...]) -> None:
    folded = [label.strip().casefold() for label in labels]
    if "" in folded:
        raise DataError("A label is empty. An empty cell means that an item is not annotated yet; name the label.")
    twice = [label for label, key in zip(labels, folded, strict=True) if folded.count(key) > 1]
    if twice:
        raise DataError(f"The labels {' and '.join(map(repr, twice))} differ in case or spaces only. Rename them.")


def _manifest(sheets: Sheets) -> dict[str, object]:
    assigned = {name: list(ids) for name, ids in sheets.assigned.items()}
    return {"version": _VERSION, "format": sheets.format, "labels": list(sheets.labels), "assigned": assigned}
