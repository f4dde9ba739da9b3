"""Which grader judges a skill when nobody said: by the form of its demonstrations, with the reason."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.errors import DataError
from holdfast.graders import grader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.types import Example

MOST = 0.8
"""Share of the demonstrations that must have a form before it decides."""
SHORT_WORDS = 8
"""A demonstration of at most this many words is compared as a whole."""

_ACTION = re.compile(r"Action:\s*\w+")
_CHOICE = re.compile(r"<answer>", re.IGNORECASE)
_CALL = re.compile(r'^\s*(<tool_call>)?\s*\{\s*"name"\s*:')


def announce(spec: str, warn: Callable[[str], None]) -> None:
    """Warns of what a person should know before a grader judges; raises `ConfigError` where it cannot start.

    `spec` is a grader as the person wrote it: the spelling it is stored under leaves out what has no effect.
    """
    for sentence in dict.fromkeys(grader(spec).ready()):  # two parts of one grader may say the same
        warn(sentence)


def choose_grader(name: str, examples: Sequence[Example], *, pairs: bool = False) -> tuple[str, str]:
    """Returns the grader, as it is spelled, and the reason; `name` is a grader or "auto".

    With `pairs`, items with two answers each are tested by which of them a model finds likelier.
    """
    if name != "auto":
        return grader(name).spelled(), "as asked"
    if pairs and examples and all(example.rejected is not None for example in examples):
        return "preferred", "every item has two answers; a pass means that the preferred one is found likelier"
    answers = [turn for turn in (example.demonstration for example in examples) if turn is not None]
    if all(example.label is not None for example in examples):
        return "exact", "the items carry labels"
    if not answers:
        raise DataError("The test items have no answers to compare with. Give each an assistant turn or a label.")

    def share(matches: Sequence[bool]) -> float:
        return sum(matches) / len(matches)

    if share([bool(turn.tool_calls) or bool(_CALL.match(turn.content)) for turn in answers]) >= MOST:
        return "tool_call_match", "the demonstrations are tool calls"
    if share([bool(_ACTION.search(turn.content)) for turn in answers]) >= MOST:
        return "actions", "the demonstrations have the form Action: … Action Input: …"
    if share([bool(_CHOICE.search(turn.content)) for turn in answers]) >= MOST:
        return "choice", "the demonstrations end with an <answer> tag"
    if share([len(turn.content.split()) <= SHORT_WORDS for turn in answers]) >= MOST:
        return "exact", f"the demonstrations are short (at most {SHORT_WORDS} words)"
    return "contains", "the demonstrations are longer texts; a pass means that the whole reference stands in the answer"
