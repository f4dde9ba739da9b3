"""A version of prepared data: a folder named by the hash of its content, with a manifest and checked files.

The hash covers the skill's name, the content of every part (content ids with their columns, whatever their order)
and the settings that decide which rows come out. Machine, time, paths and documents are outside it, so the same
input, plan and earlier skills give the same hash everywhere; `compared_with` in the manifest names the skills' data.
Lineage is in the version: each row's `source` names file and line, and the manifest gives the sha256 of each file that
was read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.data.example_json import canonical
from holdfast.data.output.content import ContentHash
from holdfast.data.output.parquet import read_part
from holdfast.data.output.prepared import PARTS, Counts, Source
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.data.output.prepared import PreparedRow
    from holdfast.types import Example, JSONValue

MANIFEST = "manifest.json"
FORMAT = 1
"""The layout of the folder and what its hash covers; a change of either is another number."""
NAME_LENGTH = 12
_LEAST_PREFIX = 4
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """One written part: its Parquet file, rows, and content hash (that of `example_json.content_hash`)."""

    file: str
    num_rows: int
    content_hash: str
    num_changed: int = 0
    num_synthetic: int = 0
    labels: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class FileHash:
    """The sha256 (hex) of a file's bytes, and how many they are."""

    sha256: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class DataVersion:
    """What a manifest says, and the folder it lies in; `hash` is the content address."""

    folder: Path
    hash: str
    skill: str
    created_at: str
    parts: Mapping[str, Part]
    files: Mapping[str, FileHash]
    sources: tuple[Source, ...]
    counts: Counts
    deciding: Mapping[str, JSONValue]
    seed: int = 0
    holdfast: str = ""
    compared_with: Mapping[str, str] = field(default_factory=dict[str, str])

    def rows(self, part: str = "train") -> Iterator[PreparedRow]:
        """Yields the rows of a part with what is known about them; raises `DataError` if there is no such part."""
        if part not in self.parts:
            raise DataError(f"{self.folder}: there is no part {part!r}. There are: {', '.join(self.parts)}.")
        return read_part(self.folder / self.parts[part].file)

    def examples(self, part: str = "train") -> Iterator[Example]:
        """Yields the examples of a part; raises `DataError` if there is no such part."""
        return (row.example for row in self.rows(part))

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the manifest's content, with the folder left out: it is wherever the manifest is."""
        values = {"format": FORMAT, **asdict(self)}
        values.pop("folder")
        return cast("dict[str, JSONValue]", {**values, "sources": [asdict(source) for source in self.sources]})


def version_hash(skill: str, parts: Mapping[str, str], deciding: Mapping[str, JSONValue]) -> str:
    """Returns the content address (sha256, hex) of parts given by their content hashes, made by these settings."""
    content = {"format": FORMAT, "skill": skill, "parts": dict(parts), "deciding": dict(deciding)}
    return hashlib.sha256(canonical(content)).hexdigest()


def versions(root: Path) -> list[DataVersion]:
    """Returns all versions below a folder, the oldest first; raises `DataError` for a damaged manifest."""
    if not root.is_dir():
        return []
    folders = (item for item in sorted(root.iterdir()) if not item.name.startswith(".") and (item / MANIFEST).is_file())
    return sorted((_read(folder) for folder in folders), key=lambda version: (version.created_at, version.hash))


def load(place: Path | str, root: Path | None = None, *, verified: bool = True) -> DataVersion:
    """Returns the version in a folder, or the one below `root` whose hash starts with `place`.

    All its files are read and compared with their hashes unless `verified` is False. Raises `DataError` when there is
    no such version, when several match, and when a file is not the one that was written.
    """
    folder = Path(place)
    if not (folder / MANIFEST).is_file():
        folder = _found(str(place), root)
    version = _read(folder)
    if verified:
        verify(version)
    return version


def verify(version: DataVersion, *, content: bool = False) -> None:
    """Raises `DataError` if a file was edited, lost or put there later, naming each.

    With `content`, the rows themselves are read too and hashed anew, which also finds a manifest that was edited
    together with a file.
    """
    wrong = [*_wrong_files(version)]
    hashes = {name: part.content_hash for name, part in version.parts.items()}
    if version_hash(version.skill, hashes, version.deciding) != version.hash:
        wrong.append(f"{MANIFEST} was edited: its hash is not that of what it says")
    if content and not wrong:
        wrong += [f"{part.file} holds other rows" for name, part in version.parts.items() if _rehashed(version, name)]
    if wrong:
        raise DataError(
            f"{version.folder}: this is not what was prepared ({'; '.join(wrong)}). Prepare the data again, or restore "
            "the folder from a copy; to change rows, change the source or the plan."
        )


def hash_file(path: Path) -> FileHash:
    """Returns the sha256 and size of a file, read in pieces."""
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            num_bytes += len(chunk)
    return FileHash(digest.hexdigest(), num_bytes)


def _found(prefix: str, root: Path | None) -> Path:
    folders = sorted(root.iterdir()) if root is not None and root.is_dir() else []
    known = [item.name for item in folders if (item / MANIFEST).is_file()]
    if root is None or not re.fullmatch(rf"[0-9a-f]{{{_LEAST_PREFIX},64}}", prefix):
        raise DataError(
            f"{prefix}: there is no prepared data here. Give its folder, or at least the first {_LEAST_PREFIX} digits "
            f"of its hash.{_listed(known)}"
        )
    matching = [name for name in known if name.startswith(prefix[:NAME_LENGTH])]
    if len(prefix) > NAME_LENGTH:
        matching = [name for name in matching if _read(root / name).hash.startswith(prefix)]
    if not matching:
        raise DataError(f"{prefix}: no data version in {root} has a hash that starts so.{_listed(known)}")
    if len(matching) > 1:
        raise DataError(f"{prefix}: several data versions start so: {', '.join(matching)}. Give more digits.")
    return root / matching[0]


def _listed(known: list[str]) -> str:
    return f" There are: {', '.join(known[:20])}{', …' if len(known) > 20 else ''}." if known else ""


def _wrong_files(version: DataVersion) -> Iterator[str]:
    for name, written in version.files.items():
        path = version.folder / name
        if not path.is_file():
            yield f"{name} is missing"
        elif hash_file(path) != written:
            yield f"{name} was edited"
    expected = {*version.files, MANIFEST}
    others = sorted(item.name for item in version.folder.iterdir() if item.name not in expected)
    if others:
        yield f"put there later: {', '.join(others[:5])}"


def _rehashed(version: DataVersion, part: str) -> bool:
    """Whether the rows of a part have another hash than the manifest says."""
    content = ContentHash()
    for example in version.examples(part):
        content.add(example)
    return content.hexdigest() != version.parts[part].content_hash


def _read(folder: Path) -> DataVersion:
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise DataError(f"{path}: was written by another version of Holdfast. Prepare the data again.")
        return _from_json(folder, values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is no readable manifest ({error}). Prepare the data again.") from error


def _from_json(folder: Path, values: dict[str, JSONValue]) -> DataVersion:
    nested = {
        "parts": {name: Part(**part) for name, part in _mappings(values["parts"])},
        "files": {name: FileHash(**file) for name, file in _mappings(values["files"])},
        "sources": tuple(Source(**source) for source in cast("list[dict]", values["sources"])),
        "counts": Counts(**cast("dict", values["counts"])),
    }
    values.pop("parent", None)  # in manifests of earlier releases, always ""
    names = [*cast("dict[str, FileHash]", nested["files"]), *(part.file for part in nested["parts"].values())]
    if not set(nested["parts"]) <= set(PARTS) or any(Path(name).name != name for name in names):
        raise DataError(f"{folder / MANIFEST}: names parts or files that no version has. Prepare the data again.")
    return DataVersion(folder=folder, **cast("dict", {**values, **nested}))


def _mappings(value: JSONValue) -> list[tuple[str, dict]]:
    return list(cast("dict[str, dict]", value).items())
