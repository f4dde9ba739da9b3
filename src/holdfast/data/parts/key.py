"""What a split needs to know about a row, and the compact table of it for all rows."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xxhash

from holdfast.data.parts.runs import Runs, RunSample
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from holdfast.types import Example, JSONValue

T = TypeVar("T", bound=np.generic)

NO_GROUP = -(2**63)
OPENING_WORDS = 8
"""Shorter first turns ("Hi, can you help me?") begin conversations about anything."""
MILLISECONDS_FROM = 1e11
"""A number from here on counts milliseconds since 1970 (as seconds it would lie beyond the year 5000)."""


@dataclass(frozen=True, slots=True)
class Key:
    """One row as a split sees it.

    `number` names the row; `prompt_id` is what it asks; rows of one `group` are near-duplicates or paraphrases, rows
    of one `owner` have the same value in the named column. `time` grows with time, in any unit. `fact` names what a
    wording asks about. `opening` is the first question of a conversation, where it is long enough to be one's own.
    `runs` are its long runs of words, as `overlap.shared_runs.long_runs` gives them.
    """

    number: int
    prompt_id: str
    group: int | None = None
    label: str | None = None
    time: float | None = None
    fact: str | None = None
    owner: str | None = None
    opening: str | None = None
    runs: NDArray[np.uint64] | None = field(default=None, compare=False)


def opening_of(example: Example) -> str | None:
    """Returns the first user turn in small letters, evenly spaced; None under `OPENING_WORDS` words."""
    words = next((turn.content for turn in example.messages if turn.role == "user"), "").lower().split()
    return " ".join(words) if len(words) >= OPENING_WORDS else None


def time_of(value: JSONValue) -> float | None:
    """Returns seconds since 1970 for a number or an ISO 8601 text (UTC where it names no zone), else None.

    >>> time_of("1970-01-02"), time_of("1970-01-01T00:01:00+00:00"), time_of(60_000_000_000_000), time_of("soon")
    (86400.0, 60.0, 60000000000.0, None)
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.fromisoformat(value.strip())
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
            except (ValueError, OverflowError):
                return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        return None
    return value / 1000 if value >= MILLISECONDS_FROM else float(value)


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of all rows as columns; texts are 64-bit hashes, 0 where there is none. `labels[code]` is a label."""

    numbers: NDArray[np.int64]
    prompts: NDArray[np.uint64]
    groups: NDArray[np.int64] | None
    times: NDArray[np.float64] | None
    facts: NDArray[np.uint64] | None
    owners: NDArray[np.uint64] | None
    openings: NDArray[np.uint64] | None
    runs: Runs
    codes: NDArray[np.int32]
    labels: tuple[str | None, ...]


def table_of(keys: Iterable[Key]) -> Table:
    """Returns the table, its labels sorted (no label first); raises `DataError` if a number occurs twice."""
    numbers, prompts, codes = array("q"), array("Q"), array("i")
    groups, times = _Sparse("q", NO_GROUP), _Sparse("d", float("nan"))
    facts, owners, openings = _Sparse("Q", 0), _Sparse("Q", 0), _Sparse("Q", 0)
    runs = RunSample()
    known: dict[str | None, int] = {}
    for row, key in enumerate(keys):
        numbers.append(key.number)
        prompts.append(_hash(key.prompt_id))
        codes.append(known.setdefault(key.label, len(known)))
        if key.group is not None:
            groups.put(row, key.group)
        if key.time is not None:
            times.put(row, key.time)
        if key.fact is not None:
            facts.put(row, _hash(key.fact))
        if key.owner is not None:
            owners.put(row, _hash(key.owner))
        if key.opening is not None:
            openings.put(row, _hash(key.opening))
        if key.runs is not None:
            runs.add(row, key.runs)
    num = len(numbers)
    labels = sorted(known, key=lambda label: (label is not None, label or ""))
    rank = np.empty(max(len(known), 1), dtype=np.int32)
    rank[[known[label] for label in labels]] = np.arange(len(labels), dtype=np.int32)
    table = Table(
        np.frombuffer(numbers, np.int64) if num else np.empty(0, np.int64),
        np.frombuffer(prompts, np.uint64) if num else np.empty(0, np.uint64),
        groups.column(num, np.int64),
        times.column(num, np.float64),
        facts.column(num, np.uint64),
        owners.column(num, np.uint64),
        openings.column(num, np.uint64),
        runs.runs(),
        rank[np.frombuffer(codes, np.int32)] if num else np.empty(0, np.int32),
        tuple(labels),
    )
    ordered = np.sort(table.numbers)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise DataError(f"Row number {twice[0]} is given to a split twice; every row needs a number of its own.")
    return table


class _Sparse:
    """A column that takes no room before its first value."""

    def __init__(self, code: str, none: float) -> None:
        self._code, self._none = code, none
        self._values: array[float] | None = None

    def put(self, row: int, value: float) -> None:
        """Sets the value of a row at or after the last one set; rows between have none."""
        if self._values is None:
            self._values = array(self._code)
        self._fill(row)
        self._values.append(value)

    def column(self, num: int, dtype: type[T]) -> NDArray[T] | None:
        """Returns the values of `num` rows; None if no row has one."""
        if self._values is None:
            return None
        self._fill(num)
        return np.frombuffer(self._values, dtype)

    def _fill(self, num: int) -> None:
        assert self._values is not None
        if len(self._values) < num:
            self._values.extend(array(self._code, [self._none]) * (num - len(self._values)))


def _hash(text: str) -> int:
    """Returns a 64-bit hash of a text that is never 0, which means that there is none."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) or 1
