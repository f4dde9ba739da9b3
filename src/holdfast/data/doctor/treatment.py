"""One preparation, from the rows of its sources to parts that can be written: checks, split, contamination.

Nothing is lost: every row that was read is in a part as it was or changed, or in the ledger with its reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from holdfast.data.check import MANY_SHOWN, Finding, Row, Shown, shown
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
from holdfast.data.output.rendering import number_of
from holdfast.data.overlap.contamination import chunks_of
from holdfast.data.overlap.shared_runs import long_runs
from holdfast.data.parts.assignment import assign, key_of
from holdfast.seeds import derive_seed
from holdfast.types import Example

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from holdfast.data.check import Check, Context
    from holdfast.data.doctor.examine import Elsewhere
    from holdfast.data.doctor.plan import Plan
    from holdfast.data.making.augment import Augmented
    from holdfast.data.making.writer import Write
    from holdfast.data.parts.assignment import Assignment, Key, Side
    from holdfast.data.rejected import Rejected

_MANY_OF_A_KIND = 2


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
    by_document: Counter[str] = field(default_factory=Counter[str])
    """How many rows were made from each place of a document, used or not."""
    _num_rows: int = 0
    _questions: range = range(0)
    _wordings: range = range(0)
    _lost: Counter[str] = field(default_factory=Counter[str])
    _num_documents: int = 0
    _unread: Counter[str] = field(default_factory=Counter[str])
    _unread_shown: list[Shown] = field(default_factory=list[Shown])
    _assignment: Assignment | None = None

    def __post_init__(self) -> None:
        self.rows = Rows(self.context.scratch)
        self.ledger = Ledger(self.context.scratch / "rejected.jsonl")

    def take(self, stream: Iterable[Example | Rejected], *, held_out: bool = False) -> None:
        """Reads rows; those of a test that is given apart are `held_out`."""
        counted = (_counted(item, self.by_source) for item in stream)
        self.ledger.add(self._noted(self._taken(counted, held_out=held_out)))

    def take_made(self, rows: Iterable[Example | Rejected], num_documents: int, lost: Sequence[Rejected]) -> None:
        """Takes, once, the rows that were made from documents, and the documents that gave none."""
        first = self._num_rows
        self.ledger.add(self._taken((_counted(item, self.by_document) for item in rows), held_out=False))
        self._questions = range(first, self._num_rows)
        self.ledger.add(lost)
        self._lost.update(one.kind for one in lost)
        self._num_documents = num_documents

    def examine(self) -> None:
        """Makes every check of the plan before the split."""
        if self._unread:
            self.outcomes.append(Outcome(_unread_finding(self._unread, self._unread_shown, self.by_source.total())))
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
        added = [Tracked(Row(self._num_rows + number, example)) for number, example in enumerate(found.added)]
        for start in range(0, len(added), CHUNK_ROWS):
            self.rows.append(added[start : start + CHUNK_ROWS])
        self._wordings = range(self._num_rows, self._num_rows + len(added))
        self._num_rows += len(added)
        self.outcomes.append(Outcome(_wordings_finding(found, len(train)), bool(added), 0, 0))

    def part(self, side: Side) -> Iterator[PreparedRow]:
        """Yields the rows of one part as they are now, with their content ids."""
        for one in self.rows.tracked():
            if self._side(one) == side:
                example = replace(one.row.example, id=example_id(one.row.example))
                yield PreparedRow(example, one.by, synthetic=self._is_made(one, example))

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
        kinds = dict((self.ledger.kinds - self._lost).most_common())
        num_made = len(self._questions) + len(self._wordings)
        found = Counts(
            self.by_source.total(), unchanged, changed, kinds, num_made, self._num_documents, dict(self._lost)
        )
        found.check()
        return found

    def _taken(self, stream: Iterable[Example | Rejected], *, held_out: bool) -> Generator[Rejected]:
        self._num_rows = yield from taken_in(stream, self.rows, first=self._num_rows, held_out=held_out)

    def _noted(self, rejected: Iterable[Rejected]) -> Iterator[Rejected]:
        """Counts what cannot be read; only its reason is shown, as nothing in the row itself was masked yet."""
        for row in rejected:
            self._unread[row.kind] += 1
            if self._unread[row.kind] <= _MANY_OF_A_KIND and len(self._unread_shown) < MANY_SHOWN:
                place = f"{row.source}:{row.line}" if row.line else row.source
                self._unread_shown.append(Shown(place, row.reason, note=row.kind))
            yield row

    def _is_made(self, one: Tracked, example: Example) -> bool:
        """Whether a row was made here, or came as one that says so of itself."""
        number = one.row.number
        return number in self._questions or number in self._wordings or bool(example.columns.get("synthetic"))

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
            f"{path}: {number_of(num, 'row')} of clusters. Change `keep` where another row should stay, "
            f"and prepare again with --set checks.{check.name}.review={path}"
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
        if one.row.number in self._wordings:
            return "train"
        if self._assignment is None:
            return "test" if one.held_out else "train"
        return self._assignment.side(one.row.number)


def _counted(item: Example | Rejected, num_rows: Counter[str]) -> Example | Rejected:
    num_rows[item.source.rpartition(":")[0] if isinstance(item, Example) else item.source] += 1
    return item


def _unread_finding(kinds: Counter[str], examples: Sequence[Shown], num_read: int) -> Finding:
    """Says how many rows could not be read, by kind, with the first of each."""
    spelled = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    return Finding(
        "reading",
        f"{kinds.total():,} of {number_of(num_read, 'row')} could not be read ({spelled}) and cannot be learned",
        "problem",
        kinds.total(),
        figures={"kinds": dict(kinds.most_common())},
        shown=tuple(examples),
    )


def _wordings_finding(found: Augmented, num_rows: int) -> Finding:
    """Says what was made, by way, and what was not used, with some examples."""
    made = ", ".join(f"{way} {count:,}" for way, count in found.made.most_common())
    reasons = Counter(one.kind for one in found.rejected)
    title = (
        f"Other wordings of {number_of(num_rows, 'training row')}: {len(found.added):,}{f' ({made})' if made else ''}"
    )
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
