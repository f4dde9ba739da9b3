"""From the user's files to the training and test items of one order, with every line accounted for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.prepare import content_hash, prepare, split
from holdfast.data.read import read
from holdfast.errors import DataError, NothingToLearnError
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.data.prepare import DataReport
    from holdfast.data.read import ReadResult
    from holdfast.data.types import Rejected
    from holdfast.jobs.progress import Reporter
    from holdfast.training.config import Recipe
    from holdfast.types import Example

ENOUGH_TEST_ITEMS = 150
"""With fewer, not even a flawless test shows at 95 % that an earlier skill lost at most 2 points."""
NAMED_REJECTIONS = 5


@dataclass(frozen=True, slots=True)
class Raw:
    """What was read, before any check that needs a model."""

    train: ReadResult
    test: ReadResult | None

    @property
    def key(self) -> str:
        """A hash of everything that was read."""
        parts = [content_hash(self.train.examples), str(len(self.train.rejected))]
        if self.test is not None:
            parts += [content_hash(self.test.examples), str(len(self.test.rejected))]
        return "-".join(parts)


@dataclass(frozen=True, slots=True)
class Material:
    """The items of one order, and what became of every row."""

    train: list[Example]
    test: list[Example]
    rejected: list[Rejected]
    report: DataReport


def read_all(source: str, test_source: str | None, recipe: Recipe, progress: Reporter) -> Raw:
    """Reads the data and the test file, says their formats aloud, and names the first rejected lines."""
    raw = Raw(_read(source, recipe, progress), _read(test_source, recipe, progress) if test_source else None)
    if not raw.train.examples:
        raise NothingToLearnError(f"{source}: no line could be used. {_first_reasons(raw.train.rejected)}")
    if raw.test is not None and not raw.test.examples:
        raise DataError(f"{test_source}: no line could be used. {_first_reasons(raw.test.rejected)}", param="test")
    return raw


def _read(source: str, recipe: Recipe, progress: Reporter) -> ReadResult:
    found = read(source, seed=derive_seed(recipe.seed, "sample rows"))
    progress.say(f"{source}: {len(found.examples)} examples, format {found.format}.")
    for note in found.notes:
        progress.say(note)
    return found


def make_material(
    raw: Raw, recipe: Recipe, check: Callable[[Example], str | None], progress: Reporter
) -> Material:
    """Checks, deduplicates and splits what was read; says how large the test is and whether that suffices."""
    train = prepare(raw.train.examples, check=check)
    rejected = [*raw.train.rejected, *train.rejected]
    if not train.kept:
        raise NothingToLearnError(f"No example is left to learn from. {_first_reasons(rejected)}")
    if raw.test is None:
        share = recipe.evaluation.test_share
        kept, test = split(train.kept, test_share=share, seed=derive_seed(recipe.seed, "split"))
        progress.say(f"No test file was given: {len(test)} of {len(train.kept)} examples are held out as the test ({share:.0%}).")
    else:
        prepared = prepare(raw.test.examples, check=None)
        rejected += [*raw.test.rejected, *prepared.rejected]
        kept, test = train.kept, prepared.kept
        kept = _without_test_items(kept, test, progress)
    if not kept or not test:
        raise DataError("There are too few examples to hold a test out. Give more, or a test file with --test.", param="test")
    if rejected:
        progress.warn(f"{len(rejected)} rows are not used; rejected.jsonl holds them all. {_first_reasons(rejected)}")
    _judge_test_size(len(test), recipe, progress)
    return Material(kept, test, rejected, train.report)


def _without_test_items(train: Sequence[Example], test: Sequence[Example], progress: Reporter) -> list[Example]:
    held_out = {item.id for item in test}
    kept = [example for example in train if example.id not in held_out]
    if len(kept) < len(train):
        progress.warn(f"{len(train) - len(kept)} training examples also stand in the test; they are not trained on.")
    return kept


def _judge_test_size(num_items: int, recipe: Recipe, progress: Reporter) -> None:
    if recipe.evaluation.max_items is not None:
        num_items = min(num_items, recipe.evaluation.max_items)
    if num_items < ENOUGH_TEST_ITEMS:
        progress.warn(
            f"The test has {num_items} items. To protect this skill later, the gate needs about {ENOUGH_TEST_ITEMS} "
            "(2 points at 95 %); with fewer it will answer 'inconclusive' when the next skill is learned."
        )


def _first_reasons(rejected: Sequence[Rejected]) -> str:
    lines = [f"{row.source}:{row.line}: {row.reason}" for row in rejected[:NAMED_REJECTIONS]]
    more = len(rejected) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "") + ("." if lines else "")
