"""Facts with their questions: from templates, and from what a model writes about a chunk."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from holdfast.data.example_json import canonical
from holdfast.data.making.questions import facts
from holdfast.data.making.wording import normalised
from holdfast.data.making.writer import LONGEST, objects_in, texts_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from holdfast.data.making.answerable import Manner
    from holdfast.data.making.chunks import Chunk
    from holdfast.data.making.writer import Conversation
    from holdfast.types import JSONValue

SECTION_SIZE = (40, 600)
"""A section's text answers "what does it say" when it has so many characters."""

_DIRECT = ("{q}", "Can you tell me {c}?", "Please tell me {c}.", "Do you know {c}?")
_INDIRECT = ("A colleague asked me {c}. What should I answer?", "I am not sure {c}. Please help me.")
_SECTION = (
    "What does the section {s} of {d} say?",
    "What is said under {s} in {d}?",
    "Please tell me what is written under {s} in {d}.",
    "Do you know what {d} says under {s}?",
)
_SECTION_INDIRECT = ("I am looking for the part {s} of {d}. What does it say?", "What would I find under {s} in {d}?")
MAX_DIRECT, MAX_INDIRECT = len(_DIRECT), len(_INDIRECT)
_LINE = re.compile(
    r"[^\w\n]{0,8}(?:\d{1,3}[.)] ?)?[^\w\n]{0,8}(Q|Question|A|Answer)[^\w\n]{0,4}[:.][^\w\n]{0,4}(.+)", re.I
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question on a chunk with its answer, before it is checked. `made_by` is template:KIND or model."""

    question: str
    answer: str
    manner: Manner
    wording: Literal["direct", "indirect"]
    made_by: str
    chunk: Chunk
    short: str = ""

    @property
    def fact(self) -> str:
        """The id of the fact: the same for all questions with this answer on this document."""
        return hashlib.sha256(canonical([self.chunk.source, normalised(self.answer)])).hexdigest()[:16]


def by_templates(
    chunk: Chunk, seen: Mapping[str, bool], kinds: Collection[str], num_direct: int, num_indirect: int
) -> Iterator[Asked]:
    """Yields the questions that templates make of a chunk; `seen` is the casing of its document."""
    for fact in facts(chunk.text, seen):
        if fact.kind in kinds:
            made_by = f"template:{fact.kind}"
            for number, form in enumerate(_DIRECT[:num_direct]):
                question = form.format(q=fact.question, c=fact.clause)
                manner: Manner = "indirect" if number else "direct"
                yield Asked(question, fact.sentence, manner, "direct", made_by, chunk, fact.short)
            for form in _INDIRECT[:num_indirect]:
                yield Asked(
                    form.format(c=fact.clause), fact.sentence, "indirect", "indirect", made_by, chunk, fact.short
                )
    low, high = SECTION_SIZE
    if "section" in kinds and chunk.whole and chunk.section.strip() and low <= len(chunk.text) <= high:
        section, document = f'"{" ".join(chunk.section.split())}"', f'"{PurePath(chunk.source).stem}"'
        for form in _SECTION[:num_direct]:
            question = form.format(s=section, d=document)
            yield Asked(question, chunk.text, "section", "direct", "template:section", chunk)
        for form in _SECTION_INDIRECT[:num_indirect]:
            question = form.format(s=section, d=document)
            yield Asked(question, chunk.text, "section", "indirect", "template:section", chunk)


def conversation(chunk: Chunk, num_facts: int, num_direct: int, num_indirect: int) -> Conversation:
    """Returns what a model is asked to write about a chunk."""
    heading = f"Heading: {chunk.section}\n" if chunk.section else ""
    wanted = (
        f"State up to {num_facts} facts of the text that are worth knowing. For each write: answer, one full sentence "
        f"in the words of the text; questions, {num_direct} that ask for it directly, each worded differently"
        + (f"; indirect, {num_indirect} that ask for it out of a situation, in other words" if num_indirect else "")
        + ". A reader who does not see the text must understand the question: name what it is about, and never say "
        '"the text". Write in the language of the text. Reply with JSON and nothing else:\n'
        '{"facts": [{"answer": "...", "questions": ["..."]' + (', "indirect": ["..."]' if num_indirect else "") + "}]}"
    )
    return [
        {
            "role": "system",
            "content": "You write questions and answers on texts, and state nothing that is not in them.",
        },
        {"role": "user", "content": f"{heading}Text:\n<<<\n{chunk.text}\n>>>\n\n{wanted}"},
    ]


def by_model(chunk: Chunk, answer: str) -> Iterator[Asked | str]:
    """Yields the questions in what a model wrote about a chunk, and a reason for each part that cannot be used."""
    objects = objects_in(answer)
    items = [item for outer in objects for item in _items(outer)]
    if not items:
        items = [] if objects else _lines(answer)
    if not items:
        yield "is empty" if not answer.strip() else "holds no JSON object with facts"
    for item in items:
        said = texts_of(item.get("answer"))
        direct = texts_of(item.get("questions")) + texts_of(item.get("question"))
        indirect = texts_of(item.get("indirect"))
        if not said:
            yield "has a fact without an answer"
        elif not direct and not indirect:
            yield "has a fact without a question"
        else:
            for question in direct:
                yield Asked(question, said[0], "direct", "direct", "model", chunk)
            for question in indirect:
                yield Asked(question, said[0], "indirect", "indirect", "model", chunk)


def _lines(text: str) -> list[dict[str, JSONValue]]:
    """Questions and answers on lines of their own ("Q: ..." and "A: ..."), as small models write them."""
    items: list[dict[str, JSONValue]] = []
    question = ""
    for line in text[:LONGEST].split("\n"):
        found = _LINE.match(line)
        if found and found[1][0] in "Qq":
            question = found[2].strip()
        elif found and question:
            items.append({"answer": found[2].strip(), "question": question})
            question = ""
    return items


def _items(value: dict[str, JSONValue]) -> list[dict[str, JSONValue]]:
    """The facts in an object: those in one of its lists, or itself."""
    for key in ("facts", "items", "questions", "data", "results"):
        inner = value.get(key)
        if isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            return [item for item in inner if isinstance(item, dict)]
    return [value] if {"answer", "question", "questions"} & set(value) else []
