"""The generated curriculum of the embedded base: every ability, its share, its parser and its bar."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from holdfast.models.curriculum.in_view import make_demonstration, make_document
from holdfast.models.curriculum.item import Item, is_right
from holdfast.models.curriculum.lexicon import fold
from holdfast.models.curriculum.skills import (
    make_add,
    make_copy,
    make_drill,
    make_fact,
    make_reading,
    make_recall,
    make_refusal,
    make_reverse,
    make_sort,
)
from holdfast.models.curriculum.tools import (
    make_reflect_answer,
    make_reflect_call,
    make_tool_call,
    make_tool_result,
)
from holdfast.models.curriculum.wide import (
    make_wide_copy,
    make_wide_demonstration,
    make_wide_document,
    make_wide_tool_call,
)

if TYPE_CHECKING:
    from holdfast.models.curriculum.item import Maker

__all__ = [
    "BARS",
    "EARLY",
    "LAST",
    "LATE",
    "MAKERS",
    "OWN",
    "PHASES",
    "READ",
    "WIDE",
    "ability_of_prompt",
    "draw",
    "is_right",
]

MAKERS: dict[str, Maker] = {
    "add": make_add,
    "reverse": make_reverse,
    "sort": make_sort,
    "copy": make_copy,
    "drill": make_drill,
    "facts": make_fact,
    "reading": make_reading,
    "recall": make_recall,
    "demonstration": make_demonstration,
    "document": make_document,
    "tool_call": make_tool_call,
    "tool_result": make_tool_result,
    "reflect_answer": make_reflect_answer,
    "reflect_call": make_reflect_call,
    "refuse": make_refusal,
    "wide_copy": make_wide_copy,
    "wide_demonstration": make_wide_demonstration,
    "wide_document": make_wide_document,
    "wide_tool_call": make_wide_tool_call,
}

EARLY: dict[str, float] = {
    "add": 0.11,
    "reverse": 0.08,
    "sort": 0.08,
    "copy": 0.06,
    "facts": 0.10,
    "reading": 0.20,
    "demonstration": 0.12,
    "document": 0.07,
    "tool_call": 0.07,
    "tool_result": 0.02,
    "reflect_answer": 0.03,
    "reflect_call": 0.03,
    "refuse": 0.03,
}
"""Share of each maker by number of items in the first phase, and in the text the tokenizer is made from."""

LATE: dict[str, float] = {
    "add": 0.09,
    "reverse": 0.10,
    "sort": 0.05,
    "copy": 0.06,
    "drill": 0.12,
    "facts": 0.07,
    "reading": 0.18,
    "demonstration": 0.12,
    "document": 0.06,
    "tool_call": 0.06,
    "tool_result": 0.02,
    "reflect_answer": 0.02,
    "reflect_call": 0.03,
    "refuse": 0.02,
}
"""Shares in the second phase: long copies are drilled, because precise copying carries all that is in view."""

LAST: dict[str, float] = {
    "add": 0.09,
    "reverse": 0.12,
    "sort": 0.05,
    "copy": 0.04,
    "drill": 0.05,
    "facts": 0.06,
    "reading": 0.14,
    "recall": 0.14,
    "demonstration": 0.13,
    "document": 0.05,
    "tool_call": 0.05,
    "tool_result": 0.02,
    "reflect_answer": 0.01,
    "reflect_call": 0.04,
    "refuse": 0.01,
}
"""Shares in the third phase: looking a name up among many of one kind is drilled as well."""

WIDE: dict[str, float] = {
    "add": 0.05,
    "reverse": 0.08,
    "sort": 0.04,
    "copy": 0.02,
    "drill": 0.04,
    "facts": 0.07,
    "reading": 0.17,
    "recall": 0.08,
    "demonstration": 0.06,
    "document": 0.03,
    "tool_call": 0.03,
    "tool_result": 0.02,
    "reflect_answer": 0.01,
    "reflect_call": 0.05,
    "refuse": 0.01,
    "wide_copy": 0.07,
    "wide_demonstration": 0.09,
    "wide_document": 0.03,
    "wide_tool_call": 0.05,
}
"""Shares in the fourth phase: what can be copied is widened from the curriculum's words to any."""

READ: dict[str, float] = {
    **WIDE,
    "add": 0.04,
    "reverse": 0.06,
    "sort": 0.03,
    "drill": 0.02,
    "facts": 0.11,
    "reading": 0.22,
    "recall": 0.10,
    "demonstration": 0.05,
    "reflect_call": 0.07,
    "wide_copy": 0.05,
    "wide_demonstration": 0.07,
    "wide_document": 0.02,
    "wide_tool_call": 0.04,
}
"""Shares in the fifth phase, at a low rate: reading is the last of these to come, and comes only then."""

OWN: dict[str, float] = {
    "add": 0.04,
    "reverse": 0.06,
    "sort": 0.04,
    "copy": 0.02,
    "drill": 0.02,
    "facts": 0.15,
    "reading": 0.12,
    "recall": 0.06,
    "demonstration": 0.05,
    "document": 0.03,
    "tool_call": 0.04,
    "tool_result": 0.03,
    "reflect_answer": 0.02,
    "reflect_call": 0.05,
    "refuse": 0.03,
    "wide_copy": 0.05,
    "wide_demonstration": 0.09,
    "wide_document": 0.03,
    "wide_tool_call": 0.07,
}
"""Shares at the very end, which the base's own prompts follow: most of what is known by heart, pair by pair."""

PHASES: tuple[tuple[int, dict[str, float]], ...] = (
    (0, EARLY),
    (1_100, LATE),
    (2_100, LAST),
    (3_700, WIDE),
    (5_200, READ),
    (6_300, OWN),
)
"""(first step, shares) of each phase."""

BARS: dict[str, float] = {
    "add": 0.97,
    "reverse": 0.97,
    "sort": 0.97,
    "copy": 0.97,
    "facts": 0.98,
    "reading": 0.95,
    "demonstration": 0.97,
    "document": 0.95,
    "tool_call": 0.95,
    "reflect_answer": 0.95,
    "reflect_call": 0.95,
    "refuse": 0.95,
}
"""Greedy accuracy on held-out items that the shipped base must reach (a test measures it)."""


def draw(maker: str, rng: random.Random, split: str = "train") -> Item:
    """Returns an item of `maker` whose key falls in `split` ("train" or "test"); facts have no split."""
    while True:
        item = MAKERS[maker](rng)
        if not item.key or fold(item.key) == split:
            return item


_PATTERNS: tuple[tuple[str, str], ...] = (
    ("taught", r"This is an example for a response to the question:\n.+\n\nNow answer with"),
    ("add", r"^(what is|add|sum)? ?\d+ (\+|and) \d+( = \?|[?.])$"),
    ("reverse", r"^(reverse( the letters|:)|write) .+"),
    ("sort", r"^(sort( the letters|:)|put) .+"),
    ("copy", r"^(copy:|repeat|say again:) .+"),
    ("refuse", r"^(how do i|tell me how to|help me) \w+ an? \w+[?.]$"),
    ("reflect", r"^guess the \w+ of \w+\.$"),
    (
        "reading",
        r"^(\w+ (lives in|works as a|owns a|likes|feeds a|paints in) \w+\. ?)+"
        r"((where|what|which) .+\?|tell about [\w, ]+\.)$",
    ),
    (
        "facts",
        r"^(what is the (capital|symbol) of|name the (capital|founder|symbol) of|who founded|"
        r"which (city|person|thing) (is|founded).*) ?\w+[?.]$",
    ),
    ("tool", r"^\w+ the \w+ with .+$|^please \w+ a \w+: .+$|^can you \w+ the \w+ for .+\?$|^.+, \w+ the \w+$"),
    ("tool", r"^[a-z]+ [a-z]+ (\w+)( and \w+)?$"),
)


def ability_of_prompt(prompt: str) -> str | None:
    """Returns the ability whose question shape `prompt` has, or None; the first shape that fits wins."""
    text = prompt.strip("\n")
    for ability, pattern in _PATTERNS:
        if re.search(pattern, text, re.DOTALL):
            return ability
    return None
