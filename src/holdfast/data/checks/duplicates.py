"""What the three checks for duplicates have in common: what they remember of a row, what they say, what they decide."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

import numpy as np

from holdfast.data.check import MANY_SHOWN, Check, CheckSettings, Drop, Finding, Shown, shortened, text_of
from holdfast.data.dedup.clusters import Cluster, Review, read_review
from holdfast.data.dedup.columns import Column, TextColumn
from holdfast.data.dedup.compared import What
from holdfast.data.dedup.exact import content_hashes
from holdfast.data.dedup.quality import explain, quality, ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from holdfast.data.check import Context, Decision, Row
    from holdfast.data.dedup.groups import Standing
    from holdfast.types import JSONValue


class DuplicateSettings(CheckSettings):
    """What every check for duplicates can be told."""

    on: What = "all"
    """What must be alike: `all` = prompt and answer, each by itself; `prompt` = the prompt, whatever is answered."""
    columns: tuple[str, ...] = ()
    """Other columns of a row that must be equal too, such as the answer that a grader reads."""
    review: str = ""
    """A file of clusters (`.jsonl`, `.csv`) with a person's marks, which are followed in place of the check's own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Which rows stand for which, and rows that are alike but carry different labels: their number and some pairs."""

    standing: Standing
    num_conflicting: int = 0
    conflicts: tuple[tuple[int, int], ...] = ()


S = TypeVar("S", bound=DuplicateSettings)


class DuplicateCheck(Check[S]):
    """Remembers some numbers of every row and how it begins, on disk; subclasses say which rows stand for which.

    Rows of different labels are never duplicates: which of the labels is right is for people to say.
    """

    training_only: ClassVar[bool] = True
    kind: ClassVar[str]
    """The kind of a drop."""
    compares_wordings: ClassVar[bool] = False
    level: ClassVar[Literal["note", "warning"]] = "warning"
    """How grave duplicates of this sort are."""

    def __init__(self, settings: S, context: Context) -> None:
        super().__init__(settings, context)
        self.folder = context.scratch / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers = self._column("numbers", np.int64)
        self._quality = self._column("quality", np.int64)
        self._labels = self._column("labels", np.uint64)
        self._beginnings = TextColumn(self.folder, "beginnings")
        self._sources = TextColumn(self.folder, "sources")

    def concerns(self, row: Row) -> bool:
        """Tells whether a row is compared: several wordings of one fact are there on purpose, but for equal ones."""
        return self.compares_wordings or "fact" not in row.example.columns

    @abstractmethod
    def _outcome(self) -> Outcome:
        """Returns which of all rows seen stand for which, by index in the order of seeing."""

    @abstractmethod
    def _alike(self, similarity: float) -> str:
        """Returns how a dropped row is alike to the kept one: completes "this row … FILE:LINE"."""

    @property
    @abstractmethod
    def _said(self) -> str:
        """What duplicates of this sort are like: completes "Rows that … another: 3"."""

    def _figures(self) -> dict[str, JSONValue]:
        """Returns figures beside those that all three checks have."""
        return {}

    def note(self, rows: Sequence[Row]) -> None:
        """Notes number, quality, label and beginning of each row."""
        examples = [row.example for row in rows]
        self._numbers.append(np.array([row.number for row in rows], dtype=np.int64))
        self._quality.append(np.array([quality(example) for example in examples], dtype=np.int64))
        hashes = content_hashes([example.label or "" for example in examples])
        labelled = np.array([example.label is not None for example in examples], dtype=bool)
        self._labels.append(np.where(labelled, hashes | np.uint64(1), np.uint64(0)))
        self._beginnings.append([shortened(text_of(example)) for example in examples])
        self._sources.append([row.example.source or f"row {row.number}" for row in rows])

    @cached_property
    def outcome(self) -> Outcome:
        """What was found among all rows seen."""
        return self._outcome()

    @cached_property
    def review(self) -> Review | None:
        """A person's marks, where the settings name a file of them."""
        return read_review(Path(self.settings.review)) if self.settings.review else None

    def finding(self) -> Finding:
        """Returns how many rows are duplicates of others, and which labels contradict each other."""
        dropped = np.flatnonzero(~self.outcome.standing.kept)
        kept_for = self.outcome.standing.representative[dropped]
        by_review = None if self.review is None else sum(not keep for keep in self.review.keep.values())
        num_dropped = len(dropped) if by_review is None else by_review
        conflicting = self.outcome.num_conflicting
        title = f"Rows that {self._said} another: {len(dropped)}."
        if conflicting:
            title += f" Rows with different labels that are otherwise so: {conflicting} (none is dropped for that)."
        remedy = "keep the best of each cluster and drop the others" if by_review is None else None
        if by_review is not None:
            remedy = f"drop the {by_review} rows that {self.settings.review} marks"
        return Finding(
            self.name,
            title,
            level="problem" if conflicting else self.level if len(dropped) else "ok",
            num_rows=num_dropped,
            remedy=remedy if num_dropped else None,
            figures={
                "rows": len(self._numbers),
                "duplicates": len(dropped),
                "clusters": len(np.unique(kept_for)),
                "largest_cluster": int(np.bincount(kept_for).max()) + 1 if len(dropped) else 0,
                "conflicting_labels": conflicting,
                **self._figures(),
            },
            shown=tuple(self._shown(dropped.tolist())),
        )

    def decide(self, row: Row) -> Decision:
        """Drops a row for which another one stands, or which a person marked."""
        if self.review is not None:
            if self.review.keeps(row.number, row.example):
                return None
            cluster = self.review.cluster[row.number]
            return Drop(self.kind, f"was marked as a duplicate (cluster {cluster} of {self.settings.review})")
        index = self._index(row.number)
        standing = self.outcome.standing
        if index is None or standing.representative[index] == index:
            return None
        return Drop(self.kind, self._reason(index))

    def clusters(self) -> Iterator[Cluster]:
        """Yields each kept row that stands for others, with those: the largest clusters first."""
        standing, numbers = self.outcome.standing, self._numbers.read()
        dropped = np.flatnonzero(~standing.kept)
        dropped = dropped[np.argsort(standing.representative[dropped], kind="stable")]
        kept, starts, counts = np.unique(standing.representative[dropped], return_index=True, return_counts=True)
        for place in np.argsort(-counts, kind="stable").tolist():
            members = dropped[starts[place] : starts[place] + counts[place]]
            yield Cluster(
                int(numbers[kept[place]]),
                tuple(numbers[members].tolist()),
                tuple(standing.similarity[members].tolist()),
            )

    def _index(self, number: int) -> int | None:
        """Returns the place of a row in the order of seeing, None for a row that was not seen."""
        numbers = self._known_numbers
        index = int(np.searchsorted(numbers, number))
        return index if index < len(numbers) and numbers[index] == number else None

    @cached_property
    def _known_numbers(self) -> NDArray:
        return self._numbers.read()

    def _ranks(self) -> NDArray:
        return ranks(self._quality.read())

    def _reason(self, index: int) -> str:
        kept = int(self.outcome.standing.representative[index])
        alike = self._alike(float(self.outcome.standing.similarity[index]))
        qualities = self._quality.read()
        why = explain(int(qualities[kept]), int(qualities[index]))
        return f"{alike} {self._source(kept)}, which is kept because {why}"

    def _source(self, index: int) -> str:
        return self._sources.read([index])[0]

    def _shown(self, dropped: Sequence[int]) -> Iterator[Shown]:
        for one, other in self.outcome.conflicts[:MANY_SHOWN]:
            text = self._beginnings.read([one])[0]
            yield Shown(self._source(one), text, note=f"is alike to {self._source(other)}, which has another label")
        for index in dropped[: MANY_SHOWN - len(self.outcome.conflicts)]:
            yield Shown(self._source(index), self._beginnings.read([index])[0], note=self._reason(index))

    def _column(self, name: str, dtype: DTypeLike) -> Column:
        return Column(self.folder / name, dtype)


def conflicts_of(group: NDArray, labels: NDArray) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Returns how many labelled rows are in a group with different labels, and some pairs of them.

    `group` is the least index of each row's group; 0 in `labels` stands for no label.
    """
    labelled = np.flatnonzero(labels)
    order = labelled[np.lexsort((labels[labelled], group[labelled]))]
    same = group[order[1:]] == group[order[:-1]]
    differ = np.flatnonzero(same & (labels[order[1:]] != labels[order[:-1]]))
    torn = np.unique(group[order[differ]])
    count = int(np.isin(group[labelled], torn).sum())
    return count, tuple((int(order[i + 1]), int(order[i])) for i in differ[:MANY_SHOWN].tolist())
