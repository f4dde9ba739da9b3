"""Asking a model to write, and reading what it wrote.

The model is any function from conversations to texts: the caller wires an OpenAI-compatible server or the embedded
base. Models answer in many forms: JSON in a fence, after thinking aloud, broken off at the length limit. What can be
read is read; what cannot is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import parse_at
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.types import JSONValue

Conversation: TypeAlias = "list[dict[str, str]]"
Write: TypeAlias = Callable[[Sequence[Conversation]], Sequence[str]]
"""From conversations ({"role", "content"} turns) to one text for each, in their order."""

LONGEST = 100_000
"""Characters of an answer that are read; what comes behind is left out."""
MAX_STARTS = 300
"""So many places are tried at which JSON may start."""
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)


def written(write: Write, conversations: Sequence[Conversation], at_once: int) -> Iterator[str]:
    """Yields the model's text for each conversation, asking for `at_once` at a time.

    Raises:
        DataError: the function returns another number of texts than it was asked for, or something else than texts.
    """
    for start in range(0, len(conversations), at_once):
        batch = conversations[start : start + at_once]
        texts = list(write(batch))
        if len(texts) != len(batch) or not all(isinstance(text, str) for text in texts):
            raise DataError(
                f"The model was asked {len(batch)} times and gave {len(texts)} answers. It must give one text for each."
            )
        yield from texts


def objects_in(text: str) -> list[dict[str, JSONValue]]:
    r"""Returns the JSON objects in what a model wrote, outermost first, whatever stands around them.

    Lists are opened. An object that was broken off is skipped, and the complete ones inside it are returned.

    >>> objects_in('Sure! ```json\n{"facts": [{"a": 1}, {"a": 2}, {"a')
    [{'a': 1}, {'a': 2}]
    """
    text = _THOUGHT.sub("", text)[:LONGEST]
    found: list[dict[str, JSONValue]] = []
    at = starts = 0
    while starts < MAX_STARTS:
        at = min((place for place in (text.find("{", at), text.find("[", at)) if place >= 0), default=-1)
        if at < 0:
            break
        starts += 1
        try:
            value, at = parse_at(text, at)
        except RowError:
            at += 1
            continue
        items = value if isinstance(value, list) else [value]
        found += [item for item in items if isinstance(item, dict)]
    return found


def texts_of(value: JSONValue) -> list[str]:
    """Returns the texts in a value that should be a list of texts: a single text is one, anything else is left out."""
    items = value if isinstance(value, list) else [value]
    return [" ".join(item.split()) for item in items if isinstance(item, str) and item.strip()]
