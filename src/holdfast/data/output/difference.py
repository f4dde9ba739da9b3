"""What two versions of prepared data differ in: rows added, removed, changed or moved, labels, and settings.

Rows are compared by content (with their columns), so order does not matter. A row that one version lost and a row that
the other gained are one changed row where both come from the same source row: the same row number of the same file,
by its name alone where no two sources share theirs, so that a folder may have moved. Some 40 bytes a row are held.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import repeat
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import xxhash

from holdfast.data.check import shortened, text_of
from holdfast.data.example_json import canonical
from holdfast.data.output.parquet import batches, read_at
from holdfast.data.output.rendering import flatten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.data.output.version import DataVersion
    from holdfast.types import Example, JSONValue

MANY_SHOWN = 5
_UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class DifferingRow:
    """A row shown with a difference: its text before and after, one of them "" where the row is not.

    `part` is where it is, or "train to test" for one that is in another part than before.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    part: str
    source: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class LabelShift:
    """How many changed rows have the label `after` where they had `before`; None is no label."""

    before: str | None
    after: str | None
    num_rows: int


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting of the plan with its values as text; "" where a version does not have it."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What is other in version `after` than in `before`, given by their hashes.

    `num_same` rows are in both and `num_moved` of them in another part. `parts` and `labels` give the counts before
    and after, `shifts` those changed rows whose label is another, the most frequent first.
    """

    before: str
    after: str
    num_same: int
    num_added: int
    num_removed: int
    num_changed: int
    num_moved: int
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    labels: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    shifts: tuple[LabelShift, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    shown: tuple[DifferingRow, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether both versions hold the same rows in the same parts."""
        return not (self.num_added or self.num_removed or self.num_changed or self.num_moved)

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the difference as one JSON object."""
        return cast("dict[str, JSONValue]", {**asdict(self), "is_empty": self.is_empty})


@dataclass(frozen=True, slots=True)
class _Index:
    """One version, row by row in reading order: hashes of content and source, label numbers, part numbers."""

    content: NDArray[np.uint64]
    source: NDArray[np.uint64]
    label: NDArray[np.int64]
    part: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Matched:
    """Positions of rows in each version; those of `changed` and `moved` are paired."""

    removed: NDArray[np.int64]
    added: NDArray[np.int64]
    changed: tuple[NDArray[np.int64], NDArray[np.int64]]
    moved: tuple[NDArray[np.int64], NDArray[np.int64]]
    num_same: int


def difference(before: DataVersion, after: DataVersion, *, many: int = MANY_SHOWN) -> Difference:
    """Returns what is other in `after` than in `before`, with the first `many` rows of each kind.

    Raises `DataError` if a part cannot be read.
    """
    names = list(dict.fromkeys([*before.parts, *after.parts]))
    numbers: dict[str, int] = {}
    by_name = _unique_names(before) and _unique_names(after)
    old = _index(before, names, numbers, by_name=by_name)
    new = _index(after, names, numbers, by_name=by_name)
    found = _match(old, new)
    labels = list(numbers)
    sizes = {name: (_size(before, name), _size(after, name)) for name in names}
    return Difference(
        before=before.hash,
        after=after.hash,
        num_same=found.num_same,
        num_added=len(found.added),
        num_removed=len(found.removed),
        num_changed=len(found.changed[0]),
        num_moved=len(found.moved[0]),
        parts=sizes,
        labels=_label_counts(old, new, labels),
        shifts=_shifts(old.label[found.changed[0]], new.label[found.changed[1]], labels),
        settings=_settings(before.deciding, after.deciding),
        shown=_shown(before, after, names, (old, new), found, many),
    )


def _unique_names(version: DataVersion) -> bool:
    names = [source.path.rpartition("/")[2] for source in version.sources]
    return len(set(names)) == len(names)


def _index(version: DataVersion, names: Sequence[str], numbers: dict[str, int], *, by_name: bool) -> _Index:
    content, source, label, part = array("Q"), array("Q"), array("q"), array("q")
    for number, name in enumerate(names):
        if name not in version.parts:
            continue
        path = version.folder / version.parts[name].file
        for batch in batches(path, ["id", "source", "label", "columns"]):
            rows = (batch.column(column).to_pylist() for column in ("id", "source", "label", "columns"))
            for row, place, said, columns in zip(*rows, strict=True):
                content.append(_content(row, columns))
                source.append(_place(place.rpartition("/")[2] if by_name else place))
                label.append(_UNLABELLED if said is None else numbers.setdefault(said, len(numbers)))
            part.extend(repeat(number, batch.num_rows))
    return _Index(
        np.array(content, np.uint64), np.array(source, np.uint64), np.array(label, np.int64), np.array(part, np.int64)
    )


def _content(content_id: str, columns: str | None) -> int:
    """A number for what a row says: its content id covers all but the columns, whose order says nothing."""
    spelled = canonical(json.loads(columns)) if columns else b""
    return xxhash.xxh3_64_intdigest(content_id.encode() + spelled)


def _place(source: str) -> int:
    """A number for a source row; 0 where nothing is known about it, which matches no other row."""
    return xxhash.xxh3_64_intdigest(source.encode()) if source else 0


def _match(old: _Index, new: _Index) -> _Matched:
    """Pairs equal rows first, those in the same part before others; then rows of the same source row."""
    parts = np.uint64(0x9E3779B97F4A7C15)  # an odd number: no two parts of one row get the same key
    old_rows, new_rows = np.arange(len(old.content)), np.arange(len(new.content))
    with np.errstate(over="ignore"):
        old_keys = old.content + parts * (old.part.astype(np.uint64) + np.uint64(1))
        new_keys = new.content + parts * (new.part.astype(np.uint64) + np.uint64(1))
    same_old, same_new = _pairs(old_keys, new_keys)
    old_rows, new_rows = np.delete(old_rows, same_old), np.delete(new_rows, same_new)
    moved_old, moved_new = _pairs(old.content[old_rows], new.content[new_rows])
    moved = (old_rows[moved_old], new_rows[moved_new])
    old_rows, new_rows = np.delete(old_rows, moved_old), np.delete(new_rows, moved_new)
    old_known = old_rows[old.source[old_rows] != 0]
    new_known = new_rows[new.source[new_rows] != 0]
    changed_old, changed_new = _pairs(old.source[old_known], new.source[new_known])
    changed = (old_known[changed_old], new_known[changed_new])
    return _Matched(
        removed=np.setdiff1d(old_rows, changed[0], assume_unique=True),
        added=np.setdiff1d(new_rows, changed[1], assume_unique=True),
        changed=changed,
        moved=moved,
        num_same=len(same_old) + len(moved[0]),
    )


def _pairs(old: NDArray[np.uint64], new: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of equal keys, each position used once: the first of one with the first of the other, and so on."""
    pairs = _numbered(old), _numbered(new)
    _, left, right = np.intersect1d(*pairs, assume_unique=True, return_indices=True)
    order = np.argsort(left, kind="stable")
    return left[order], right[order]


def _numbered(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys that are there several times made different, by how many equal ones stand before each."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(keys) else order
    lengths = np.diff(np.append(starts, len(keys)))
    rank = np.empty(len(keys), np.uint64)
    rank[order] = np.arange(len(keys)) - np.repeat(starts, lengths)
    with np.errstate(over="ignore"):
        return (keys + rank * np.uint64(0xD1B54A32D192ED03)).astype(np.uint64)


def _size(version: DataVersion, part: str) -> int:
    return version.parts[part].num_rows if part in version.parts else 0


def _label_counts(old: _Index, new: _Index, labels: Sequence[str]) -> dict[str, tuple[int, int]]:
    counts = [np.bincount(index.label[index.label >= 0], minlength=len(labels)) for index in (old, new)]
    return {label: (int(counts[0][number]), int(counts[1][number])) for number, label in enumerate(labels)}


def _shifts(old: NDArray[np.int64], new: NDArray[np.int64], labels: Sequence[str]) -> tuple[LabelShift, ...]:
    other = old != new
    counts = Counter(zip(old[other].tolist(), new[other].tolist(), strict=True))

    def named(number: int) -> str | None:
        return None if number == _UNLABELLED else labels[number]

    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(LabelShift(named(before), named(after), count) for (before, after), count in ordered)


def _settings(old: Mapping[str, JSONValue], new: Mapping[str, JSONValue]) -> tuple[SettingChange, ...]:
    before, after = dict(flatten(old)), dict(flatten(new))
    names = list(dict.fromkeys([*before, *after]))
    changes = (SettingChange(name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(change for change in changes if change.before != change.after)


def _shown(
    before: DataVersion,
    after: DataVersion,
    names: Sequence[str],
    indexes: tuple[_Index, _Index],
    found: _Matched,
    many: int,
) -> tuple[DifferingRow, ...]:
    removed, added = found.removed[:many], found.added[:many]
    changed = tuple(positions[:many] for positions in found.changed)
    moved = tuple(positions[:many] for positions in found.moved)
    old = _located(before, names, indexes[0], np.concatenate((removed, changed[0], moved[0])))
    new = _located(after, names, indexes[1], np.concatenate((added, changed[1], moved[1])))
    rows = [_both("changed", old[i], new[j]) for i, j in zip(*changed, strict=True)]
    rows += [_both("moved", old[i], new[j]) for i, j in zip(*moved, strict=True)]
    rows += [DifferingRow("removed", old[i].part, old[i].example.source, _text(old[i].example), "") for i in removed]
    rows += [DifferingRow("added", new[j].part, new[j].example.source, "", _text(new[j].example)) for j in added]
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class _Located:
    part: str
    example: Example


def _located(
    version: DataVersion, names: Sequence[str], index: _Index, positions: NDArray[np.int64]
) -> dict[int, _Located]:
    """The examples at some positions of a version, counted over all its parts."""
    found: dict[int, _Located] = {}
    for number, name in enumerate(names):
        wanted = positions[index.part[positions] == number]
        if len(wanted):
            start = int(np.searchsorted(index.part, number))
            rows = read_at(version.folder / version.parts[name].file, [int(each) - start for each in wanted])
            found |= {start + position: _Located(name, row.example) for position, row in rows.items()}
    return found


def _both(kind: Literal["changed", "moved"], old: _Located, new: _Located) -> DifferingRow:
    part = new.part if old.part == new.part else f"{old.part} to {new.part}"
    return DifferingRow(kind, part, new.example.source, _text(old.example), _text(new.example))


def _text(example: Example) -> str:
    label = f" [{example.label}]" if example.label is not None else ""
    return shortened(text_of(example)) + label
