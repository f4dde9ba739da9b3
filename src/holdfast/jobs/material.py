"""From the user's files to the training and test items of one order, with every row accounted for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from holdfast.data.folder import load_prepared, write_prepared, write_rejected
from holdfast.data.prepare import content_hash, prepare, split, to_json, without_overlap
from holdfast.data.report import data_report
from holdfast.errors import ConfigError, DataError, NothingToLearnError
from holdfast.jobs.admission import read_rows
from holdfast.jobs.versioned import part_of, version_at
from holdfast.seeds import derive_seed
from holdfast.training.config import EvaluationConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from holdfast.data.folder import LoadedData
    from holdfast.data.prepare import Prepared
    from holdfast.data.read import ReadResult
    from holdfast.data.rejected import Rejected
    from holdfast.jobs.progress import Reporter
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.types import Example

ENOUGH_TEST_ITEMS = 149
"""With fewer, not even a test without any difference shows at 95 % that a skill lost at most 2 points."""
NAMED_REJECTIONS = 20
"""So many rejected rows are named on the screen; all of them are in rejected.jsonl."""
MANY_EXAMPLES = 2000
"""So many take long enough to check that a person wants to see how far it is."""


@dataclass(frozen=True, slots=True)
class Raw:
    """What was read, before any check that needs a model."""

    train: ReadResult
    test: ReadResult | None

    @property
    def key(self) -> str:
        """A hash of everything that was read, whatever the files are called."""
        parts = [
            [content_hash(found.examples), sorted([row.raw, row.reason] for row in found.rejected)]
            for found in (self.train, self.test)
            if found is not None
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_all(
    source: str,
    test_source: str | None,
    recipe: Recipe,
    progress: Reporter,
    columns: Mapping[str, str] | None = None,
) -> Raw:
    """Returns the data and the test file as they are; formats are said aloud.

    `columns` maps Holdfast's column names to those of both files.
    """

    def take(place: str) -> ReadResult:
        found = read_rows(place, recipe, columns)
        for note in found.notes:
            progress.say(note)
        return found

    if test_source is None and (version := version_at(source, columns)) is not None:
        if recipe.evaluation.test_share != EvaluationConfig().test_share:
            raise ConfigError(
                f"evaluation.test_share would have no effect because {source} was divided when it was prepared; remove "
                "it, or prepare the data again with --set split.test_share=SHARE.",
                param="evaluation.test_share",
            )
        parts = [part_of(version, part) for part in ("train", "test")]
        progress.say(" ".join(note for part in parts for note in part.notes))
        return Raw(*parts)
    return Raw(take(source), take(test_source) if test_source else None)


def require_rows(folder: Path, raw: Raw) -> None:
    """Raises when a file has no row that could be read; the rows and their reasons are kept in `folder`."""
    rejected = [*raw.train.rejected, *(raw.test.rejected if raw.test is not None else ())]
    if not raw.train.examples:
        write_rejected(folder, rejected)
        raise NothingToLearnError(f"No row could be used.{listed_rows(raw.train.rejected, folder)}")
    if raw.test is not None and not raw.test.examples:
        write_rejected(folder, rejected)
        raise DataError(f"No row of the test could be used.{listed_rows(raw.test.rejected, folder)}", param="test")


def prepare_all(
    folder: Path,
    raw: Raw,
    recipe: Recipe,
    *,
    check: Callable[[Example], str | None],
    check_test: Callable[[Example], str | None],
    progress: Reporter,
) -> LoadedData:
    """Checks, deduplicates and splits what was read, keeps it in `folder`, and says what was left out and why."""
    train = _checked(raw.train, check, "checking examples", progress)
    rejected = list(train.rejected)
    notes = [*raw.train.notes, *train.report.notes]
    if raw.test is None:
        kept, test, asked = _split(train.kept, recipe, check_test)
        rejected += asked
        notes.append(f"no test file was given: {len(test)} of {len(train.kept)} examples are held out as the test")
        progress.say(notes[-1] + ".")
    else:
        tested = _checked(raw.test, check_test, "checking test items", progress)
        disjoint = without_overlap(train.kept, tested.kept)
        rejected += [*tested.rejected, *disjoint.rejected]
        notes += [*raw.test.notes, *tested.report.notes]
        kept, test = disjoint.kept, tested.kept
    if not kept or not test:
        write_rejected(folder, rejected)
    if not kept:
        raise NothingToLearnError(f"No example is left to learn from.{listed_rows(rejected, folder)}")
    if not test:
        text = f"No item is left to test on. Give a test file with --test.{listed_rows(rejected, folder)}"
        raise DataError(text, param="test")
    if rejected:
        progress.warn(f"{len(rejected)} rows are not used:{listed_rows(rejected, folder)}")
    report = data_report([*kept, *test], rejected, format=raw.train.format, notes=list(dict.fromkeys(notes)))
    write_prepared(folder, kept, test, rejected, report)
    return load_prepared(folder)


def _checked(found: ReadResult, check: Callable[[Example], str | None], title: str, progress: Reporter) -> Prepared:
    """Returns what can be used of one source; only a long check gets a bar."""
    if len(found.examples) < MANY_EXAMPLES:
        return prepare(found.examples, check=check, rejected=found.rejected)
    with progress.bar(title, len(found.examples), unit="examples") as bar:
        return prepare(found.examples, check=check, rejected=found.rejected, progress=bar.update)


def judge_test_size(num_items: int, recipe: Recipe, progress: Reporter) -> None:
    """Warns when the test is too small to protect the skill later."""
    used = min(num_items, recipe.evaluation.max_items or num_items)
    if used < ENOUGH_TEST_ITEMS:
        progress.warn(
            f"The test has {used} items. To protect this skill when the next one is learned, the gate needs about "
            f"{ENOUGH_TEST_ITEMS} (2 points at 95 %); with fewer it can only answer 'inconclusive'."
        )


def put_items(workspace: Workspace, items: Sequence[Example]) -> str:
    """Stores the items, without where they came from, and returns their hash: the same items, the same hash."""
    lines = [json.dumps(to_json(replace(item, source="")), ensure_ascii=False, sort_keys=True) for item in items]
    return workspace.files.put_bytes(("\n".join(lines) + "\n").encode())


def _split(
    examples: Sequence[Example], recipe: Recipe, check_test: Callable[[Example], str | None]
) -> tuple[list[Example], list[Example], list[Rejected]]:
    """Returns training and test examples, and those that cannot be tested with whose question the test asks.

    An example without an answer can be learned from; tested with only if the grader needs none.
    """
    testable = [
        each
        for each in examples
        if each.demonstration is not None or each.label is not None or check_test(each) is None
    ]
    ids = {example.id for example in testable}
    parts = split(testable, test_share=recipe.evaluation.test_share, seed=derive_seed(recipe.seed, "split"))
    apart = without_overlap([example for example in examples if example.id not in ids], parts.test)
    return [*parts.train, *apart.kept], parts.test, apart.rejected


def listed_rows(rejected: Sequence[Rejected], folder: Path) -> str:
    """Returns the first rejections, one on a line, how many more there are of which kind, and where all of them are."""
    if not rejected:
        return ""
    lines = [f"  {row.source}:{row.line}: {row.reason}" for row in rejected[:NAMED_REJECTIONS]]
    more = Counter(row.kind for row in rejected[NAMED_REJECTIONS:])
    if more:
        kinds = ", ".join(f"{count} {kind}" for kind, count in more.most_common())
        lines.append(f"  and {more.total()} more ({kinds})")
    return "\n".join(["", *lines, f"All of them, with the rows: {folder / 'rejected.jsonl'}"])
