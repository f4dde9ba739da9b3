"""Which text of an example is compared with that of others, and what must be equal besides.

An example has two texts: what is asked (all turns before the last answer) and what is answered (the demonstration with
its calls, and privileged context). Two examples are duplicates where both are alike: the same prompt with another
answer is no duplicate but a second answer. Four things are not compared as text, since they are often long and the same
in all rows, and would make everything alike: system prompts, tool definitions, documents, and labels. They must be
equal.
"""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.types import Example

What: TypeAlias = Literal["all", "prompt"]
_SEPARATOR = "\x1f"
"""Between parts of a text, so that moving a word from one part to the next makes another text."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The texts of an example that are compared, and in `setting` what must be equal; `label` is None without one."""

    prompt: str
    answer: str
    setting: str
    label: str | None


def compared(example: Example, on: What = "all", columns: Sequence[str] = ()) -> Compared:
    """Returns what is compared of an example; `columns` are the other columns that must be equal too.

    A row that says nothing besides a document or a system prompt is compared on that. On "prompt" the answer is empty.
    """
    asked = [message.said for message in example.prompt if message.role != "system"]
    answered = example.demonstration
    answer = [] if answered is None else [answered.said]
    answer += [] if example.rejected is None else [example.rejected.said]
    answer += [example.privileged_context] if example.privileged_context else []
    system = [message.content for message in example.messages if message.role == "system"]
    tools = [json.dumps(tool, sort_keys=True, ensure_ascii=False) for tool in example.tools]
    others = [json.dumps(example.columns.get(name), sort_keys=True, ensure_ascii=False) for name in columns]
    documents = [example.document] if example.document else []
    if not any(asked) and not any(answer):
        asked, documents, system = [*system, *documents], [], []
    return Compared(
        "\n".join(asked),
        "\n".join(answer) if on == "all" else "",
        _SEPARATOR.join(["\n".join(system), *tools, "", *documents, "", *others]),
        example.label,
    )


def whole(example: Example, on: What = "all", columns: Sequence[str] = ()) -> str:
    """Returns all of an example that must be equal in exact duplicates, its label apart: turns with their roles too."""
    turns = example.turns if on == "all" else example.prompt
    parts = [f"{message.role}{_SEPARATOR}{message.said}" for message in turns]
    rest = compared(example, on, columns).setting
    privileged = [example.privileged_context or ""] if on == "all" else []
    return f"{_SEPARATOR}\n".join([*parts, "", *privileged, rest])


def normalised(text: str, *, unicode: bool = True, case: bool = True, spaces: bool = True) -> str:
    r"""Returns a text with differences taken away that do not make another text.

    `unicode` makes characters that look or mean the same equal (NFKC: full-width letters, ligatures), `case` is
    case folding, `spaces` makes every run of white space one space and drops it at both ends.

    >>> normalised("  \uff21BC\n\tStraße ")
    'abc strasse'
    """
    if unicode and not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if case:
        text = text.lower() if text.isascii() else text.casefold()
        if unicode and not text.isascii():
            text = unicodedata.normalize("NFKC", text)  # folding may undo it (U+0345)
    return " ".join(text.split()) if spaces else text


def all_normalised(texts: Sequence[str]) -> list[str]:
    """Returns each text `normalised` in every way, with a shorter way for plain ASCII."""
    return [" ".join(text.lower().split()) if text.isascii() else normalised(text) for text in texts]
