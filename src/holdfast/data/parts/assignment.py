"""Which row goes to training, to the test and to validation: by group, by label, by time, and by fact.

Rows that belong together are a *unit*: all answers to one prompt, all rows of one group of near-duplicates and
paraphrases, conversations with one first question, all rows with one value of `group_column`, rows that share a long
run of words with few others. A unit is never divided. 20 to 60 bytes are held for every row, and 12 for each run of
words up to a bound (`runs`); about as much again while units are made.

Choices made here:
- Which unit goes where is drawn from its content and the seed, never from the order of the files or from its size.
- Rows that share a long run of words are not joined to more than a quarter of the test's rows, or ten where that is
  more, so that the test is never one unit. What is not joined for that is left to contamination.
- Stratified: each label's units are taken in drawn order while they bring its number of test rows nearer to what it
  should be, so that it ends within one unit of it. What a label is short of is passed on to the next (half a row at
  most), so that the sum is right where every label is rare. Units with several labels are placed first; the others
  make up for them.
- By time a unit is as old as its newest row. A unit larger than the whole test should be stays in training, so that
  one prompt asked at all times does not swallow the test.
- The wordings of one fact are paraphrases of each other by design: neither groups nor runs hold them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from holdfast.data.example_json import prompt_id
from holdfast.data.parts.facts_apart import TEST, TRAIN, UNDECIDED, VALIDATION, FactsApart, facts_apart
from holdfast.data.parts.key import NO_GROUP, Key, Table, opening_of, table_of, time_of
from holdfast.data.parts.runs import joined_by_runs
from holdfast.data.parts.stratify import newest_first, stratified, units_of
from holdfast.data.parts.units import joined
from holdfast.errors import DataError
from holdfast.seeds import derive_seed
from holdfast.settings import Count, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from holdfast.types import Example

__all__ = ["Assignment", "Key", "LabelShare", "Side", "SplitSettings", "assign", "key_of"]

TEMPLATE_ROWS, TEMPLATE_SHARE = 20, 0.05
"""An opening that more rows than both share is a template."""
SMALL_UNIT = 10
"""Runs of words may join so many rows though they are more than a quarter of the test."""
Side: TypeAlias = Literal["train", "test", "validation"]
_SIDES: tuple[Side, ...] = ("train", "test", "validation")
# In the order of their codes in `Assignment.sides`.


class SplitSettings(Settings):
    """How rows are divided."""

    test_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.2
    """This share of the rows is held out for the test."""
    validation_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """This share is held out besides, to choose a checkpoint by."""
    max_test_rows: Count = 10_000
    """About so many rows are held out at most, for the test and for validation each: every run asks all of them."""
    stratify: bool = True
    """Whether every label has its share in the test; not where the newest rows are the test."""
    time_column: str | None = None
    """The column that says when a row was made (a number, or ISO 8601): the newest rows go to the test."""
    group_column: str | None = None
    """Rows with the same value in this column (a customer, a conversation, a document) go to the same side."""

    @model_validator(mode="after")
    def _agree(self) -> SplitSettings:
        if self.test_share + self.validation_share >= 1:
            raise ValueError(
                f"test_share and validation_share are {self.test_share + self.validation_share:g} together, "
                "which leaves nothing to learn from; make them smaller"
            )
        if self.time_column is not None:
            self.refuse_if_changed(["stratify"], "the newest rows are the test")
        return self


@dataclass(frozen=True, slots=True)
class LabelShare:
    """How many rows and units have a label, and how many of the rows went where; `label` None means no label."""

    label: str | None
    num_rows: int
    num_units: int
    num_test: int
    num_validation: int


@dataclass(frozen=True, slots=True)
class Assignment:
    """The side of every row. `numbers` are sorted, `sides` positions in `_SIDES`; notes are for people."""

    numbers: NDArray[np.int64]
    sides: NDArray[np.int8]
    labels: tuple[LabelShare, ...]
    num_units: int
    cut: float | None = None
    """Where the newest rows begin, in seconds, if the split is by time."""
    notes: tuple[str, ...] = field(default=())

    def side(self, number: int) -> Side:
        """Returns where a row goes; raises `DataError` if it was not given to the split."""
        place = int(np.searchsorted(self.numbers, number))
        if place == len(self.numbers) or self.numbers[place] != number:
            raise DataError(f"Row {number} was not given to the split, so it is on no side of it.")
        return _SIDES[self.sides[place]]

    def count(self, side: Side) -> int:
        """Returns the number of rows on a side."""
        return int((self.sides == _SIDES.index(side)).sum())


def key_of(
    number: int,
    example: Example,
    settings: SplitSettings,
    group: int | None = None,
    runs: NDArray[np.uint64] | None = None,
) -> Key:
    """Returns the key of an example: its prompt, label, and the columns that the settings name."""
    columns = example.columns
    owner = columns.get(settings.group_column) if settings.group_column else None
    fact = columns.get("fact")
    return Key(
        number,
        prompt_id(example),
        group,
        example.label,
        time_of(columns.get(settings.time_column)) if settings.time_column else None,
        fact if isinstance(fact, str) else None,
        None if owner is None or owner == "" else f"{type(owner).__name__} {owner}",
        opening_of(example),
        runs,
    )


def assign(keys: Iterable[Key], settings: SplitSettings, seed: int = 0) -> Assignment:
    """Returns the side of every row; the same for the same rows in any order. See the choices at the top.

    Raises `DataError` if a time column is named and no row has a time, or if a number occurs twice.
    """
    table = table_of(keys)
    if settings.time_column and table.times is None and len(table.numbers):
        raise DataError(
            f"No row has a time in the column {settings.time_column!r}, so nothing can be split by it. "
            "Name a column of numbers or ISO 8601 dates (2026-01-31).",
            param="time_column",
        )
    prompts, prompt_of = np.unique(table.prompts, return_inverse=True)
    draws = _mixed_bits(prompts ^ np.uint64(derive_seed(seed, "test split")))
    facts = _facts(table, prompt_of, draws, settings)
    settings, capped = _capped(settings, len(table.numbers))
    unit_of, apart = _units(table, prompt_of, draws, facts.sides, settings)
    sides = facts.sides[prompt_of]
    rest = np.flatnonzero(sides == UNDECIDED)
    chosen = _Chosen(np.empty(0, np.int8), None, ())
    if len(rest):
        _, rows = np.unique(unit_of[rest], return_inverse=True)  # in drawn order, because units are numbered so
        by_time = settings.time_column is not None and table.times is not None
        chosen = _by_time(table, rest, rows, settings) if by_time else _by_label(table, rest, rows, settings)
        sides[rest] = chosen.sides[rows]
    order = np.argsort(table.numbers, kind="stable")
    shares = _label_shares(table, unit_of, sides)
    notes = (*_notes(facts, sides, shares, settings), *apart, *capped, *chosen.notes)
    num_units = int(unit_of.max()) + 1 if len(unit_of) else 0
    return Assignment(table.numbers[order], sides[order], shares, num_units, chosen.cut, notes)


def _capped(settings: SplitSettings, num_rows: int) -> tuple[SplitSettings, tuple[str, ...]]:
    """Returns the settings with shares of at most `max_test_rows`, and what is to be said about it."""
    most = settings.max_test_rows / max(num_rows, 1)
    shares = {"test_share": settings.test_share, "validation_share": settings.validation_share}
    smaller = {name: most for name, share in shares.items() if share > most}
    if not smaller:
        return settings, ()
    names = " and ".join("the test" if name == "test_share" else "validation" for name in smaller)
    note = f"{names}: about {settings.max_test_rows:,} rows and not {max(shares.values()):.0%} (split.max_test_rows)"
    return settings.model_copy(update=smaller), (note,)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The side of every unit, the cut in time if there is one, and what is to be said about it."""

    sides: NDArray[np.int8]
    cut: float | None
    notes: tuple[str, ...]


def _facts(
    table: Table, prompt_of: NDArray[np.int64], draws: NDArray[np.uint64], settings: SplitSettings
) -> FactsApart:
    if table.facts is None:
        return FactsApart(np.full(len(draws), UNDECIDED, np.int8), 0, 0)
    asks = table.facts != 0
    return facts_apart(
        table.facts[asks],
        prompt_of[asks],
        draws,
        test_share=settings.test_share,
        validation_share=settings.validation_share,
    )


def _units(
    table: Table,
    prompt_of: NDArray[np.int64],
    draws: NDArray[np.uint64],
    fact_sides: NDArray[np.int8],
    settings: SplitSettings,
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Returns the unit of every row, numbered in drawn order, and what is to be said about them."""
    free = fact_sides[prompt_of] == UNDECIDED
    links: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if table.groups is not None:
        rows = (table.groups != NO_GROUP) & free
        links.append((prompt_of[rows], table.groups[rows]))
    if table.owners is not None:
        rows = (table.owners != 0) & free
        links.append((prompt_of[rows], table.owners[rows].view(np.int64)))
    if table.openings is not None:
        rows = _shared(table.openings) & free
        links.append((prompt_of[rows], table.openings[rows].view(np.int64)))
    largest = _largest_by_runs(len(prompt_of), settings)
    found = joined_by_runs(joined(len(draws), links), prompt_of, table.runs, free, largest)
    drawn = np.full(len(draws), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(drawn, found.components, draws)
    sizes = np.bincount(found.components, minlength=len(draws))
    drawn[sizes > 1] = _mixed_bits(drawn[sizes > 1])  # the least of many draws comes early
    rank = np.empty(len(draws), dtype=np.int64)
    rank[np.argsort(drawn, kind="stable")] = np.arange(len(draws))
    note = (
        f"rows that share long runs of words were left apart {found.num_refused} times, because their unit would be "
        "too large for the test; contamination looks for those that are in the test and in training"
    )
    return rank[found.components[prompt_of]], (note,) if found.num_refused else ()


def _largest_by_runs(num_rows: int, settings: SplitSettings) -> int:
    """Returns how large units may become by runs of words, in rows."""
    held_out = (settings.test_share or settings.validation_share) * num_rows
    return int(min(max(held_out / 4, SMALL_UNIT), held_out - 1))


def _shared(openings: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Returns which rows begin as others do, though not as so many that it is a template with which most begin."""
    _, inverse, counts = np.unique(openings, return_inverse=True, return_counts=True)
    most = max(TEMPLATE_ROWS, TEMPLATE_SHARE * len(openings))
    return (openings != 0) & (counts[inverse] > 1) & (counts[inverse] <= most)


def _by_label(table: Table, rest: NDArray[np.int64], rows: NDArray[np.int64], settings: SplitSettings) -> _Chosen:
    num_units = int(rows.max()) + 1
    codes = table.codes[rest].astype(np.int64) if settings.stratify else np.zeros(len(rest), np.int64)
    units = units_of(rows, codes, num_units, len(table.labels) if settings.stratify else 1)
    test = stratified(units, settings.test_share, np.zeros(num_units, dtype=np.bool_))
    validation = stratified(units, settings.validation_share, test)
    return _Chosen(np.where(test, TEST, np.where(validation, VALIDATION, TRAIN)).astype(np.int8), None, ())


def _by_time(table: Table, rest: NDArray[np.int64], rows: NDArray[np.int64], settings: SplitSettings) -> _Chosen:
    assert table.times is not None
    times, num_units = table.times[rest], int(rows.max()) + 1
    dated = ~np.isnan(times)
    newest, oldest = np.full(num_units, -np.inf), np.full(num_units, np.inf)
    np.maximum.at(newest, rows[dated], times[dated])
    np.minimum.at(oldest, rows[dated], times[dated])
    sizes = np.bincount(rows)
    held_out = settings.test_share * len(rest)
    able = np.isfinite(newest)
    large = able & (sizes > max(held_out, 1.0)) & (oldest < newest)
    if not (able & ~large).any():
        large[:] = False
    order = np.argsort(-newest, kind="stable")
    order = order[(able & ~large)[order]]
    sides = np.full(num_units, TRAIN, dtype=np.int8)
    most = max(min(len(order), num_units - 1), 0)
    num_test = min(max(newest_first(sizes[order], held_out), 1), most) if held_out else 0
    left = order[num_test:most]
    wanted = settings.validation_share * len(rest)
    num_validation = min(max(newest_first(sizes[left], wanted), 1), len(left)) if wanted else 0
    sides[order[:num_test]] = TEST
    sides[left[:num_validation]] = VALIDATION
    if not num_test:
        return _Chosen(sides, None, _undated(dated, settings))
    cut = float(newest[order[num_test - 1]])
    num_straddling = int(((oldest < cut) & (sides == TEST)).sum())
    num_large = int((large & (newest >= cut)).sum())
    notes = [*_undated(dated, settings)]
    if num_straddling:
        notes.append(f"{num_straddling} groups have rows before and after the cut; they went to the test as a whole")
    if num_large:
        notes.append(
            f"{num_large} groups with rows after the cut are larger than the test should be; they stayed in training"
        )
    return _Chosen(sides, cut, tuple(notes))


def _undated(dated: NDArray[np.bool_], settings: SplitSettings) -> tuple[str, ...]:
    missing = int((~dated).sum())
    note = (
        f"{missing} rows have no readable time in {settings.time_column!r}; they do not decide where their group goes"
    )
    return (note,) if missing else ()


def _label_shares(table: Table, unit_of: NDArray[np.int64], sides: NDArray[np.int8]) -> tuple[LabelShare, ...]:
    num = len(table.labels)
    rows = np.bincount(table.codes, minlength=num)
    units = np.bincount(np.unique(unit_of * num + table.codes) % num, minlength=num) if num else rows
    test = np.bincount(table.codes[sides == TEST], minlength=num)
    validation = np.bincount(table.codes[sides == VALIDATION], minlength=num)
    return tuple(
        LabelShare(label, int(rows[code]), int(units[code]), int(test[code]), int(validation[code]))
        for code, label in enumerate(table.labels)
    )


def _notes(
    facts: FactsApart, sides: NDArray[np.int8], shares: tuple[LabelShare, ...], settings: SplitSettings
) -> list[str]:
    notes: list[str] = []
    if settings.test_share and len(sides) and not (sides == TEST).any():
        notes.append("nothing could be held out because all rows belong together or every label has one group")
    labelled = [share for share in shares if share.label is not None]
    single = [share.label for share in labelled if share.num_units == 1 and not share.num_test]
    if settings.test_share and single:
        notes.append(f"{len(single)} labels have a single group, which stayed in training: {_listed(single)}")
    absent = [share.label for share in labelled if share.num_units > 1 and not share.num_test]
    if settings.test_share and absent:
        notes.append(f"{len(absent)} labels with several groups have no row in the test: {_listed(absent)}")
    if facts.num_facts:
        notes.append(
            f"of {facts.num_facts} facts, {facts.num_facts - facts.num_untested} are asked in the test "
            "in a wording that is not trained"
        )
    if facts.num_untested:
        notes.append(f"{facts.num_untested} facts are trained but not tested, because they have no second wording")
    return notes


def _listed(labels: list[str | None]) -> str:
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return ", ".join(repr(label) for label in labels[:5]) + more


def _mixed_bits(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns other 64-bit values that look random, one for each (the finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
