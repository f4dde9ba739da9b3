"""Rows that are to be labelled yet: an empty label or answer is none, and a question alone is a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.formats import recognise
from holdfast.data.rejected import RowError
from holdfast.data.shapes import lacks_label

if TYPE_CHECKING:
    from holdfast.data.shapes import Row
    from holdfast.types import JSONValue

_ANSWERS = ("label", "completion", "output", "output_text", "answer", "answers", "golden_response", "golden_answer")
_ALONE = ("question", "instruction")


def as_unlabelled(row: Row) -> dict[str, JSONValue]:
    """Returns `row` without its empty labels and answers, and as a prompt where it is only a question.

    What is filled in stays: an answer is shown to annotators, a label goes with the row until it has a new one.
    """
    filled = {key: value for key, value in row.items() if key not in _ANSWERS or not _is_empty(key, value)}
    alone = next((name for name in _ALONE if name in filled), None)
    if alone is None or recognise(filled) is not None:
        return filled
    text = filled.pop(alone)
    if _is_empty(alone, text):
        raise RowError("empty", f"{alone} is empty")
    if alone == "instruction" and isinstance(text, str) and isinstance(more := filled.pop("input", None), str) and more:
        text = f"{text}\n\n{more}"
    if alone == "question" and isinstance(context := filled.get("context"), str) and "document" not in filled:
        del filled["context"]
        filled["document"] = context
    return {**filled, "prompt": text}


def _is_empty(name: str, value: JSONValue) -> bool:
    if name == "label":
        return lacks_label(value)
    return value is None or value == [] or (isinstance(value, str) and not value.strip())
