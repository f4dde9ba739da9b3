"""Labels: how many rows each has, which are spellings of one, and texts that have several."""

from __future__ import annotations

from array import array
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import xxhash
from pydantic import Field

from holdfast.data.check import MANY_SHOWN, Change, Check, CheckSettings, Context, Finding, Row, Shown, shown
from holdfast.data.labels.change import labelled
from holdfast.data.labels.names import look_alikes, unified
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.types import Example, JSONValue

MANY_LABELS = 50
"""So many labels, the most frequent, are listed in a report."""
MANY_REMEMBERED = 100_000
"""So many rows are remembered by their text, to show a pair whose labels contradict each other."""


class LabelsSettings(CheckSettings):
    """When labels are too few or too many."""

    rare_rows: Count = 10
    """A label with fewer rows than this is reported as rare."""
    majority_share: Annotated[Share, Field(gt=0.0)] = 0.8
    """A label with this share of the rows or more is reported, because always answering it would be right so often."""


class Labels(Check[LabelsSettings]):
    """How labels are distributed and spelt, and where equal texts have different ones."""

    name: ClassVar[str] = "labels"
    Settings: ClassVar[type[CheckSettings]] = LabelsSettings

    def __init__(self, settings: LabelsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._counts: Counter[str] = Counter()
        self._codes: dict[str, int] = {}
        self._texts, self._labels = array("Q"), array("i")
        self._remembered: dict[int, tuple[str, str]] = {}
        self._contradictions: list[Shown] = []
        self._num_unlabelled = 0

    def see(self, rows: Sequence[Row]) -> None:
        """Counts labels, and notes what text has which."""
        for row in rows:
            label = row.example.label
            if label is None:
                self._num_unlabelled += 1
                continue
            self._counts[label] += 1
            self._labels.append(self._codes.setdefault(label, len(self._codes)))
            text = _text_hash(row.example)
            self._texts.append(text)
            self._remember(row, label, text)

    def _remember(self, row: Row, label: str, text: int) -> None:
        if len(self._contradictions) >= MANY_SHOWN:
            return
        if text not in self._remembered:
            if len(self._remembered) < MANY_REMEMBERED:
                self._remembered[text] = (label, row.example.source)
            return
        other, place = self._remembered[text]
        if unified({label: 1, other: 1}).get(label, label) != unified({label: 1, other: 1}).get(other, other):
            note = f"has the label {label!r} here and {other!r} in {place or 'another row'}"
            self._contradictions.append(shown(row, note=note))

    @cached_property
    def _unified(self) -> dict[str, str]:
        return unified(self._counts)

    def finding(self) -> Finding:
        """Returns the counts, and what is odd about them."""
        if not self._counts:
            return Finding(self.name, "No row has a label", figures={"num_labels": 0})
        one_of = self._unified
        counts: Counter[str] = Counter()
        for label, count in self._counts.items():
            counts[one_of.get(label, label)] += count
        num = counts.total()
        (most, majority), *_ = counts.most_common(1)
        rare = {label: count for label, count in counts.items() if count < self.settings.rare_rows}
        alike = look_alikes(counts)
        num_texts, num_contradicting = self._num_contradicting()
        num_respelt = sum(count for label, count in self._counts.items() if label in one_of)
        parts = [
            f"{len(counts)} labels in {num} rows; always answering {most!r} would be right in {majority / num:.1%}",
            f"{self._num_unlabelled} rows have no label" if self._num_unlabelled else "",
            f"{len(rare)} labels have fewer than {self.settings.rare_rows} rows" if rare else "",
            f"{num_respelt} rows spell their label otherwise than most" if num_respelt else "",
            f"{len(alike)} pairs of labels may be one misspelt" if alike else "",
            f"{num_texts} texts have different labels in {num_contradicting} rows" if num_texts else "",
        ]
        figures: dict[str, JSONValue] = {
            "num_labels": len(counts),
            "counts": dict(counts.most_common(MANY_LABELS)),
            "num_unlabelled": self._num_unlabelled,
            "majority_label": most,
            "majority_share": majority / num,
            "rare": dict(sorted(rare.items(), key=lambda pair: (pair[1], pair[0]))[:MANY_LABELS]),
            "respelt": dict(sorted(one_of.items())[:MANY_LABELS]),
            "alike": [list(pair) for pair in alike[:MANY_LABELS]],
            "num_contradicting_texts": num_texts,
            "num_contradicting_rows": num_contradicting,
        }
        odd = rare or alike or self._num_unlabelled or majority / num >= self.settings.majority_share
        level = "problem" if num_respelt or num_texts else "warning" if odd else "ok"
        remedy = "give labels that differ only in case or spaces the spelling of most rows" if num_respelt else None
        pairs = tuple(Shown("", label, name, f"{self._counts[label]} rows") for label, name in sorted(one_of.items()))
        examples = (*pairs[:MANY_SHOWN], *self._contradictions)
        title = "; ".join(part for part in parts if part)
        return Finding(self.name, title, level, num_respelt, remedy, figures, examples)

    def _num_contradicting(self) -> tuple[int, int]:
        """Returns how many texts have several labels, spelt alike, and how many rows they stand in."""
        names = list(self._codes)
        final = {name: code for code, name in enumerate(dict.fromkeys(self._unified.get(name, name) for name in names))}
        codes = np.array([final[self._unified.get(name, name)] for name in names], dtype=np.uint64)
        texts = np.frombuffer(self._texts, np.uint64)
        labels = codes[np.frombuffer(self._labels, np.int32)]
        order = np.lexsort((labels, texts))
        texts, labels = texts[order], labels[order]
        starts = np.flatnonzero(np.r_[True, texts[1:] != texts[:-1]])
        sizes = np.diff(np.r_[starts, len(texts)])
        several = labels[starts] != labels[starts + sizes - 1]
        return int(several.sum()), int(sizes[several].sum())

    def decide(self, row: Row) -> Change | None:
        """Gives a row the spelling of its label that most rows have."""
        label = row.example.label
        name = self._unified.get(label) if label is not None else None
        return None if name is None else Change(labelled(row.example, name), f"label {label!r} is spelt {name!r}")


def _text_hash(example: Example) -> int:
    """Returns a hash of what a classification example says, the same whatever its case and spaces."""
    text = "\n".join(message.content for message in example.prompt)
    return xxhash.xxh3_64_intdigest(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"))
