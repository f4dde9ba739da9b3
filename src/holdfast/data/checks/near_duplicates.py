"""Rows whose words are nearly those of another row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import model_validator

from holdfast.data.check import MANY_SHOWN, LookingCheck
from holdfast.data.checks.duplicates import DuplicateCheck, DuplicateSettings, Outcome
from holdfast.data.dedup.compared import all_normalised, compared
from holdfast.data.dedup.exact import best_of, content_hashes, equal_rows
from holdfast.data.dedup.fuzzy import near_duplicates, similarities
from holdfast.data.dedup.groups import Standing, groups
from holdfast.data.dedup.shingles import Sets, common, shingle_sets, without
from holdfast.seeds import derive_seed
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.data.check import Context, Row
    from holdfast.data.dedup.groups import Pairs
    from holdfast.types import JSONValue

_ANSWER = np.uint32(0x5BD1E995)
"""Turns the shingles of an answer into others than the same words have in a prompt."""


class NearSettings(DuplicateSettings):
    """How alike rows must be, and how they are looked for."""

    threshold: Share = 0.7
    """Jaccard similarity of shingles, of prompt and of answer each, from which on two rows are duplicates."""
    group_threshold: Share = 0.5
    """The same of prompts alone, from which on two rows must lie on the same side of a split (`group_of`)."""
    words: Count = 2
    """Words in a shingle."""
    characters: Count = 4
    """Characters in a shingle, in scripts that put no spaces between words."""
    boilerplate: Share = 0.05
    """Shingles in more than this share of rows (and in more than ten) do not count: a template gives them to all."""
    permutations: Count = 128
    """Length of a MinHash signature: more cost time and find candidates more surely."""
    recall: Share = 0.99
    """Chance to find a pair that is just as alike as the threshold says."""

    @model_validator(mode="after")
    def _not_zero(self) -> NearSettings:
        if self.threshold == 0 or self.group_threshold == 0:
            raise ValueError("a threshold of 0 makes all rows alike; give one above 0")
        return self


@dataclass(frozen=True, slots=True)
class Shingled:
    """A chunk's rows as they are compared: hashes of prompt, answer and setting, and shingles of both in turn.

    `stops` are the ends of each set of shingles in `values`, that of a row's prompt before that of its answer.
    """

    prompts: NDArray
    answers: NDArray
    settings: NDArray
    values: NDArray
    stops: NDArray


class NearDuplicates(DuplicateCheck[NearSettings], LookingCheck[NearSettings, Shingled]):
    """Finds rows that share most of their shingles, by MinHash and an exact comparison, and keeps the best of each."""

    name = "near_duplicates"
    Settings = NearSettings
    kind = "near_duplicate"

    def __init__(self, settings: NearSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._prompts = self._column("prompts", np.uint64)
        self._answers = self._column("answers", np.uint64)
        self._settings = self._column("settings", np.uint64)
        self._shingles = self._column("shingles", np.uint32)
        self._stops = self._column("stops", np.int64)

    def look(self, rows: Sequence[Row]) -> Shingled:
        """Returns the shingles of each row's prompt and answer, and the hashes of what they are compared by."""
        told = self.settings
        texts = [compared(row.example, told.on, told.columns) for row in rows]
        prompts = all_normalised([text.prompt for text in texts])
        answers = all_normalised([text.answer for text in texts])
        both = [text for pair in zip(prompts, answers, strict=True) for text in pair]
        sets = shingle_sets(both, told.words, told.characters)
        of_answer = np.repeat(np.arange(len(both)) % 2 == 1, sets.sizes())
        values = np.where(of_answer, sets.values ^ _ANSWER, sets.values)
        settings = content_hashes([text.setting for text in texts])
        return Shingled(content_hashes(prompts), content_hashes(answers), settings, values, sets.stops)

    def take(self, rows: Sequence[Row], looked: Shingled) -> None:
        """Notes the shingles of each row's prompt and answer."""
        self.note(rows)
        self._prompts.append(looked.prompts)
        self._answers.append(looked.answers)
        self._settings.append(looked.settings)
        self._stops.append(looked.stops + len(self._shingles))
        self._shingles.append(looked.values)

    def group_of(self, number: int) -> int:
        """Returns the least number of the rows whose prompts are alike to this one's; its own for a row not seen."""
        index = self._index(number)
        return number if index is None else int(self._known_numbers[self._groups[index]])

    def _outcome(self) -> Outcome:
        rank, labels = self._ranks(), self._labels.read()
        prompts, answers, settings = self._prompts.read(), self._answers.read(), self._settings.read()
        # Rows of equal texts are compared once, by the best of them.
        best = best_of(equal_rows(prompts, answers, settings, labels), rank)
        distinct = np.flatnonzero(best == np.arange(len(best)))
        whole, prompt, answer = self._sets(distinct)
        torn: set[int] = set()
        some: list[tuple[int, int]] = []

        def accept(pairs: Pairs) -> NDArray:
            one, other = distinct[pairs.first], distinct[pairs.second]
            alike = settings[one] == settings[other]
            for sets, hashes in ((prompt, prompts), (answer, answers)):
                similar = similarities(sets, pairs.first, pairs.second) >= self.settings.threshold
                wordless = sets.sizes(pairs.first) + sets.sizes(pairs.second) == 0
                alike &= np.where(wordless, hashes[one] == hashes[other], similar)
            agree = labels[one] == labels[other]
            contradict = alike & ~agree & (labels[one] > 0) & (labels[other] > 0)
            torn.update(one[contradict].tolist(), other[contradict].tolist())
            if len(some) < MANY_SHOWN:
                some.extend(zip(one[contradict].tolist(), other[contradict].tolist(), strict=True))
            return alike & agree

        told = self.settings
        found, _ = near_duplicates(whole, rank[distinct], told.threshold, accept=accept, **self._how("rows"))
        stands, similarity = np.arange(len(best)), np.ones(len(best), dtype=np.float32)
        stands[distinct], similarity[distinct] = distinct[found.representative], found.similarity
        return Outcome(Standing(stands[best], similarity[best]), len(torn), tuple(some[:MANY_SHOWN]))

    @cached_property
    def _groups(self) -> NDArray:
        """For each row the index of the first row of its group."""
        prompts, answers = self._prompts.read(), self._answers.read()
        whole, prompt, answer = self._sets(np.arange(len(prompts)))
        asked = prompt.sizes() > 0
        # What asks nothing is told by what it says.
        first = equal_rows(np.where(asked, prompts, answers), asked)
        distinct = np.flatnonzero(first == np.arange(len(first)))
        starts = np.where(asked, prompt.starts, answer.starts)[distinct]
        sets = Sets(whole.values, starts, np.where(asked, prompt.stops, answer.stops)[distinct])
        in_order = np.arange(len(distinct))
        _, pairs = near_duplicates(sets, in_order, self.settings.group_threshold, **self._how("groups"))
        group = np.arange(len(first))
        group[distinct] = distinct[groups(len(distinct), pairs)]
        return group[first]

    def _sets(self, rows: NDArray) -> tuple[Sets, Sets, Sets]:
        """Returns the shingles of some rows: of prompt and answer together, of the prompts, of the answers."""
        both = self._telling
        prompt = Sets(both.values, both.starts[2 * rows], both.stops[2 * rows])
        answer = Sets(both.values, both.starts[2 * rows + 1], both.stops[2 * rows + 1])
        return Sets(both.values, prompt.starts, answer.stops), prompt, answer

    @cached_property
    def _telling(self) -> Sets:
        """The shingles of each row's prompt and answer, in turn, without those that a template gives to many rows."""
        stops = self._stops.read()
        starts = np.concatenate([np.zeros(1, np.int64), stops[:-1]])
        every = Sets(self._shingles.read(), starts[: len(stops)], stops)
        alike = common(Sets(every.values, starts[: len(stops) : 2], stops[1::2]), self.settings.boilerplate)
        return without(every, alike, self.folder / "telling") if len(alike) else every

    def _how(self, name: str) -> dict[str, Any]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        told = self.settings
        seed = derive_seed(self.context.seed, f"minhash {name}")
        return {"folder": folder, "permutations": told.permutations, "recall": told.recall, "seed": seed}

    def _figures(self) -> dict[str, JSONValue]:
        return {"threshold": self.settings.threshold}

    def _alike(self, similarity: float) -> str:
        return f"shares {similarity:.0%} of the word pairs that tell rows apart with"

    @property
    def _said(self) -> str:
        return "are nearly the same as"
