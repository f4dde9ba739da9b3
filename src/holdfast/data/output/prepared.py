"""What is handed over to be written: rows of every part, ledgers, findings and numbers that add up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from holdfast.errors import DataError

if TYPE_CHECKING:
    from holdfast.data.check import Finding
    from holdfast.data.rejected import Rejected
    from holdfast.types import Example, JSONValue

_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
PARTS = ("train", "test", "validation")
"""Every part that a version can have, in the order in which they are written and hashed."""


@dataclass(frozen=True, slots=True)
class PreparedRow:
    """One row to write: its example, the checks that changed it, and whether a model or a template made it."""

    example: Example
    changed_by: tuple[str, ...] = ()
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """One row of the ledger of changes: `by` names the checks, `what` says a phrase each, in the same order."""

    number: int
    before: Example
    after: Example
    by: tuple[str, ...]
    what: tuple[str, ...]


Rows: TypeAlias = Callable[[], Iterable[PreparedRow]]
"""Starts a new pass over the rows of one part."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finding, whether its remedy was done, and how many rows that changed and dropped."""

    finding: Finding
    applied: bool = False
    num_changed: int = 0
    num_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that was read: a file, a query or a data set; `sha256` is "" where there are no bytes to hash.

    A document has no rows: `num_made` rows were made from it.
    """

    path: str
    num_bytes: int = 0
    sha256: str = ""
    num_rows: int = 0
    num_made: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of every row: `read` + `made` = `unchanged` + `changed` + all `rejected` (by kind).

    `made` rows were not read but made (questions on documents, other wordings). Documents are no rows: of `documents`
    that were found, `lost_documents` (by kind) gave none.
    """

    read: int
    unchanged: int
    changed: int
    rejected: Mapping[str, int] = field(default_factory=dict[str, int])
    made: int = 0
    documents: int = 0
    lost_documents: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def num_rejected(self) -> int:
        """All rejected rows, of whatever kind."""
        return sum(self.rejected.values())

    @property
    def num_written(self) -> int:
        """The rows that all parts hold together."""
        return self.unchanged + self.changed

    def check(self) -> None:
        """Raises `DataError` unless every row that was read or made ended in exactly one place."""
        total = self.unchanged + self.changed + self.num_rejected
        if total != self.read + self.made:
            made = f" and {self.made} made" if self.made else ""
            raise DataError(
                f"{self.read} rows were read{made}, but {self.unchanged} kept as they were, {self.changed} changed and "
                f"{self.num_rejected} rejected make {total}. A row was lost or counted twice; please report this."
            )


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one part: those that are only read, those that are learned, and those of the longest row."""

    context: int
    learned: int
    longest: int = 0


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar of a histogram: `count` rows of at least `low` and below `high` tokens."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What the pictures of a report show. Empty ones are left out of the page.

    `languages` counts rows by ISO 639 code, `duplicates` by level (exact, near, in meaning), `cluster_sizes` counts
    groups of duplicates by their size, `labels` counts rows by part and label.
    """

    lengths: Sequence[Bin] = ()
    max_tokens: int | None = None
    tokenizer: str = ""
    tokens: Mapping[str, Tokens] = field(default_factory=dict[str, Tokens])
    languages: Mapping[str, int] = field(default_factory=dict[str, int])
    duplicates: Mapping[str, int] = field(default_factory=dict[str, int])
    cluster_sizes: Mapping[int, int] = field(default_factory=dict[int, int])
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])

    def language_codes(self) -> list[str]:
        """Returns the ISO 639 codes among the languages, the most frequent first; "und" is nobody's language."""
        found = sorted(self.languages.items(), key=lambda item: (-item[1], item[0]))
        return [code for code, count in found if count and code != "und" and _LANGUAGE_CODE.fullmatch(code)]


@dataclass(frozen=True, slots=True)
class About:
    """What only people know about the data; what is left empty is marked as open in the documents."""

    description: str = ""
    license: str = ""
    creators: tuple[str, ...] = ()
    url: str = ""
    citation: str = ""
    contact: str = ""


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Everything that a version is written from.

    `plan` holds all decisions and settings; `deciding` is the part of it that changes which rows come out, and what
    the version's hash covers (all of `plan` where it is None). `created_at` is UTC and outside the hash.
    """

    name: str
    train: Rows
    test: Rows
    counts: Counts
    created_at: datetime
    validation: Rows | None = None
    changed: Callable[[], Iterable[ChangedRow]] = tuple
    rejected: Callable[[], Iterable[Rejected]] = tuple
    outcomes: Sequence[Outcome] = ()
    sources: Sequence[Source] = ()
    plan: Mapping[str, JSONValue] = field(default_factory=dict[str, "JSONValue"])
    deciding: Mapping[str, JSONValue] | None = None
    figures: Figures = field(default_factory=Figures)
    about: About = field(default_factory=About)
    seed: int = 0
    holdfast: str = ""
    compared_with: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other skills' data that rows were compared with, which decides too: the content hash of each, by its name."""

    def parts(self) -> dict[str, Rows]:
        """Returns the parts that there are, by name, in their fixed order."""
        given = {"train": self.train, "test": self.test, "validation": self.validation}
        return {name: rows for name, rows in given.items() if rows is not None}
