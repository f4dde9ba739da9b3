"""Writes a version: data, ledgers, documents, report and manifest into one folder, all or nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from holdfast.data.example_json import canonical, to_json
from holdfast.data.folder import flush_folder, replace_folder, write_lines
from holdfast.data.output.cards import data_card
from holdfast.data.output.croissant import croissant
from holdfast.data.output.datasheet import datasheet
from holdfast.data.output.page import report_page
from holdfast.data.output.parquet import write_part
from holdfast.data.output.report_json import report_json
from holdfast.data.output.toml_text import to_toml
from holdfast.data.output.version import (
    MANIFEST,
    NAME_LENGTH,
    DataVersion,
    FileHash,
    Part,
    hash_file,
    load,
    version_hash,
)
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from holdfast.data.output.prepared import ChangedRow, PreparedData

AGAIN = ".again"
"""Beside a version: other preparations that gave the same rows, each in a folder of its own."""
_NEW = ".new-"
_LEFTOVER_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Written:
    """What lies on disk now, and how it came there.

    `new`: no such version was there. `same`: it was, and all it says is what this preparation says. `beside`: it was,
    with the same rows, but this preparation read, changed or rejected others; `version` is this preparation's own
    folder, and `first` the version that was left as it is. `restored`: what lay there was damaged and was replaced.
    """

    version: DataVersion
    state: Literal["new", "same", "beside", "restored"] = "new"
    first: DataVersion | None = None

    @property
    def is_new(self) -> bool:
        """Whether no version had this hash before."""
        return self.state == "new"


def write_version(root: Path, data: PreparedData) -> Written:
    """Writes `data` to the folder below `root` that its hash names, and returns it.

    Whoever looks sees the whole folder or none. A version that lies there already and is whole is never changed: where
    the way to the same rows was another (sources, rejected rows, what people said about them), all that this
    preparation says goes to `HASH.again/NAME` beside it, where NAME is the hash of what it says. Raises `DataError`
    when the counts do not add up to what was written.
    """
    data.counts.check()
    if data.created_at.utcoffset() is None:
        raise DataError("created_at has no time zone, so it could mean any. Give a time in UTC.", param="created_at")
    root.mkdir(parents=True, exist_ok=True)
    with _workplace(root) as new:
        parts = _write_parts(new, data)
        _write_ledgers(new, data)
        written = {item.name: hash_file(item) for item in sorted(new.iterdir())}
        bare = _version(new, data, parts, written)
        documents = _documents(data, bare)
        version = _with_documents(bare, documents)
        folder = root / version.hash[:NAME_LENGTH]
        is_there = folder.exists()
        first = _whole(folder, version.files)
        if first is not None:
            told = _told_then(data, bare, first)
            if told == first.files:
                return Written(first, "same")
            folder = root / f"{folder.name}{AGAIN}" / _name_of(told)
            earlier = _whole(folder, version.files)
            if earlier is not None:
                return Written(earlier, "beside", first)
            folder.parent.mkdir(exist_ok=True)
            flush_folder(root)
        for name, text in {**documents, MANIFEST: _json(version.to_json()).encode()}.items():
            _write(new / name, text)
        flush_folder(new)
        replace_folder(folder, new)
    written_there = load(folder, verified=False)
    if first is not None:
        return Written(written_there, "beside", first)
    return Written(written_there, "restored" if is_there else "new")


@contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """A new folder beside the versions, removed on the way out unless it was renamed; so are those of killed runs."""
    for left in root.glob(f"{_NEW}*"):
        if time.time() - left.stat().st_mtime > _LEFTOVER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=_NEW, dir=root))
    new.chmod(0o755)  # mkdtemp lets nobody else read it
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _write_parts(folder: Path, data: PreparedData) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for name, rows in data.parts().items():
        file = f"{name}.parquet"
        done = write_part(folder / file, rows())
        parts[name] = Part(
            file=file,
            num_rows=done.num_rows,
            content_hash=done.content_hash,
            num_changed=done.num_changed,
            num_synthetic=done.num_synthetic,
            labels=dict(done.labels.most_common()),
        )
    total = sum(part.num_rows for part in parts.values())
    if total != data.counts.num_written:
        raise DataError(
            f"{total} rows were written, but {data.counts.unchanged} unchanged and {data.counts.changed} changed "
            f"should be {data.counts.num_written}. A row was lost or written twice."
        )
    return parts


def _write_ledgers(folder: Path, data: PreparedData) -> None:
    rejected: Counter[str] = Counter()
    num_changed = 0

    def changes() -> Iterator[dict[str, object]]:
        nonlocal num_changed
        for row in data.changed():
            num_changed += 1
            yield _change(row)

    def rejections() -> Iterator[dict[str, object]]:
        for row in data.rejected():
            rejected[row.kind] += 1
            yield asdict(row)

    write_lines(folder / "changed.jsonl", changes())
    write_lines(folder / "rejected.jsonl", rejections())
    counted = dict(+(Counter(data.counts.rejected) + Counter(data.counts.lost_documents)))
    if num_changed != data.counts.changed or dict(rejected) != counted:
        raise DataError(
            f"The ledgers hold {num_changed} changed rows and rejected {_spelled(rejected)}, but "
            f"{data.counts.changed} and {_spelled(counted)} were counted. A row was lost or counted twice."
        )


def _version(folder: Path, data: PreparedData, parts: Mapping[str, Part], files: Mapping[str, FileHash]) -> DataVersion:
    """What the manifest says of the parts and ledgers, before there are documents."""
    deciding = dict(data.plan if data.deciding is None else data.deciding)
    hashes = {name: part.content_hash for name, part in parts.items()}
    return DataVersion(
        folder=folder,
        hash=version_hash(data.name, hashes, deciding),
        skill=data.name,
        created_at=data.created_at.astimezone(UTC).isoformat(timespec="seconds"),
        parts=parts,
        files=files,
        sources=tuple(data.sources),
        counts=data.counts,
        deciding=deciding,
        seed=data.seed,
        holdfast=data.holdfast,
        compared_with=dict(data.compared_with),
    )


def _documents(data: PreparedData, version: DataVersion) -> dict[str, bytes]:
    """The documents of a version, by name."""
    texts = {
        "README.md": data_card(data, version),
        "croissant.json": _json(croissant(data, version)),
        "datasheet.md": datasheet(data, version),
        "plan.toml": to_toml(data.plan),
        "report.html": report_page(data, version),
        "report.json": _json(report_json(data, version)),
    }
    return {name: text.encode() for name, text in texts.items()}


def _with_documents(version: DataVersion, documents: Mapping[str, bytes]) -> DataVersion:
    hashes = {name: FileHash(hashlib.sha256(text).hexdigest(), len(text)) for name, text in documents.items()}
    return replace(version, files={**version.files, **hashes})


def _whole(folder: Path, files: Iterable[str]) -> DataVersion | None:
    """The version in the folder; None where there is none, and where it is damaged."""
    if not folder.exists():
        return None
    others = sorted({item.name for item in folder.iterdir()} - {*files, MANIFEST})
    if others:
        raise DataError(
            f"{folder}: holds other files, which would be lost ({', '.join(others[:5])}). Move them elsewhere."
        )
    try:
        return load(folder)
    except DataError:
        return None


def _told_then(data: PreparedData, bare: DataVersion, first: DataVersion) -> Mapping[str, FileHash]:
    """The files that `data` would have given when the first version was written."""
    then = replace(data, created_at=datetime.fromisoformat(first.created_at))
    as_then = replace(bare, created_at=first.created_at)
    return _with_documents(as_then, _documents(then, as_then)).files


def _name_of(files: Mapping[str, FileHash]) -> str:
    """A name that says what the files hold, and nothing of when they were written."""
    return hashlib.sha256(canonical({name: file.sha256 for name, file in files.items()})).hexdigest()[:NAME_LENGTH]


def _change(row: ChangedRow) -> dict[str, object]:
    return {
        "number": row.number,
        "source": row.before.source,
        "before": to_json(row.before),
        "after": to_json(row.after),
        "by": list(row.by),
        "what": list(row.what),
    }


def _spelled(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{count} as {kind}" for kind, count in sorted(kinds.items())) or "none"


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
