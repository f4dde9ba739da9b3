"""Clusters of duplicates for people: a file to read and mark, and the marks read back.

Each line is one row: its `cluster`, whether it is kept (`keep`), its number `row`, how alike it is to the row that is
kept in its place, where it came from, its content `id`, and its texts. To decide otherwise, change `keep`: several rows
of a cluster may be kept, but not none. A row that is not in the file is kept.
"""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from holdfast.data.dedup.columns import TextColumn
from holdfast.data.dedup.compared import compared
from holdfast.data.example_json import example_id
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO

    from holdfast.types import Example

COLUMNS = ("cluster", "keep", "row", "similarity", "source", "id", "label", "prompt", "answer")
SHOWN_LENGTH = 2000
"""So many characters of a text are in the file."""
_YES, _NO = {"true", "yes", "y", "1", "x", "keep"}, {"false", "no", "n", "0", "", "drop"}


class Numbered(Protocol):
    """An example with its number in reading order."""

    @property
    def number(self) -> int: ...  # noqa: D102

    @property
    def example(self) -> Example: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Cluster:
    """The number of the row that is kept, those of the rows it stands for, and how alike to it each of them is."""

    kept: int
    dropped: tuple[int, ...]
    similarities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided: for every row in the file whether it is kept, its cluster, and the id it had."""

    path: str
    keep: Mapping[int, bool]
    cluster: Mapping[int, str]
    ids: Mapping[int, str]

    def keeps(self, number: int, example: Example) -> bool:
        """Whether a row is kept; raises DataError when the file was written for another row of that number."""
        if number not in self.keep:
            return True
        if self.ids[number] and self.ids[number] != example_id(example):
            raise DataError(
                f"{self.path}: row {number} is {self.ids[number]} in the file, but {example_id(example)} here "
                f"({example.source}). The file was written for other data or for other steps before this one; "
                "write it again and mark it anew.",
                param="review",
            )
        return self.keep[number]


def write_clusters(path: Path, clusters: Iterable[Cluster], rows: Iterable[Numbered]) -> int:
    """Writes every row of every cluster, cluster by cluster with the kept row first; returns how many lines it wrote.

    `rows` are gone through once, in any order. The file is JSONL, or CSV if `path` ends with .csv.
    """
    listed = list(clusters)
    wanted = np.sort(np.array([n for c in listed for n in (c.kept, *c.dropped)], dtype=np.int64))
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        texts = TextColumn(Path(folder), "rows")
        place = np.full(len(wanted), -1, dtype=np.int64)
        for row in rows:
            at = int(np.searchsorted(wanted, row.number))
            if at < len(wanted) and wanted[at] == row.number:
                place[at] = len(texts)
                texts.append([json.dumps(_shown(row.example), ensure_ascii=False)])

        def lines() -> Iterator[dict[str, object]]:
            for name, cluster in enumerate(listed, 1):
                members = [(cluster.kept, 1.0), *zip(cluster.dropped, cluster.similarities, strict=True)]
                for number, similarity in members:
                    at = int(place[np.searchsorted(wanted, number)])
                    seen = {} if at < 0 else json.loads(texts.read([at])[0])
                    line = {"cluster": name, "keep": number == cluster.kept, "row": number}
                    yield {**line, "similarity": round(similarity, 4), **seen}

        with path.open("w", encoding="utf-8", newline="") as file:
            return _write_csv(file, lines()) if path.suffix == ".csv" else _write_jsonl(file, lines())


def read_review(path: Path) -> Review:
    """Returns the marks in a file that `write_clusters` wrote; raises DataError that names the line that is wrong."""
    keep: dict[int, bool] = {}
    cluster: dict[int, str] = {}
    ids: dict[int, str] = {}
    for place, line in _lines(path):
        try:
            number, name, mark = int(str(line["row"])), str(line["cluster"]), str(line["keep"]).strip().casefold()
        except (KeyError, ValueError) as error:
            raise DataError(
                f"{place}: {error} is missing or no number. Every line needs row, cluster and keep.", param="review"
            ) from None
        if mark not in _YES | _NO:
            raise DataError(f"{place}: keep is {mark!r}; write true or false.", param="review")
        if number in keep:
            raise DataError(f"{place}: row {number} is there twice; leave one of the lines.", param="review")
        keep[number], cluster[number], ids[number] = mark in _YES, name, str(line.get("id") or "")
    alive = {cluster[number] for number, kept in keep.items() if kept}
    empty = sorted(set(cluster.values()) - alive)
    if empty:
        raise DataError(
            f"{path}: nothing is kept of cluster {', '.join(empty[:5])}{' and others' if len(empty) > 5 else ''}, so "
            "its content would be lost. Mark at least one row of it with true.",
            param="review",
        )
    return Review(str(path), keep, cluster, ids)


def _shown(example: Example) -> dict[str, str]:
    texts = compared(example)
    return {
        "source": example.source,
        "id": example_id(example),
        "label": example.label or "",
        "prompt": _shortened(texts.prompt),
        "answer": _shortened(texts.answer),
    }


def _shortened(text: str) -> str:
    left_out = len(text) - SHOWN_LENGTH
    return text if left_out <= 0 else f"{text[:SHOWN_LENGTH]}… ({left_out} more characters)"


def _write_jsonl(file: TextIO, lines: Iterable[Mapping[str, object]]) -> int:
    return sum(1 for line in lines if file.write(json.dumps(line, ensure_ascii=False) + "\n"))


def _write_csv(file: TextIO, lines: Iterable[Mapping[str, object]]) -> int:
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    return sum(1 for line in lines if writer.writerow([_inert(line.get(name, "")) for name in COLUMNS]))


def _inert(value: object) -> object:
    """Returns a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                header = file.readline()
                names: Sequence[str] = header.strip().split(";" if header.count(";") > header.count(",") else ",")
                reader = csv.DictReader(
                    file, [n.strip().strip('"') for n in names], delimiter=";" if ";" in header else ","
                )
                for line in reader:
                    yield f"{path}:{reader.line_num + 1}", line
                return
            for number, text in enumerate(file, 1):
                if text.strip():
                    value = json.loads(text)
                    if not isinstance(value, dict):
                        raise DataError(f"{path}:{number}: not an object. Write one {{…}} a line.", param="review")
                    yield f"{path}:{number}", value
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Give the file of clusters.", param="review"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read: {error}. Save it as UTF-8 again.", param="review") from None
