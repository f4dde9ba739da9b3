"""Recognises the format of a row by its columns and turns the row into an Example."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from holdfast.data import pairs, shapes
from holdfast.data.chat import check_order, unused_turn_keys
from holdfast.data.example_json import check_text, example_id
from holdfast.data.rejected import RowError

if TYPE_CHECKING:
    from collections.abc import Callable, Set

    from holdfast.data.shapes import Row
    from holdfast.types import Example, JSONValue

UNREAD = "+"
"""Among the columns to keep: all that the format of the row does not read."""
_ANSWERS, _READ_TOO = ("chosen", "rejected"), ("tools", "functions", "privileged_context", "document")
_EXTRAS = ("tools", "functions", "privileged_context", "document", "label")


@dataclass(frozen=True, slots=True)
class Format:
    """A known shape of rows: the columns it needs, those it also reads, and how it becomes an Example."""

    name: str
    needs: tuple[str, ...]
    also: tuple[str, ...]
    convert: Callable[[Row], Example]


@dataclass(frozen=True, slots=True)
class Converted:
    """An Example, the name of its format, and the columns and turn keys that were not used."""

    example: Example
    format: str
    unused: frozenset[str]


FORMATS: tuple[Format, ...] = (
    *(Format("OpenAI preference", ("input", *names), (), pairs.openai) for names in pairs.OPENAI),
    Format("prompt + chosen + rejected", ("prompt", "chosen", "rejected"), ("system", *_READ_TOO), pairs.prompted),
    Format("ShareGPT + chosen + rejected", ("conversations", *_ANSWERS), ("system", *_READ_TOO), pairs.conversation),
    Format("chosen + rejected", _ANSWERS, _READ_TOO, pairs.whole),
    Format("chosen + rejected", ("chosen_messages", "rejected_messages"), _READ_TOO, pairs.whole),
    Format("OpenAI chat + rejected", ("messages", "rejected"), ("output_text", *_EXTRAS), pairs.chat),
    Format("OpenAI chat", ("messages",), ("output_text", *_EXTRAS), shapes.chat),
    Format("ShareGPT", ("conversations",), ("system", *_EXTRAS), shapes.sharegpt),
    Format("prompt/completion", ("prompt", "completion"), ("system", *_EXTRAS), shapes.prompt_completion),
    Format("SDFT tool use", ("prompt", "golden_response"), ("golden_answer", "system", *_EXTRAS), shapes.sdft_tools),
    Format("SDFT tool use", ("prompt", "golden_answer"), ("golden_response", "system", *_EXTRAS), shapes.sdft_tools),
    Format("SDFT prompt + context", ("prompt", "privileged_context"), ("system", *_EXTRAS), shapes.prompt_only),
    Format("document + question + answer", ("context", "question", "answer"), _EXTRAS, shapes.question_answer),
    Format("document + question + answer", ("context", "question", "answers"), _EXTRAS, shapes.question_answer),
    Format("question + answer", ("question", "answer"), ("context", *_EXTRAS), shapes.question_answer),
    Format("Berkeley function calling", ("question", "function"), ("id",), shapes.berkeley),
    Format("Alpaca", ("instruction", "output"), ("input", "system", "history", *_EXTRAS), shapes.alpaca),
    Format("text + label", ("text", "label"), (), shapes.classification),
    Format("prompts", ("prompt",), ("system", *_EXTRAS), shapes.prompt_only),
)
"""Tried in this order: the first whose columns are all there wins."""
_TEXT = Format("text without label", ("text",), (), shapes.text_alone)


def recognise(row: Row) -> Format | None:
    """Returns the first format whose columns `row` has, with values if possible; None if there is none.

    A prompt alone is the last resort: beside an empty `completion` it is a row that lacks its answer.
    """
    filled = {key for key, value in row.items() if value is not None and value != ""}
    with_values = (known for known in FORMATS[:-1] if filled.issuperset(known.needs))
    by_name = (known for known in FORMATS if set(row).issuperset(known.needs))
    return next(with_values, None) or next(by_name, None)


def convert(
    row: Row,
    source: str,
    *,
    need_demonstration: bool = True,
    keep: Set[str] = frozenset(),
    unlabelled: bool = False,
) -> Converted:
    """Returns the Example that `row` is, with its content id; raises `RowError` with the reason.

    The columns `keep` go with it as they are, for a grader that reads them: "*" stands for all, `UNREAD` for those
    that the format does not read. What an example is called by depends on the others only. With `unlabelled`, a row
    needs neither label nor answer, and a text alone is one.
    """
    known = recognise(row) or (_TEXT if unlabelled and "text" in row else None)
    if known is None:
        raise RowError("columns", _unknown_columns(row))
    example = known.convert(row)
    check_order(example.messages)
    pairs.check_pair(example)
    _check_something_to_learn(example, need_demonstration=need_demonstration and not unlabelled)
    example = replace(example, id=example_id(example), source=source, columns=_kept(row, keep, known))
    check_text(example)
    used = {*known.needs, *known.also, *example.columns}
    unused = {key for key, value in row.items() if key not in used and value is not None and value != ""}
    if known.convert is pairs.openai and isinstance(row.get("input"), dict):
        inner = cast("dict[str, JSONValue]", row["input"])
        unused |= {f"input.{key}" for key in inner if key not in ("messages", "tools")}
    for column in ("messages", "conversations"):
        if column in known.needs:
            unused |= {f"{column}[].{key}" for key in unused_turn_keys(row.get(column))}
    return Converted(example, known.name, frozenset(unused))


def can_be_labelled(example: Example) -> bool:
    """Tells whether there is nothing to learn from an example but a label that it could get."""
    learned = (example.label, example.privileged_context, example.demonstration)
    return learned == (None, None, None) and bool(example.messages) and example.messages[-1].role == "user"


def _kept(row: Row, keep: Set[str], known: Format) -> dict[str, JSONValue]:
    if not keep:
        return {}
    read = {*known.needs, *known.also}

    def is_kept(key: str) -> bool:
        return key in keep or "*" in keep or (UNREAD in keep and key not in read)

    return {key: value for key, value in row.items() if is_kept(key) and not _is_missing(value)}


def _is_missing(value: JSONValue) -> bool:
    """NaN is what pandas writes where a number is missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _check_something_to_learn(example: Example, *, need_demonstration: bool) -> None:
    if not need_demonstration or example.privileged_context is not None or example.label is not None:
        return
    if example.demonstration is None:
        last = example.messages[-1].role
        raise RowError(
            "roles",
            f"the last turn is {last}; it must be the assistant's, or there is nothing to learn from but a check "
            "(--method reflect --grader GRADER)",
        )
    if all(message.weight == 0 for message in example.messages if message.role == "assistant"):
        raise RowError("weight", "every assistant turn has weight 0, so there is nothing to learn")


def _unknown_columns(row: Row) -> str:
    found = ", ".join(sorted(row)[:12]) or "none"
    known = "; ".join(sorted({" + ".join(f.needs) for f in FORMATS}))
    advice = "Rename them, or map them with --column NAME=COLUMN"
    return f"the columns ({found}) are of no known format. Known: {known}. {advice}"
