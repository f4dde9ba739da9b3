"""Questions and answers on documents, ready to be learned: the teacher reads the chunk, the student the question."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from holdfast.data.example_json import example_id
from holdfast.data.making.answerable import fault_of
from holdfast.data.making.asked_facts import MAX_DIRECT, MAX_INDIRECT, Asked, by_model, by_templates, conversation
from holdfast.data.making.chunks import ChunkSettings, chunks
from holdfast.data.making.subjects import casing
from holdfast.data.making.wording import normalised
from holdfast.data.making.writer import written
from holdfast.data.rejected import Rejected
from holdfast.data.strict_json import dump
from holdfast.errors import DataError
from holdfast.settings import Count, Settings
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from holdfast.data.making.chunks import Chunk, Passage
    from holdfast.data.making.writer import Write
    from holdfast.types import JSONValue


class KnowledgeSettings(Settings):
    """How documents become questions and answers."""

    chunks: ChunkSettings = ChunkSettings()
    """How documents are cut."""
    templates: tuple[Literal["definition", "duty", "number", "date", "section"], ...] = (
        "definition",
        "duty",
        "number",
        "date",
        "section",
    )
    """The kinds of facts that English sentences are asked for without a model; none = only the model asks."""
    wordings: Annotated[int, Field(ge=2, le=MAX_DIRECT + MAX_INDIRECT)] = 4
    """How many questions ask for each fact. With two or more, one can be kept for the test."""
    indirect: Annotated[int, Field(ge=0, le=MAX_INDIRECT)] = 1
    """How many of them ask indirectly, out of a situation."""
    facts_per_chunk: Count = 5
    """How many facts a model is asked for in each chunk."""
    at_once: Count = 16
    """How many chunks a model is asked about at a time."""

    @model_validator(mode="after")
    def _enough_templates(self) -> Self:
        direct = self.wordings - self.indirect
        if not 1 <= direct <= MAX_DIRECT:
            raise ValueError(f"wordings - indirect is {direct}; it must be from 1 to {MAX_DIRECT}")
        return self


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What documents gave: checked examples, and with its reason every question that was made and is not used.

    A model's answer that cannot be read is among `rejected` too (kind `unreadable`, one row for each part).
    `reasons` counts them by kind. `num_chunks_without` chunks give no question.
    """

    examples: list[Example]
    rejected: list[Rejected]
    num_chunks: int
    num_chunks_without: int
    num_facts: int
    num_facts_with_one_wording: int

    @property
    def reasons(self) -> Counter[str]:
        """How many questions are not used, by kind of reason."""
        return Counter(row.kind for row in self.rejected)


def questions_on(
    passages: Iterable[Passage],
    settings: KnowledgeSettings | None = None,
    *,
    write: Write | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> Knowledge:
    """Returns examples that ask for what is in documents; each passed the checks of `answerable`.

    An example's `document` is its chunk, its demonstration the answer, and `source` the file and page. Its columns are
    `fact` (the same for all wordings of a fact), `wording` (direct or indirect), `made_by`, and where they are known
    `short_answer`, `section` and `page`. With `write`, a model is asked about every chunk besides the templates.

    Raises:
        DataError: there is neither a template nor a model, sizes contradict each other, or `write` misbehaves.
    """
    settings = settings or KnowledgeSettings()
    if not settings.templates and write is None:
        raise DataError("No template and no model is to make questions. Name templates, or choose a model.")
    pieces = list(chunks(passages, settings.chunks, count_tokens))
    rejected: list[Rejected] = []
    asked = [*_from_templates(pieces, settings)]
    if write is not None:
        asked += _from_model(pieces, settings, write, rejected)
    usable = _checked(asked, rejected)
    wordings = Counter(item.fact for item in usable)
    return Knowledge(
        [_example(item) for item in usable],
        rejected,
        num_chunks=len(pieces),
        num_chunks_without=len({piece.id for piece in pieces} - {item.chunk.id for item in usable}),
        num_facts=len(wordings),
        num_facts_with_one_wording=sum(count == 1 for count in wordings.values()),
    )


def _from_templates(pieces: Sequence[Chunk], settings: KnowledgeSettings) -> list[Asked]:
    """Template questions; a sentence that overlapping chunks share is asked for in the first of them only."""
    texts: dict[str, list[str]] = defaultdict(list)
    for piece in pieces:
        texts[piece.source].append(piece.text)
    seen = {source: casing("\n".join(parts)) for source, parts in texts.items()} if settings.templates else {}
    direct = settings.wordings - settings.indirect
    first: dict[str, str] = {}
    asked: list[Asked] = []
    for piece in pieces if settings.templates else []:
        for item in by_templates(piece, seen[piece.source], settings.templates, direct, settings.indirect):
            if first.setdefault(item.fact, piece.id) == piece.id:
                asked.append(item)
    return asked


def _from_model(
    pieces: Sequence[Chunk], settings: KnowledgeSettings, write: Write, rejected: list[Rejected]
) -> list[Asked]:
    direct = settings.wordings - settings.indirect
    prompts = [conversation(piece, settings.facts_per_chunk, direct, settings.indirect) for piece in pieces]
    asked: list[Asked] = []
    for piece, answer in zip(pieces, written(write, prompts, settings.at_once), strict=True):
        for item in by_model(piece, answer):
            if isinstance(item, str):
                reason = f"what the model wrote {item}"
                rejected.append(Rejected(piece.source, piece.page or 0, reason, answer, "unreadable"))
            else:
                asked.append(item)
    return asked


def _checked(asked: Sequence[Asked], rejected: list[Rejected]) -> list[Asked]:
    """The questions that pass every check and are asked once; the others are added to `rejected`."""
    passed: list[Asked] = []
    for item in asked:
        fault = fault_of(item.question, item.answer, item.chunk.text, item.manner)
        if fault is None:
            passed.append(item)
        else:
            rejected.append(_rejected(item, fault.kind, fault.reason))
    answers: dict[str, set[str]] = defaultdict(set)
    for item in passed:
        answers[normalised(item.question)].add(normalised(item.answer))
    usable: dict[str, Asked] = {}
    for item in passed:
        key = normalised(item.question)
        if len(answers[key]) > 1:
            reason = f"the question has {len(answers[key])} different answers in the documents"
            rejected.append(_rejected(item, "ambiguous", reason))
        elif key in usable:
            rejected.append(_rejected(item, "duplicate", "the question is asked already"))
        else:
            usable[key] = item
    return list(usable.values())


def _rejected(item: Asked, kind: str, reason: str) -> Rejected:
    raw = dump({"question": item.question, "answer": item.answer, "made_by": item.made_by, "chunk": item.chunk.id})
    return Rejected(item.chunk.source, item.chunk.page or 0, reason, raw, kind)


def _example(item: Asked) -> Example:
    columns: dict[str, JSONValue] = {"fact": item.fact, "wording": item.wording, "made_by": item.made_by}
    if item.short:
        columns["short_answer"] = item.short
    if item.chunk.section:
        columns["section"] = item.chunk.section
    if item.chunk.page is not None:
        columns["page"] = item.chunk.page
    example = Example(
        "",
        (Message("user", item.question), Message("assistant", item.answer)),
        document=item.chunk.text,
        source=item.chunk.place,
        columns=columns,
    )
    return replace(example, id=example_id(example))
