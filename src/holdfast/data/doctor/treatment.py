"""One preparation, from the rows of its sources to parts that can be written: checks, split, contamination.

Nothing is lost: every row that was read is in a part as it was or changed, or in the ledger with its reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from holdfast.data.check import MANY_SHOWN, Finding, Row, shown
from holdfast.data.checks import CHECKS
from holdfast.data.checks.contamination import (
    OWN_TEST,
    TRAINING_DATA,
    Contamination,
    ContaminationSettings,
    HeldOutSeen,
)
from holdfast.data.checks.duplicates import DuplicateCheck
from holdfast.data.checks.lengths import LengthsCheck, num_tokens
from holdfast.data.checks.near_duplicates import NearDuplicates
from holdfast.data.checks.personal_data import PersonalData
from holdfast.data.dedup.clusters import write_clusters
from holdfast.data.doctor.examine import Examination
from holdfast.data.doctor.ledger import Ledger
from holdfast.data.doctor.rows import CHUNK_ROWS, Rows, Tracked, taken_in
from holdfast.data.example_json import example_id
from holdfast.data.making.augment import augment
from holdfast.data.output.prepared import ChangedRow, Counts, Outcome, PreparedRow
from holdfast.data.overlap.contamination import chunks_of
from holdfast.data.overlap.shared_runs import long_runs
from holdfast.data.parts.assignment import assign, key_of
from holdfast.seeds import derive_seed
from holdfast.types import Example

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from holdfast.data.check import Check, Context
    from holdfast.data.doctor.examine import Elsewhere
    from holdfast.data.doctor.plan import Plan
    from holdfast.data.making.augment import Augmented
    from holdfast.data.making.writer import Write
    from holdfast.data.parts.assignment import Assignment, Key, Side
    from holdfast.data.rejected import Rejected


@dataclass(frozen=True, slots=True)
class Attendant:
    """Who is asked about a remedy and told how far the work is.

    `asks` False means that nobody is there: what is proposed is done. `review` is a folder for the clusters of
    duplicates, one file a level, to be looked through and given back as a check's `review` setting.
    """

    approve: Callable[[int, Finding], bool]
    progress: Callable[[str, int, int], None]
    asks: bool
    review: Path | None = None
    elsewhere: Elsewhere | None = None
    """Where rows are looked at; None: here."""


@dataclass(slots=True)
class Treatment:
    """Rows on their way to parts. Use: `take`, `take` the test if there is one, `examine`, `divide`, then read."""

    plan: Plan
    context: Context
    attendant: Attendant
    rows: Rows = field(init=False)
    ledger: Ledger = field(init=False)
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    decisions: dict[str, bool] = field(default_factory=dict[str, bool])
    checks: dict[str, Check] = field(default_factory=dict[str, "Check"])
    notes: list[str] = field(default_factory=list[str])
    by_source: Counter[str] = field(default_factory=Counter[str])
    """How many rows each source gave, used or not."""
    _num_read: int = 0
    _num_made: int = 0
    _assignment: Assignment | None = None

    def __post_init__(self) -> None:
        self.rows = Rows(self.context.scratch)
        self.ledger = Ledger(self.context.scratch / "rejected.jsonl")

    def take(self, stream: Iterable[Example | Rejected], *, held_out: bool = False) -> None:
        """Reads rows; those of a test that is given apart are `held_out`."""
        first = self._num_read

        def reading() -> Generator[Rejected]:
            self._num_read = yield from taken_in(map(self._counted, stream), self.rows, first=first, held_out=held_out)

        self.ledger.add(reading())

    def examine(self) -> None:
        """Makes every check of the plan before the split."""
        self._run(self._made(CHECKS, self.context))

    def divide(self, earlier_training: Mapping[str, Callable[[], Iterable[Example]]]) -> None:
        """Puts every row on its side, then looks for training rows that give a test away.

        `earlier_training` is what the model was trained on before, where a new test may stand already.
        """
        if not any(one.held_out for one in self.rows.tracked()):
            self._assignment = assign(self._keys(), self.plan.split, self.plan.seed)
            self.notes += self._assignment.notes
        earlier = {f"{TRAINING_DATA}{name}": read for name, read in earlier_training.items()}
        self._run(self._made({HeldOutSeen.name: HeldOutSeen}, replace(self.context, others=earlier)), only="test")
        others = {OWN_TEST: lambda: (row.example for row in self.part("test")), **self.context.others}
        context = replace(self.context, others=others, rows=lambda: (one.row.example for one in self.rows.tracked()))
        self._run(self._made({Contamination.name: Contamination}, context), only="train")

    def reword(self, write: Write | None) -> None:
        """Adds other wordings of training rows, as the plan says, behind all rows that were read.

        None equals a prompt of the own test or of a test that the context names. All training rows are held meanwhile.
        """
        if not self.plan.augment.enabled:
            return
        train = [row.example for row in self.part("train")]
        tests = [row.example for row in self.part("test")]
        tests += (example for examples in self.context.others.values() for example in examples())
        seed = derive_seed(self.plan.seed, "augment")
        found = augment(train, tests, self.plan.augment, write=write, seed=seed)
        added = [Tracked(Row(self._num_read + number, example)) for number, example in enumerate(found.added)]
        for start in range(0, len(added), CHUNK_ROWS):
            self.rows.append(added[start : start + CHUNK_ROWS])
        self._num_made = len(added)
        self.outcomes.append(Outcome(_wordings_finding(found, len(train)), bool(added), 0, 0))

    def part(self, side: Side) -> Iterator[PreparedRow]:
        """Yields the rows of one part as they are now, with their content ids."""
        for one in self.rows.tracked():
            if self._side(one) == side:
                example = replace(one.row.example, id=example_id(one.row.example))
                yield PreparedRow(example, one.by, synthetic="synthetic" in example.columns)

    def tokens(self, side: Side) -> Iterator[tuple[int, int]]:
        """Yields for every row of one part how many tokens are only read and how many are learned, as it is now."""
        count, lengths = self.context.count_tokens, self.checks.get(LengthsCheck.name)
        if count is None:
            return
        names = list(CHECKS)
        later = frozenset(names[names.index(LengthsCheck.name) + 1 :])
        for one in self.rows.tracked():
            if self._side(one) != side:
                continue
            measured = None
            if isinstance(lengths, LengthsCheck) and later.isdisjoint(one.by):
                measured = lengths.tokens_of(one.row.number)
            yield measured or num_tokens(one.row.example, count)

    def changed(self) -> Iterator[ChangedRow]:
        """Yields every row that is used otherwise than it was read."""
        personal = self._personal
        for one in self.rows.tracked():
            if one.before is not None:
                before = one.before if personal is None else personal.before(replace(one.row, example=one.before))
                yield ChangedRow(one.row.number, before, one.row.example, one.by, one.what)

    def rejected(self) -> Iterator[Rejected]:
        """Yields every row that is not used, with the reason."""
        personal = self._personal
        for row in self.ledger:
            yield row if personal is None else replace(row, raw=personal.before_text(row.raw))

    @property
    def _personal(self) -> PersonalData | None:
        """The check that says whether the ledger may keep personal data as it stood there."""
        check = self.checks.get(PersonalData.name)
        return check if isinstance(check, PersonalData) and check.settings.enabled else None

    def counts(self) -> Counts:
        """Returns what became of all rows; raises DataError if they do not add up."""
        unchanged = changed = 0
        for one in self.rows.tracked():
            unchanged += one.before is None
            changed += one.before is not None
        kinds = dict(self.ledger.kinds.most_common())
        found = Counts(self._num_read, unchanged - self._num_made, changed, kinds, self._num_made)
        found.check()
        return found

    def _counted(self, item: Example | Rejected) -> Example | Rejected:
        place = item.source.rpartition(":")[0] if isinstance(item, Example) else item.source
        self.by_source[place] += 1
        return item

    def _made(self, kinds: Mapping[str, type[Check]], context: Context) -> dict[str, Check]:
        return {name: kind(self.plan.of(name), context) for name, kind in kinds.items()}

    def _run(self, checks: dict[str, Check], only: Side | None = None) -> None:
        examination = Examination(
            self.rows,
            self.attendant.approve,
            self.attendant.progress,
            asks=self.attendant.asks,
            first=len(self.outcomes) + 1,
            among=(lambda one: self._side(one) == only) if only is not None else None,
            found=self._write_clusters,
            elsewhere=self.attendant.elsewhere,
        )
        self.ledger.add(examination.run(list(checks.values())))
        self.outcomes += examination.outcomes
        self.decisions |= examination.decisions
        self.checks |= checks

    def _write_clusters(self, check: Check) -> None:
        folder = self.attendant.review
        if folder is None or not isinstance(check, DuplicateCheck):
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{check.name}.csv"
        num = write_clusters(path, check.clusters(), (one.row for one in self.rows.tracked()))
        self.notes.append(
            f"{path}: {num} rows of clusters. Change `keep` where another row should stay, and prepare again with "
            f"--set checks.{check.name}.review={path}"
        )

    def _keys(self) -> Iterator[Key]:
        near = self.checks.get(NearDuplicates.name)
        together = near.group_of if isinstance(near, NearDuplicates) and near.settings.enabled else lambda _: None
        overlap = self.plan.of(Contamination.name)
        assert isinstance(overlap, ContaminationSettings)
        for chunk in chunks_of(one.row for one in self.rows.tracked()):
            runs = long_runs([row.example for row in chunk], overlap.long_run)
            for row, own in zip(chunk, runs, strict=True):
                yield key_of(row.number, row.example, self.plan.split, together(row.number), own)

    def _side(self, one: Tracked) -> Side:
        if one.row.number >= self._num_read:  # made, not read
            return "train"
        if self._assignment is None:
            return "test" if one.held_out else "train"
        return self._assignment.side(one.row.number)


def _wordings_finding(found: Augmented, num_rows: int) -> Finding:
    """Says what was made, by way, and what was not used, with some examples."""
    made = ", ".join(f"{way} {count:,}" for way, count in found.made.most_common())
    reasons = Counter(one.kind for one in found.rejected)
    title = f"Other wordings of {num_rows:,} training rows: {len(found.added):,}{f' ({made})' if made else ''}"
    if reasons:
        title += f"; not used: {', '.join(f'{kind} {count:,}' for kind, count in reasons.most_common())}"
    return Finding(
        "augment",
        title,
        level="note",
        num_rows=len(found.added),
        figures={
            "made": dict(found.made), "rejected": dict(reasons), "rows_without": found.num_without,
            "too_many": found.num_over,
        },
        shown=tuple(shown(Row(0, one), note=str(one.columns["synthetic"])) for one in found.added[:MANY_SHOWN]),
    )  # fmt: skip
