"""What an answer is compared with, and the two kinds of judgement that are not a comparison."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from holdfast.types import Score

if TYPE_CHECKING:
    from holdfast.errors import GraderError
    from holdfast.types import Example

OPEN, CLOSE = "<answer>", "</answer>"
"""The tags that hold an answer."""
NO_REFERENCE = "no_reference"
"""The kind of an error that is the item's: it has nothing to compare with."""
MISSING = "missing"
"""The kind of an error that is the answer's own: it does not hold what the grader reads."""
SHOWN = 80
"""Explanations quote at most this many characters of an answer."""


def reference_text(example: Example) -> str | None:
    """Returns the text to compare with: the last assistant turn, else the label; None if there is neither."""
    if example.demonstration is not None and example.demonstration.content.strip():
        return example.demonstration.content
    return example.label if example.label is not None and example.label.strip() else None


def ungradable(error_type: str, explanation: str) -> Score:
    """Returns the judgement that nothing can be said about the answer, which is not a 0."""
    return Score(value=0.0, passed=False, explanation=explanation, error_type=error_type)


def outcome_of(error: GraderError) -> Score:
    """Returns the judgement that an error is: wrong where the answer lacks what was asked for, else not gradable."""
    if error.kind == MISSING:
        return judged(right=False, explanation=f"{MISSING}: {error.message}")
    return ungradable(error.kind, error.message)


def broken(kind: str, error: Exception) -> Score:
    """Returns the judgement that a grader of this type broke, and how, which is no answer's fault."""
    return ungradable("grader_failed", f"{kind} failed: {type(error).__name__}: {str(error)[:200]}")


def judged(*, right: bool, explanation: str) -> Score:
    """Returns 1 or 0 with its explanation."""
    return Score(value=1.0 if right else 0.0, passed=right, explanation=explanation)


def one_line(text: str) -> str:
    """Returns `text` in composed Unicode (NFC), with every run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def shown(text: str) -> str:
    """Returns the beginning of `text` for an explanation, quoted; half surrogate pairs become question marks."""
    line = one_line(text[: SHOWN * 4])
    line = line if len(line) <= SHOWN and len(text) <= SHOWN * 4 else line[:SHOWN] + "…"
    return '"' + line.encode("utf-8", "replace").decode() + '"'


def after_thinking(text: str) -> str:
    """Returns what stands after the reasoning; nothing of reasoning that was never closed."""
    if "</think>" in text:
        return text.rpartition("</think>")[2]
    return text.partition("<think>")[0]


def last_answer(text: str) -> str | None:
    """Returns the text in the last closed answer tag, or None. Linear in the length of `text`."""
    end = text.rfind(CLOSE)
    start = text.rfind(OPEN, 0, end) if end >= 0 else -1
    return text[start + len(OPEN) : end] if start >= 0 else None
