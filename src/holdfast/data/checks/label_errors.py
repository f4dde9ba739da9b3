"""Labels that are probably wrong: confident learning (Northcutt et al. 2021) by cleanlab, on probabilities out of fold.

A classifier that has not seen a row is asked for its label. Where it contradicts the given label with confidence, in
view of how often it is confident and wrong about each label, the row is a suspect. Suspects are for people to look at:
how many of them are truly wrong depends on how well the classifier knows the task, which the finding says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from holdfast.data.check import (
    MANY_SHOWN,
    Change,
    Check,
    CheckSettings,
    Context,
    Drop,
    Finding,
    Row,
    Shown,
    shortened,
)
from holdfast.data.labels.change import labelled
from holdfast.data.labels.out_of_fold import Labelled, Sample, out_of_fold
from holdfast.errors import DataError
from holdfast.settings import Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.types import JSONValue

MANY_LISTED = 200
"""So many suspects, the surest first, are listed in a report."""
POOR = 0.7
"""Where the classifier agrees with fewer labels than this, its suspects are guesses, and this is said."""
INSTALL = "pip install 'holdfast[label]'"


class LabelErrorsSettings(CheckSettings):
    """How suspects are looked for, and what becomes of them."""

    action: Literal["review", "relabel", "drop"] = "review"
    """What is proposed: to look at suspects, to give them the label that the classifier suggests, or to drop them."""
    min_confidence: Share = 0.0
    """A suspect's suggested label is at least this probable."""
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Into so many parts rows are divided, each judged by a classifier of the others; rarer labels are not judged."""
    max_rows: Annotated[int, Field(ge=10)] = 20_000
    """Of more labelled rows than this a sample, drawn by content, is judged."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row whose label is probably wrong, and the one that it should probably have, with its probability."""

    number: int
    label: str
    suggested: str
    confidence: float
    source: str
    text: str


class LabelErrors(Check[LabelErrorsSettings]):
    """Rows whose label a classifier that has not seen them contradicts with confidence."""

    name: ClassVar[str] = "label_errors"
    Settings: ClassVar[type[CheckSettings]] = LabelErrorsSettings
    training_only: ClassVar[bool] = True

    def __init__(self, settings: LabelErrorsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._sample = Sample(settings.max_rows, context.seed)

    def see(self, rows: Sequence[Row]) -> None:
        """Takes in the rows that have a label."""
        for row in rows:
            if row.example.label is not None:
                text = "\n".join(message.content for message in row.example.prompt)
                self._sample.add(row.number, row.example.label, text, row.example.source)

    @cached_property
    def _judged(self) -> list[Labelled]:
        rows = self._sample.rows()
        counts = Counter(row.label for row in rows)
        return [row for row in rows if counts[row.label] >= self.settings.folds]

    @cached_property
    def _probabilities(self) -> NDArray[np.float64]:
        """The out-of-fold probabilities of the judged rows, their labels in sorted order."""
        texts = [row.text for row in self._judged]
        settings, context = self.settings, self.context
        return out_of_fold(texts, self._codes, folds=settings.folds, seed=context.seed, embed=context.embed)

    @cached_property
    def _names(self) -> list[str]:
        return sorted({row.label for row in self._judged})

    @cached_property
    def _codes(self) -> NDArray[np.int64]:
        codes = {label: code for code, label in enumerate(self._names)}
        return np.array([codes[row.label] for row in self._judged], dtype=np.int64)

    @cached_property
    def suspects(self) -> tuple[Suspect, ...]:
        """The suspects, the surest first; raises `DataError` if cleanlab is not installed."""
        if len(self._names) < 2:
            return ()
        try:
            from cleanlab.filter import find_label_issues
        except ImportError:
            raise DataError(
                f"Label errors are looked for with cleanlab, which is not installed: {INSTALL}, "
                "or set label_errors.enabled = false.",
                param="label_errors",
            ) from None
        order = find_label_issues(
            self._codes, self._probabilities, return_indices_ranked_by="self_confidence", n_jobs=1
        )
        found: list[Suspect] = []
        for index in order:
            row, code = self._judged[index], int(self._probabilities[index].argmax())
            confidence = float(self._probabilities[index, code])
            if self._names[code] != row.label and confidence >= self.settings.min_confidence:
                name = self._names[code]
                found.append(Suspect(row.number, row.label, name, confidence, row.source, row.text))
        return tuple(found)

    @cached_property
    def _by_number(self) -> dict[int, Suspect]:
        return {suspect.number: suspect for suspect in self.suspects}

    def finding(self) -> Finding:
        """Judges the rows, and returns the suspects."""
        num_seen, num_judged = self._sample.num_seen, len(self._judged)
        if len(self._names) < 2:
            title = "There are no two labels with enough rows to look for wrong ones"
            return Finding(self.name, title if num_seen else "No row has a label", figures={"num_judged": 0})
        try:
            suspects = self.suspects
        except DataError as error:
            if self.settings.action != "review":
                raise
            return Finding(self.name, f"Not looked for: {error.message}", "note", figures={"num_judged": 0})
        agreement = float((self._probabilities.argmax(axis=1) == self._codes).mean())
        title = f"A simple classifier that has not seen them contradicts {len(suspects)} of {num_judged} labels clearly"
        if num_judged < num_seen:
            title += f" (a sample: {num_seen - num_judged} labelled rows were not judged)"
        title += f"; it agrees with {agreement:.0%}"
        if suspects and agreement < POOR:
            title += ", which is little: many of those labels will be right"
        remedy = {
            "review": None,
            "relabel": "give them the label that the classifier suggests",
            "drop": "drop them",
        }[self.settings.action]
        listed: list[JSONValue] = [
            {
                "number": suspect.number,
                "source": suspect.source,
                "label": suspect.label,
                "suggested": suspect.suggested,
                "confidence": round(suspect.confidence, 4),
            }
            for suspect in suspects[:MANY_LISTED]
        ]
        figures: dict[str, JSONValue] = {
            "num_judged": num_judged,
            "num_not_judged": num_seen - num_judged,
            "agreement": agreement,
            "features": "embeddings" if self.context.embed is not None else "words and letters",
            "suspects": listed,
        }
        level = "warning" if suspects else "ok"
        pairs = tuple(_shown(suspect) for suspect in suspects[:MANY_SHOWN])
        return Finding(self.name, title, level, len(suspects), remedy if suspects else None, figures, pairs)

    def decide(self, row: Row) -> Change | Drop | None:
        """Drops a suspect or gives it the suggested label, as the settings say."""
        suspect = self._by_number.get(row.number) if self.settings.action != "review" else None
        if suspect is None:
            return None
        phrase = (
            f"label {suspect.label!r} is probably wrong; {suspect.suggested!r} is {suspect.confidence:.0%} probable"
        )
        if self.settings.action == "drop":
            return Drop("label_error", f"has a {phrase}")
        return Change(labelled(row.example, suspect.suggested), phrase)


def _shown(suspect: Suspect) -> Shown:
    note = f"{suspect.label!r}, probably {suspect.suggested!r} ({suspect.confidence:.0%})"
    return Shown(suspect.source, shortened(suspect.text), note=note)
