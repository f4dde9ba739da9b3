"""Rows that mean what another row means, in other words."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from holdfast.data.check import MANY_SHOWN, Finding
from holdfast.data.checks.duplicates import DuplicateCheck, DuplicateSettings, Outcome
from holdfast.data.dedup.columns import Column, TextColumn
from holdfast.data.dedup.compared import compared, normalised
from holdfast.data.dedup.exact import best_of, content_hashes, equal_rows
from holdfast.data.dedup.groups import Pairs, Standing, groups, settled
from holdfast.data.dedup.semantic import cosines_of, neighbours
from holdfast.data.dedup.shingles import distinct
from holdfast.errors import ConfigError
from holdfast.seeds import derive_seed
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import JSONValue

AT_A_TIME = 512
"""Texts that are embedded together."""


class SemanticSettings(DuplicateSettings):
    """How near in meaning rows must be."""

    remedy: Literal["ask", "apply", "skip"] = "skip"
    """Whether duplicates in meaning are dropped; they are only reported, since another wording also teaches."""
    threshold: Share = 0.9
    """Cosine of the vectors, of prompts and of answers each, from which on two rows are duplicates."""
    group_threshold: Share = 0.8
    """The same of prompts alone, from which on two rows must lie on the same side of a split (`group_of`)."""
    max_rows: Count = 50_000
    """With more rows than this nothing is compared: the encoder takes some milliseconds a text."""


class SemanticDuplicates(DuplicateCheck[SemanticSettings]):
    """Finds rows whose prompts and answers each mean the same, by a sentence encoder, and keeps the best of each.

    Without an encoder nothing is compared and the finding says so: the cosine of TF-IDF vectors, which needs none,
    finds hardly more than the check of near-duplicates does.
    """

    name = "semantic_duplicates"
    Settings = SemanticSettings
    kind = "semantic_duplicate"
    level = "note"

    def __init__(self, settings: SemanticSettings, context: Context) -> None:
        super().__init__(settings, context)
        if settings.review and context.embed is None:
            raise ConfigError("checks.semantic_duplicates.review would have no effect without an encoder; remove it.")
        self._texts = {"prompt": TextColumn(self.folder, "prompt"), "answer": TextColumn(self.folder, "answer")}
        self._hashes = {name: self._column(f"{name}.hashes", np.uint64) for name in self._texts}
        self._settings = self._column("settings", np.uint64)

    @property
    def silent(self) -> str:
        """Why nothing is compared, "" where it is."""
        if self.context.embed is None:
            return "no sentence encoder is installed (pip install 'holdfast[embed]')"
        if len(self._numbers) > self.settings.max_rows:
            return f"{len(self._numbers)} rows are more than max_rows = {self.settings.max_rows}"
        return ""

    def see(self, rows: Sequence[Row]) -> None:
        """Notes each row's prompt and answer."""
        self.note(rows)
        if self.silent:
            return
        texts = [compared(row.example, self.settings.on, self.settings.columns) for row in rows]
        # What asks nothing is told by what it says.
        sides = {"prompt": [text.prompt or text.answer for text in texts], "answer": [text.answer for text in texts]}
        for name, side in sides.items():
            self._texts[name].append(side)
            self._hashes[name].append(content_hashes(normalised(text) for text in side))
        self._settings.append(content_hashes([text.setting for text in texts]))

    def finding(self) -> Finding:
        """Returns how many rows mean what another row means, or why nothing was compared."""
        if self.silent:
            return Finding(self.name, f"Rows were not compared by their meaning: {self.silent}.", level="note")
        return super().finding()

    def decide(self, row: Row) -> Decision:
        """Drops a row for which another one stands, or which a person marked."""
        return None if self.silent else super().decide(row)

    def group_of(self, number: int) -> int:
        """Returns the least number of the rows whose prompts mean the same; its own where nothing was compared."""
        index = None if self.silent else self._index(number)
        return number if index is None else int(self._known_numbers[self._groups[index]])

    def _outcome(self) -> Outcome:
        labels, settings = self._labels.read(), self._settings.read()
        prompts, answers = self._hashes["prompt"].read(), self._hashes["answer"].read()
        threshold, rank = self.settings.threshold, self._ranks()
        first, pairs = self._alike_prompts
        near = pairs.where(pairs.similarity >= threshold)
        # Only where prompts are alike, or the same, are answers looked at.
        alike = np.bincount(first, minlength=len(first)) > 1
        alike[near.first] = alike[near.second] = True
        rows = np.flatnonzero(alike[first])
        best = best_of(equal_rows(prompts, answers, settings, labels), rank)
        rows = rows[best[rows] == rows]
        sides = {"prompt": self._vectors("prompt", rows, "rows")}
        if len(distinct(answers)) > 1:
            sides["answer"] = self._vectors("answer", rows, "rows")
        torn: set[int] = set()
        some: list[tuple[int, int]] = []

        def search(places: NDArray, number: int) -> tuple[Pairs, NDArray]:
            # Where both sides are near enough, so is their mean, which is the cosine of the two vectors together.
            both = np.concatenate([side[places] for side in sides.values()], axis=1) / np.float32(len(sides) ** 0.5)
            found, more = neighbours(both, np.arange(len(places)), threshold, seed=self._seed + number)
            found = Pairs(places[found.first], places[found.second], found.similarity)
            cosines = [cosines_of(side, found) for side in sides.values()]
            least = np.min(cosines, axis=0) if len(found) else found.similarity
            one, other = rows[found.first], rows[found.second]
            meant = (least >= threshold) & (settings[one] == settings[other])
            agree = labels[one] == labels[other]
            contradict = meant & ~agree & (labels[one] > 0) & (labels[other] > 0)
            torn.update(one[contradict].tolist(), other[contradict].tolist())
            some.extend(zip(one[contradict][:MANY_SHOWN].tolist(), other[contradict].tolist(), strict=False))
            return Pairs(found.first, found.second, least).where(meant & agree), places[more]

        found, _ = settled(len(rows), np.arange(len(rows)), rank[rows], search)
        stands, similarity = np.arange(len(best)), np.ones(len(best), dtype=np.float32)
        stands[rows], similarity[rows] = rows[found.representative], found.similarity
        return Outcome(Standing(stands[best], similarity[best]), len(torn), tuple(some[:MANY_SHOWN]))

    @cached_property
    def _groups(self) -> NDArray:
        """For each row the index of the first row of its group."""
        first, pairs = self._alike_prompts
        near = pairs.where(pairs.similarity >= self.settings.group_threshold)
        return groups(len(first), near)[first]

    @cached_property
    def _alike_prompts(self) -> tuple[NDArray, Pairs]:
        """For each row the first with the same prompt, and pairs of those whose prompts are near in meaning."""
        first = equal_rows(self._hashes["prompt"].read())
        rows = np.flatnonzero(first == np.arange(len(first)))
        vectors = self._vectors("prompt", rows, "prompts")
        least = min(self.settings.threshold, self.settings.group_threshold)

        def search(places: NDArray, number: int) -> tuple[Pairs, NDArray]:
            return neighbours(vectors, places, least, seed=self._seed + number)

        in_order = np.arange(len(rows))
        _, pairs = settled(len(rows), in_order, in_order, search)
        return first, Pairs(rows[pairs.first], rows[pairs.second], pairs.similarity)

    def _vectors(self, side: str, rows: NDArray, name: str) -> NDArray:
        """Returns a vector (float32, of unit length) for one side of each of `rows`, in a file of that name."""
        assert self.context.embed is not None  # `silent` otherwise
        vectors = Column(self.folder / f"{side}.{name}.vectors", np.float32)
        first = equal_rows(self._hashes[side].read()[rows])
        told = np.flatnonzero(first == np.arange(len(rows)))
        for start in range(0, len(told), AT_A_TIME):
            texts = self._texts[side].read(rows[told[start : start + AT_A_TIME]])
            vectors.append(np.asarray(self.context.embed(texts), dtype=np.float32).ravel())
        matrix = vectors.read().reshape(len(told), -1) if len(told) else np.empty((0, 1), np.float32)
        return matrix[np.searchsorted(told, first)]

    @property
    def _seed(self) -> int:
        return derive_seed(self.context.seed, "semantic cells")

    def _figures(self) -> dict[str, JSONValue]:
        return {"threshold": self.settings.threshold}

    def _alike(self, similarity: float) -> str:
        return f"means the same (cosine {similarity:.2f}) as"

    @property
    def _said(self) -> str:
        return "mean the same as"
