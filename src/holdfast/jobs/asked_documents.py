"""Questions and answers on the documents among the sources of a preparation, and the documents that gave none."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.data.check import MANY_SHOWN, Finding, Shown
from holdfast.data.making.knowledge import questions_on
from holdfast.data.output.prepared import Outcome
from holdfast.data.output.rendering import number_of
from holdfast.data.rejected import Rejected, visible
from holdfast.data.sources.documents import passages_of_all
from holdfast.data.sources.stream import documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.data.doctor.treatment import Treatment
    from holdfast.data.making.knowledge import Knowledge
    from holdfast.data.making.writer import Write
    from holdfast.data.sources.passage import Passage


def ask_documents(treatment: Treatment, sources: Sequence[str], write: Write | None) -> list[str]:
    """Makes questions and answers on the documents among `sources`, and returns what there is to say about it.

    Questions that fail their check are rejected rows. A document that cannot be read (kind `file`) or gives no question
    that can be used (kind `no_question`) is in the ledger and a finding of its own.
    """
    papers = list(documents(sources, []))
    if not papers:
        return []
    notes: list[str] = []
    unread: list[Rejected] = []

    def texts() -> Iterator[Passage]:
        for found in passages_of_all(papers, notes):
            if isinstance(found, Rejected):
                unread.append(found)
                notes.append(found.reason)
            else:
                yield found

    count_tokens = treatment.context.count_tokens
    found = questions_on(texts(), treatment.plan.knowledge, write=write, count_tokens=count_tokens)
    read = [visible(str(paper)) for paper in papers]
    for row in unread:
        read.remove(row.source)
    treatment.by_document.update(dict.fromkeys(read, 0))
    silent = _without_question(read, found)
    notes += [f"{row.source}: {row.reason}" for row in silent]
    lost = [*unread, *silent]
    treatment.take_made([*found.examples, *found.rejected], len(papers), lost)
    if lost:
        treatment.outcomes.append(Outcome(_lost_finding(lost, len(papers))))
    partly = [note for note in notes if ": left out: " in note]
    if partly:
        shown = tuple(Shown("", note) for note in partly[:MANY_SHOWN])
        title = f"Parts of {number_of(len(partly), 'document')} could not be read"
        treatment.outcomes.append(Outcome(Finding("documents", title, "warning", shown=shown)))
    return [*notes, _said(found, len(read))]


def _without_question(read: Sequence[str], found: Knowledge) -> list[Rejected]:
    """Returns the documents that were read and gave no question that can be used, each with the reason."""
    names = set(read)
    used = {_document_of(one.source, names) for one in found.examples}
    failed = Counter(_document_of(one.source, names) for one in found.rejected)
    return [
        Rejected(name, 0, _reason(failed[name]), "", "no_question") for name in dict.fromkeys(read) if name not in used
    ]


def _reason(num_failed: int) -> str:
    if num_failed:
        return f"none of the {number_of(num_failed, 'question')} on this document passed its check"
    return (
        "no question came out of this document: templates ask about English sentences that state a definition, a duty, "
        "a number or a date; a model asks about any text (--set writer.model=NAME)"
    )


def _document_of(source: str, names: set[str]) -> str:
    """Returns the document that a place (`guide.md:## Returns`) is in."""
    while source not in names and ":" in source:
        source = source.rpartition(":")[0]
    return source


def _lost_finding(lost: Sequence[Rejected], num_documents: int) -> Finding:
    kinds = Counter(one.kind for one in lost)
    whys = {"file": "cannot be read", "no_question": "without a question that can be used"}
    spelled = ", ".join(f"{count:,} {whys[kind]}" for kind, count in kinds.most_common())
    return Finding(
        "documents",
        f"{len(lost):,} of {number_of(num_documents, 'document')} gave nothing to learn ({spelled})",
        "problem",
        figures={"kinds": dict(kinds), "documents": num_documents},
        shown=tuple(Shown(one.source, one.reason) for one in lost[:MANY_SHOWN]),
    )


def _said(found: Knowledge, num_read: int) -> str:
    said = (
        f"{number_of(num_read, 'document')} in {number_of(found.num_chunks, 'chunk')}: "
        f"{number_of(len(found.examples), 'question')} on {number_of(found.num_facts, 'fact')}"
    )
    if found.reasons:
        reasons = ", ".join(f"{kind} {count:,}" for kind, count in found.reasons.most_common())
        said += f"; {number_of(len(found.rejected), 'question')} not used ({reasons})"
    if found.num_chunks_without:
        said += f"; {number_of(found.num_chunks_without, 'chunk')} gave none"
    return said
