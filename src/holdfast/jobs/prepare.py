"""The story of one preparation: from the user's files to a checked, documented version of a data set.

    read -> checks with their remedies -> split -> contamination -> other wordings of training rows
         -> write: Parquet, cards, the report, the plan as decided, the ledger of every changed and rejected row

Nothing is written before the end, and then all at once; what a preparation leaves behind when it is killed is a
folder of scratch that the next one removes.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from holdfast.data.check import Context
from holdfast.data.doctor.on_processes import processes
from holdfast.data.doctor.on_ray import connected
from holdfast.data.doctor.treatment import Attendant, Treatment
from holdfast.data.formats import UNREAD
from holdfast.data.making.augment import require_writer
from holdfast.data.output.prepared import About, PreparedData
from holdfast.data.output.write import write_version
from holdfast.data.sources.stream import stream
from holdfast.errors import DataError, NothingToLearnError
from holdfast.jobs.asked_documents import ask_documents
from holdfast.jobs.compared import earlier_tests, earlier_training
from holdfast.jobs.new_rows import new_rows
from holdfast.jobs.prepared_figures import figures_of, sources_of
from holdfast.jobs.writing import writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from holdfast.data.check import Finding
    from holdfast.data.doctor.examine import Elsewhere
    from holdfast.data.doctor.plan import Plan
    from holdfast.data.output.prepared import Outcome
    from holdfast.data.output.version import DataVersion
    from holdfast.data.output.write import Written
    from holdfast.data.parts.assignment import Side
    from holdfast.jobs.progress import Bar, Reporter
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe
    from holdfast.types import JSONValue

_SCRATCH = "holdfast-prepare-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be prepared: sources, and a test if there is one apart."""

    sources: Sequence[str]
    skill: str
    plan: Plan
    recipe: Recipe
    """What the data is for: its base says how long a row may be and whether a model can learn it."""
    tests: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    keep: Sequence[str] = ()
    """Columns that the examples are made of and that a grader reads besides; all others go with them anyway."""
    about: About = field(default_factory=About)
    chat_template: str | None = None
    review: Path | None = None
    """A folder for the clusters of duplicates, to be looked through."""
    to: Path | None = None
    """The folder in which versions lie; None: the workspace's."""
    new_by: str | None = None
    """The column by which the new rows of tables among the sources (`URL::TABLE`) are told."""
    ray: str | None = None
    """A Ray cluster that looks at rows: its address, `auto`, or `local`; None: this machine does."""
    processes: int | None = 1
    """So many processes of this machine look at rows; None: one for each core where there are enough rows.

    A script that asks for more than one needs `if __name__ == "__main__":`, as `multiprocessing` says.
    """


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What was written, every finding with what was done, and whether the version was there before."""

    written: Written
    outcomes: Sequence[Outcome]
    notes: Sequence[str]

    @property
    def version(self) -> DataVersion:
        """The version that this preparation gave, with what it says itself."""
        return self.written.version

    @property
    def is_new(self) -> bool:
        """Whether no version had this hash before."""
        return self.written.is_new

    def to_json(self) -> dict[str, JSONValue]:
        """Returns the whole as JSON."""
        findings: list[JSONValue] = [
            {
                "number": number,
                "check": one.finding.check,
                "level": one.finding.level,
                "title": one.finding.title,
                "remedy": one.finding.remedy,
                "applied": one.applied,
                "num_rows": one.finding.num_rows,
                "num_changed": one.num_changed,
                "num_dropped": one.num_dropped,
                "figures": dict(one.finding.figures),
            }
            for number, one in enumerate(self.outcomes, start=1)
        ]
        return {
            "folder": str(self.version.folder),
            "version": self.version.to_json(),
            "findings": findings,
            "notes": list(self.notes),
            "is_new": self.is_new,
            "state": self.written.state,
            "first": None if self.written.first is None else str(self.written.first.folder),
        }


def prepare(
    workspace: Workspace | None,
    request: Request,
    *,
    approve: Callable[[int, Finding], bool] | None,
    progress: Reporter,
) -> PrepareResult:
    """Reads, checks, divides and writes; `approve` is asked about every remedy, None approves what is proposed.

    Raises:
        DataError: nothing can be read, no place was named and there is no workspace, or no Ray cluster answers.
        NothingToLearnError: no row is left; the reasons are in the message.
    """
    root = _root(workspace, request)
    write = writer(request.plan.writer)
    if request.plan.augment.enabled:
        require_writer(request.plan.augment, write)
    loaded = new_rows(request.sources, request.new_by, root)
    request = replace(request, sources=loaded.sources)
    request = replace(request, plan=request.plan.pinned())
    with _scratch(root) as scratch, _elsewhere(request, scratch) as elsewhere, _watched(progress) as watch:
        context = _context(workspace, request, scratch)
        agrees = approve or (lambda *_: True)
        attendant = Attendant(agrees, watch, approve is not None, request.review, elsewhere)
        treatment = Treatment(request.plan, context, attendant)
        notes = _read(treatment, request)
        notes += ask_documents(treatment, request.sources, write)
        for note in notes:
            progress.say(note)
        _require_rows(treatment)
        treatment.examine()
        treatment.divide(earlier_training(workspace, request.skill))
        treatment.reword(write)
        _require_parts(treatment)
        data = replace(_gathered(treatment, request), compared_with=_compared_with(workspace, request))
        written = write_version(root, data)
        loaded.taken()
        return PrepareResult(written, treatment.outcomes, [*notes, *treatment.notes])


def _root(workspace: Workspace | None, request: Request) -> Path:
    if request.to is not None:
        return request.to
    if workspace is None:
        raise DataError(
            "There is no workspace here to keep the data in. Make one with `holdfast init`, or say where with "
            "--to FOLDER; without a workspace nothing is compared with earlier skills.",
            param="to",
        )
    return workspace.root / "data"


def _elsewhere(request: Request, scratch: Path) -> AbstractContextManager[Elsewhere]:
    return processes(scratch, request.processes) if request.ray is None else connected(request.ray)


def _read(treatment: Treatment, request: Request) -> list[str]:
    notes: list[str] = []
    for sources, held_out in ((request.sources, False), (request.tests, True)):
        if sources:
            columns, keep = request.columns or None, frozenset({UNREAD, *request.keep})
            # A test that is given apart is graded by the labels that it came with.
            unlabelled = request.plan.gives_labels() and not held_out
            seed = request.plan.seed
            found = stream(sources, columns=columns, keep=keep, unlabelled=unlabelled, seed=seed, notes=notes)
            treatment.take(found, held_out=held_out)
    return notes


def _context(workspace: Workspace | None, request: Request, scratch: Path) -> Context:
    from holdfast.jobs.admission import longest_example, open_reader, train_problem

    reader = open_reader(request.recipe.base, chat_template=request.chat_template)
    embed = None
    if request.plan.uses_embeddings():
        from holdfast.models.embedding import Encoder

        with suppress(DataError):  # not installed: the check says so itself
            embed = Encoder()
    return Context(
        scratch,
        seed=request.plan.seed,
        count_tokens=_counter(reader.tokenizer),
        problem_of=partial(train_problem, reader, recipe=request.recipe),
        embed=embed,
        max_tokens=longest_example(reader, request.recipe),
        others=earlier_tests(workspace, request.skill),
    )


def _counter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], int]:
    """Returns what counts a text's tokens: the Rust tokenizer itself where there is one, which takes half the time."""
    rust = getattr(tokenizer, "backend_tokenizer", None)
    return partial(_num_tokens, tokenizer) if rust is None else partial(_num_tokens_in_rust, rust)


def _num_tokens_in_rust(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _num_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(cast("list[int]", tokenizer(text, add_special_tokens=False)["input_ids"]))


def _require_rows(treatment: Treatment) -> None:
    if not len(treatment.rows):
        raise NothingToLearnError(f"No row can be used. {_rejected(treatment)}")


def _require_parts(treatment: Treatment) -> None:
    needed: list[tuple[Side, type[DataError]]] = [("train", NothingToLearnError), ("test", DataError)]
    for side, error in needed:
        if next(iter(treatment.part(side)), None) is None:
            raise error(
                f"No row is left for the {side} part. {_rejected(treatment)} Look at the findings, and skip the "
                "remedies that go too far: --set checks.NAME.remedy=skip"
            )


def _rejected(treatment: Treatment) -> str:
    """Returns which rows were rejected, the most frequent kinds with their number, and the first reason."""
    kinds = ", ".join(f"{count:,} ({kind})" for kind, count in treatment.ledger.kinds.most_common(5))
    first = next(iter(treatment.ledger.first.values()), "")
    return f"Rejected: {kinds or 'none'}.{f' The first: {first}.' if first else ''}"


def _gathered(treatment: Treatment, request: Request) -> PreparedData:
    from holdfast import __version__

    plan = request.plan.decided(treatment.decisions)
    has_validation = next(iter(treatment.part("validation")), None) is not None
    return PreparedData(
        name=request.skill,
        train=lambda: treatment.part("train"),
        test=lambda: treatment.part("test"),
        validation=(lambda: treatment.part("validation")) if has_validation else None,
        counts=treatment.counts(),
        created_at=datetime.now(UTC),
        changed=treatment.changed,
        rejected=treatment.rejected,
        outcomes=treatment.outcomes,
        sources=sources_of(treatment),
        plan=cast("dict[str, JSONValue]", plan.model_dump(mode="json")),
        deciding=_deciding(plan, treatment.outcomes),
        figures=figures_of(treatment, request.recipe.base),
        about=request.about,
        seed=request.plan.seed,
        holdfast=__version__,
    )


def _compared_with(workspace: Workspace | None, request: Request) -> dict[str, str]:
    """Returns the content hashes of the other skills' data that rows were compared with, by what it is called."""
    if workspace is None:
        return {}
    plan, found = request.plan, dict[str, str]()
    for skill in workspace.skills():
        if skill.name == request.skill:
            continue
        if plan.of("contamination").enabled or plan.augment.enabled:
            found[f"the test of {skill.name}"] = skill.test_hash
        if plan.of("held_out_seen").enabled:
            found[f"the training data of {skill.name}"] = skill.train_hash
    return {name: content for name, content in found.items() if workspace.files.has(content)}


def _deciding(plan: Plan, outcomes: Sequence[Outcome]) -> dict[str, JSONValue]:
    """Returns what of the plan decides which rows come out: the split, and the checks that did something.

    A remedy that was approved and had nothing to do, one that was refused, and a check that was not made are alike.
    """
    values = cast("dict[str, dict[str, dict[str, JSONValue]]]", plan.model_dump(mode="json"))
    done = {one.finding.check for one in outcomes if one.applied}
    checks = {name: settings for name, settings in values["checks"].items() if name in done}
    for settings in checks.values():
        settings.pop("remedy")
        if settings.get("functions_sha256"):
            settings.pop("functions")  # what is in the file decides, wherever it lies
    found: dict[str, JSONValue] = {"seed": plan.seed, "split": cast("JSONValue", values["split"])}
    if plan.augment.enabled:
        found["augment"] = cast("JSONValue", values["augment"])
    return {**found, "checks": cast("JSONValue", checks)}


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    """A folder beside the versions, on the same disk; what preparations left there that were killed goes too."""
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f".{_SCRATCH}*"):
        with (left / _LOCK).open("a") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as its process lives
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=".holdfast-new-", dir=root))
    with (made / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(
            made.with_name(f".{_SCRATCH}{made.name.rpartition('-')[2]}")
        )  # held before it can be found
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _watched(progress: Reporter) -> Iterator[Callable[[str, int, int], None]]:
    """Yields what moves a bar for each pass over the data."""
    with ExitStack() as passes:
        bars: list[Bar] = []

        def watch(title: str, done: int, total: int) -> None:
            if done == 0:
                passes.close()
                bars[:] = [passes.enter_context(progress.bar(title, total, unit="chunks"))]
            bars[0].update(done, total)
            if done == total:  # before anybody is asked anything
                passes.close()

        yield watch
