"""A run of an evaluation as one page to read: its counts, its criteria, and every item with its answer and grades."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from holdfast.evaluation.pages import template
from holdfast.types import JSONValue


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item: what came in, what was answered, and what each criterion says."""

    number: int
    status: str
    item: Mapping[str, JSONValue]
    answer: str
    results: Sequence[str]

    @property
    def item_text(self) -> str:
        """The item as it reads."""
        return json.dumps(self.item, ensure_ascii=False, indent=1)


@dataclass(frozen=True, slots=True)
class EvalPage:
    """What stands on the page of a run."""

    title: str
    status: str
    created_at: str
    error: str
    num_items: int
    counts: Mapping[str, int]
    criteria: Mapping[str, Mapping[str, int]]
    items: Sequence[ItemLine]


def render_eval_page(page: EvalPage) -> str:
    """Returns the page as HTML text."""
    return template("eval_run.html").render(page=page)
