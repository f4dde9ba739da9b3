"""A prepared data set on disk: train.jsonl, test.jsonl, rejected.jsonl and report.json, all or nothing."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, cast

from holdfast.data.example_json import content_hash, from_json, to_json
from holdfast.data.rejected import Rejected
from holdfast.data.report import DataReport, report_from_json, report_to_json
from holdfast.data.strict_json import dump
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from holdfast.types import Example, JSONValue

_FILES = ("train.jsonl", "test.jsonl", "rejected.jsonl", "report.json")


@dataclass(frozen=True, slots=True)
class LoadedData:
    """What `write_prepared` wrote."""

    train: list[Example]
    test: list[Example]
    rejected: list[Rejected]
    report: DataReport


def write_prepared(
    folder: Path, train: Sequence[Example], test: Sequence[Example], rejected: Sequence[Rejected], report: DataReport
) -> None:
    """Writes the four files so that a reader sees the old folder, none, or the new one, never a mixture.

    The report on disk gets the sizes and content hashes of both parts. Raises `DataError` when its
    numbers do not add up, and when `folder` holds files that are not a prepared data set.
    """
    final = replace(
        report,
        num_rows=len(train) + len(test) + len(rejected),
        num_kept=len(train) + len(test),
        num_rejected=len(rejected),
        num_train=len(train),
        num_test=len(test),
        train_hash=content_hash(train),
        test_hash=content_hash(test),
    )
    if final.num_rows != report.num_rows:
        raise DataError(
            f"{folder}: {report.num_rows} rows were prepared, but {final.num_train} for training, {final.num_test} "
            f"for the test and {final.num_rejected} rejected make {final.num_rows}. A row was lost or counted twice."
        )
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file, not a folder. Choose another place.")
    if folder.exists() and any(item.name not in _FILES for item in folder.iterdir()):
        raise DataError(f"{folder}: holds other files, which would be lost. Choose another folder.")
    new = folder.parent / f".{folder.name}.new"
    shutil.rmtree(new, ignore_errors=True)  # left behind by a run that was killed here
    new.mkdir(parents=True)
    write_lines(new / "train.jsonl", (to_json(example) for example in train))
    write_lines(new / "test.jsonl", (to_json(example) for example in test))
    write_lines(new / "rejected.jsonl", (asdict(row) for row in rejected))
    write_lines(new / "report.json", [report_to_json(final)])
    flush_folder(new)
    replace_folder(folder, new)


def write_rejected(folder: Path, rejected: Sequence[Rejected]) -> None:
    """Writes `rejected.jsonl` alone, where nothing is left that could be prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder.parent / f".{folder.name}.rejected"  # beside: what a kill leaves here must not stand in its way
    write_lines(new, (asdict(row) for row in rejected))
    new.replace(folder / "rejected.jsonl")
    flush_folder(folder)


def load_prepared(folder: Path) -> LoadedData:
    """Returns what `write_prepared` wrote; raises `DataError` if it is missing, damaged or was edited."""
    try:
        report = report_from_json(_lines(folder / "report.json")[0])
        data = LoadedData(
            train=[from_json(row) for row in _lines(folder / "train.jsonl")],
            test=[from_json(row) for row in _lines(folder / "test.jsonl")],
            rejected=[_rejected(row) for row in _lines(folder / "rejected.jsonl")],
            report=report,
        )
    except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: this is no complete prepared data set ({error}). Prepare the data again."
        ) from error
    hashes = (content_hash(data.train), content_hash(data.test))
    if hashes != (report.train_hash, report.test_hash) or len(data.rejected) != report.num_rejected:
        raise DataError(f"{folder}: the files are not those that the report describes. Prepare the data again.")
    return data


def replace_folder(folder: Path, new: Path) -> None:
    """Puts the folder `new` in the place of `folder`, which may exist; a reader sees one of them whole, or none."""
    if folder.exists():
        old = folder.parent / f".{folder.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old)
    else:
        new.rename(folder)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Returns when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Writes rows as JSONL, one by one; the file is on disk when this returns."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(dump(row) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _lines(path: Path) -> list[dict[str, JSONValue]]:
    rows: list[dict[str, JSONValue]] = []
    for line in path.read_bytes().split(b"\n"):
        if line:
            row = json.loads(line.decode())
            if not isinstance(row, dict):
                raise TypeError(f"{path.name} has a line that is no object")
            rows.append(row)
    return rows


def _rejected(row: dict[str, JSONValue]) -> Rejected:
    values = {key: row[key] for key in ("source", "line", "reason", "raw", "kind")}
    return Rejected(**cast("dict[str, object]", values))  # pyright: ignore[reportArgumentType] - written by asdict
