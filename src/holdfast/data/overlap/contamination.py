"""Finds held-out items in other texts: by equal words, by long runs of words, by the share of shorter runs.

After Brown et al. 2020 (Language Models are Few-Shot Learners, appendix C): a text that has a run of 13 words in
common with a test item has seen it.

Choices made here:
- Of an item, what the user says is looked for: answers of a service repeat themselves by right, and the system turn is
  its setting. The text that is searched is every turn but the system's.
- Templates are taken off before: words in a run of 8 that more than 3 different items hold belong to no item. With few
  items, a run that more than a quarter of them hold counts as a template too. A shorter run may reach into a template
  if half of it is the item's own.
- Of the own test, words in a run of 8 that many of all rows hold are a template as well (`shared_runs`); rows that
  share a long run with few others lie on one side of the split. Tests of earlier skills and benchmarks are not split
  from these rows: there a run that many rows hold is an item that they repeat.
- An item too short for a run of 13 words, or edited, is found by the share of its runs of 8 words that stand in the
  text (containment, Broder 1997). An item of 5 to 7 words is found as a whole, a shorter one where
  it is all that a row asks.
- Another wording of the same fact (column `fact`) is in the test by design; only the same words count there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

import numpy as np
from pydantic import Field

from holdfast.data.overlap.shared_runs import MIN_WORDS, Turns, few_rows, item_text
from holdfast.data.overlap.word_grams import Words, grams_of, text_hashes, words_of
from holdfast.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from holdfast.types import Example, JSONValue

Examples: TypeAlias = "Callable[[], Iterable[Example]]"
"""Data that can be read again and again."""
T = TypeVar("T")
Rule: TypeAlias = Literal["same", "long run", "short runs"]
RULES: tuple[Rule, ...] = ("same", "long run", "short runs")

CHUNK = 1000
"""So many examples are compared at a time."""
MIN_SHORT_RUNS = 3
"""A share of runs is a share of so many at least, unless the whole item has fewer."""


class OverlapSettings(Settings):
    """What counts as the same text."""

    long_run: Annotated[int, Field(ge=4)] = 13
    """So many words in a row in common are a hit by themselves."""
    short_run: Annotated[int, Field(ge=2)] = 8
    """The length of the shorter runs, of which a share must be in common."""
    min_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """This share of an item's shorter runs is a hit."""
    max_items: Annotated[int, Field(ge=1)] = 3
    """A run in more held-out items than this is a template, and does not count."""
    max_source_items: Annotated[int, Field(ge=1)] = 100_000
    """The first so many items of each source are looked for; that there are more is said."""


@dataclass(frozen=True, slots=True)
class Item:
    """A held-out item: which data it is from, its place there, and its text, for people."""

    source: str
    place: str
    text: str
    fact: JSONValue = None


@dataclass(frozen=True, slots=True)
class Hit:
    """Text number `text` holds the item number `item`; `share` of its shorter runs (1 for the other rules)."""

    text: int
    item: int
    rule: Rule
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class _Postings:
    """Hashes in order, the item that each is in, and a table by their low bits that most strangers fail."""

    hashes: NDArray[np.uint64]
    items: NDArray[np.int64]
    table: NDArray[np.bool_]

    @classmethod
    def of(cls, hashes: NDArray[np.uint64], items: NDArray[np.int64]) -> _Postings:
        items, hashes = _distinct(items, hashes)
        table = np.zeros(1 << max(16, len(hashes).bit_length() + 3), dtype=np.bool_)
        table[hashes & np.uint64(len(table) - 1)] = True
        return cls(hashes, items, table)

    def find(self, wanted: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns pairs: the index into `wanted`, and an item that has this hash."""
        likely = np.flatnonzero(self.table[wanted & np.uint64(len(self.table) - 1)])
        first = np.searchsorted(self.hashes, wanted[likely], side="left")
        counts = np.searchsorted(self.hashes, wanted[likely], side="right") - first
        offsets = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(likely, counts), self.items[np.repeat(first, counts) + offsets]


@dataclass(frozen=True, slots=True)
class OverlapIndex:
    """Held-out items as sorted hashes of their words; 12 to 30 bytes a word."""

    settings: OverlapSettings
    items: tuple[Item, ...]
    skipped: Mapping[str, int]
    """How many items of a source were beyond `max_source_items`."""
    _same: _Postings
    _long: _Postings
    _short: _Postings
    _few: tuple[int, ...]
    _num_short: NDArray[np.int64]
    _num_words: NDArray[np.int64]

    def hits(self, examples: Sequence[Example]) -> list[Hit]:
        """Returns which items the examples hold, each pair once, by example; `text` is the position of the example."""
        if not self.items or not examples:
            return []
        turns = Turns.of(examples)
        found: dict[tuple[int, int], Hit] = {}
        for hit in (*self._asked(turns), *self._contained(turns.joined())):
            fact = self.items[hit.item].fact
            if hit.rule == "same" or fact is None or examples[hit.text].columns.get("fact") != fact:
                found.setdefault((hit.text, hit.item), hit)
        return [found[pair] for pair in sorted(found)]

    def _asked(self, turns: Turns) -> Iterator[Hit]:
        """Yields the hits of examples that ask the words of an item: in all user turns together, or in one of them."""
        asked = turns.words.where(turns.user[turns.words.texts])
        whole = text_hashes(asked.within(turns.examples, turns.num_examples))
        for text, item in zip(*self._same.find(whole), strict=True):
            yield Hit(int(text), int(item), "same")
        for turn, item in zip(*self._same.find(text_hashes(asked)), strict=True):
            if self._num_words[item] >= MIN_WORDS:
                yield Hit(int(turns.examples[turn]), int(item), "same")

    def _contained(self, given: Words) -> Iterator[Hit]:
        num = len(self.items)
        runs = grams_of(given, self.settings.long_run)
        places, items = self._long.find(runs.hashes)
        for pair in np.unique(runs.texts[places] * num + items):
            yield Hit(int(pair // num), int(pair % num), "long run")
        found = [self._found_runs(given, length) for length in (self.settings.short_run, *self._few)]
        texts, items, hashes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        pairs, inverse = np.unique(texts * num + items, return_inverse=True)
        different, _ = _distinct(inverse, hashes)
        counts = np.bincount(different, minlength=len(pairs))
        shares = counts / self._num_short[pairs % num]
        enough = shares >= self.settings.min_share
        for pair, share in zip(pairs[enough], shares[enough], strict=True):
            yield Hit(int(pair // num), int(pair % num), "short runs", float(share))

    def _found_runs(self, given: Words, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
        """Returns the text, the item and the hash of every run of a length that an item holds too."""
        runs = grams_of(given, length)
        places, items = self._short.find(runs.hashes)
        return runs.texts[places], items, runs.hashes[places]


def overlap_index(sources: Mapping[str, Iterable[Example]], settings: OverlapSettings | None = None) -> OverlapIndex:
    """Returns the index of all items of the named sources; equal items of one source are one item."""
    builder = IndexBuilder(settings or OverlapSettings())
    for name, examples in sources.items():
        for chunk in chunks_of(examples):
            builder.add(name, chunk)
    return builder.index()


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a held-out item stands: which data, the place there, and by which rule it was found."""

    source: str
    place: str
    rule: Rule


def held_out_seen(index: OverlapIndex, earlier: Mapping[str, Examples]) -> dict[int, Seen]:
    """Returns for every item of `index` that stands in earlier training data where it was found first."""
    seen: dict[int, Seen] = {}
    for name, examples in earlier.items():
        for chunk in chunks_of(examples()):
            for hit in index.hits(chunk):
                seen.setdefault(hit.item, Seen(name, chunk[hit.text].source, hit.rule))
    return seen


def chunks_of(examples: Iterable[T]) -> Iterator[list[T]]:
    """Yields lists of at most `CHUNK` examples or rows."""
    rest = iter(examples)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


class IndexBuilder:
    """Takes in held-out items chunk by chunk and makes their index; 17 bytes a word meanwhile."""

    def __init__(self, settings: OverlapSettings) -> None:
        self._settings = settings
        self._items: list[Item] = []
        self._same: list[int] = []
        self._words: list[Words] = []
        self._known: dict[tuple[str, int], int] = {}
        self._counts: dict[str, int] = {}
        self._skipped: dict[str, int] = {}
        self._templates: list[tuple[str, NDArray[np.uint64]]] = []

    def add(self, source: str, examples: Sequence[Example]) -> list[int]:
        """Takes in items of a source; returns the number of each (-1 without a word, or beyond the bound)."""
        given = words_of([item_text(example) for example in examples])
        numbers: list[int] = []
        new: list[int] = []
        for example, same in zip(examples, text_hashes(given), strict=True):
            number = self._known.get((source, int(same)), -1) if same else -1
            if same and number < 0 and self._counts.get(source, 0) >= self._settings.max_source_items:
                self._skipped[source] = self._skipped.get(source, 0) + 1
            elif same and number < 0:
                number = self._known[source, int(same)] = len(self._items)
                self._counts[source] = self._counts.get(source, 0) + 1
                self._items.append(Item(source, example.source, item_text(example)[:1000], example.columns.get("fact")))
                self._same.append(int(same))
                new.append(len(numbers))
            numbers.append(number)
        ranks = np.full(len(examples), -1, dtype=np.int64)
        ranks[new] = np.arange(len(self._items) - len(new), len(self._items))
        kept = given.where(ranks[given.texts] >= 0)
        self._words.append(Words(kept.hashes, ranks[kept.texts], kept.unspaced, kept.places, 0))
        return numbers

    def leave_out_templates(self, source: str, rows: Iterable[Example]) -> None:
        """Leaves out words of the items of a source that stand in a short run which many of `rows` hold.

        Called when all items of the source were added. Rows are gone through once; held are the runs of the items.
        """
        of_source = np.array([item.source == source for item in self._items], dtype=np.bool_)
        given = _joined(self._words, len(self._items))
        own = np.unique(grams_of(given.where(of_source[given.texts]), self._settings.short_run).hashes)
        runs, counts, num_rows = _Postings.of(own, np.arange(len(own))), np.zeros(len(own), np.int64), 0
        for chunk in chunks_of(rows):
            held = grams_of(Turns.of(chunk).joined(), self._settings.short_run)
            places, found = runs.find(held.hashes)
            np.add.at(counts, np.unique(held.texts[places] * len(own) + found) % max(len(own), 1), 1)
            num_rows += len(chunk)
        self._templates.append((source, own[counts > few_rows(num_rows)]))

    def index(self) -> OverlapIndex:
        """Returns the index of what was taken in."""
        num = len(self._items)
        given = _joined(self._words, num)
        same = np.array(self._same, dtype=np.uint64)
        template = self._template(given, same)
        long = grams_of(given.where(~template), self._settings.long_run)
        runs = grams_of(given, self._settings.short_run)
        own = np.r_[0, np.cumsum(~template)]
        admitted = 2 * (own[runs.ends] - own[runs.starts]) >= runs.ends - runs.starts
        few = self._few_words(given, num)
        whole = [grams_of(given.where(few[given.texts] == length), length) for length in np.unique(few[few > 0])]
        postings = _Postings.of(
            np.concatenate([runs.hashes[admitted], *(one.hashes for one in whole)]),
            np.concatenate([runs.texts[admitted], *(one.texts for one in whole)]),
        )
        all_short = np.bincount(runs.texts, minlength=num)
        return OverlapIndex(
            self._settings,
            tuple(self._items),
            dict(self._skipped),
            _Postings.of(same, np.arange(num)),
            _Postings.of(long.hashes, long.texts),
            postings,
            tuple(int(length) for length in np.unique(few[few > 0])),
            np.maximum(np.bincount(postings.items, minlength=num), np.clip(all_short, 1, MIN_SHORT_RUNS)),
            np.bincount(given.texts, minlength=num),
        )

    def _template(self, given: Words, same: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Returns which words are in a run that too many different items hold, or many rows (`leave_out_templates`)."""
        _, different = np.unique(same, return_inverse=True)
        most = min(self._settings.max_items, max(1, (int(different.max()) + 1) // 4)) if len(different) else 1
        runs = grams_of(given, self._settings.short_run)
        _, held = _distinct(different[runs.texts], runs.hashes)
        hashes, counts = np.unique(held, return_counts=True)
        common = np.isin(runs.hashes, hashes[counts > most])
        for source, of_many in self._templates:
            of_source = np.array([item.source == source for item in self._items], dtype=np.bool_)
            common |= of_source[runs.texts] & np.isin(runs.hashes, of_many)
        depth = np.zeros(len(given.hashes) + 1, dtype=np.int64)
        np.add.at(depth, runs.starts[common], 1)
        np.add.at(depth, runs.ends[common], -1)
        return np.cumsum(depth)[:-1] > 0

    def _few_words(self, given: Words, num: int) -> NDArray[np.int64]:
        """Returns the length of each item that is shorter than a short run and no phrase; 0 for all others."""
        lengths = np.bincount(given.texts, minlength=num)
        lengths[2 * np.bincount(given.texts[given.unspaced], minlength=num) > lengths] //= 2
        return np.where((lengths >= MIN_WORDS) & (lengths < self._settings.short_run), lengths, 0)


def _distinct(numbers: NDArray[np.int64], hashes: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Returns the different pairs of a number and a hash, by hash."""
    order = np.lexsort((numbers, hashes))
    numbers, hashes = numbers[order], hashes[order]
    new = np.ones(len(hashes), dtype=np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (numbers[1:] != numbers[:-1])
    return numbers[new], hashes[new]


def _joined(parts: Sequence[Words], num_texts: int) -> Words:
    """Returns the words of all parts as one, no run going from one part to the next."""
    offsets = np.cumsum([0, *(int(part.places[-1]) + 2 if len(part.places) else 0 for part in parts)])
    places = [part.places + offset for part, offset in zip(parts, offsets, strict=False)]
    none = np.empty(0, np.int64)
    return Words(
        np.concatenate([np.empty(0, np.uint64), *(part.hashes for part in parts)]),
        np.concatenate([none, *(part.texts for part in parts)]),
        np.concatenate([np.empty(0, np.bool_), *(part.unspaced for part in parts)]),
        np.concatenate([none, *places]),
        num_texts,
    )
