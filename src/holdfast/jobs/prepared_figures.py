"""The figures behind the pictures of a preparation's report, and what its rows came from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from holdfast.data.doctor.sources import described
from holdfast.data.output.prepared import Bin, Figures, Source, Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.data.doctor.treatment import Treatment
    from holdfast.data.parts.assignment import Side
    from holdfast.types import JSONValue

_LEVELS = {"exact_duplicates": "exact", "near_duplicates": "near", "semantic_duplicates": "in meaning"}


def figures_of(treatment: Treatment, tokenizer: str) -> Figures:
    """Returns lengths, tokens by part, languages and duplicates, as far as they were measured."""
    by_check = {one.finding.check: one.finding.figures for one in treatment.outcomes}
    sides: tuple[Side, ...] = ("train", "test", "validation")
    tokens = {side: _tokens(treatment, side) for side in sides}
    return Figures(
        lengths=_bins(by_check.get("lengths", {})),
        max_tokens=treatment.context.max_tokens,
        tokenizer=tokenizer,
        tokens={side: found for side, found in tokens.items() if found.longest},
        languages=cast("Mapping[str, int]", by_check.get("language", {}).get("languages", {})),
        duplicates={
            level: cast("int", by_check[name]["duplicates"]) for name, level in _LEVELS.items() if name in by_check
        },
    )


def sources_of(treatment: Treatment) -> list[Source]:
    """Returns every source with the rows that were read from it, then every document with those made from it."""
    made = (replace(one, num_rows=0, num_made=one.num_rows) for one in described(treatment.by_document))
    return [*described(treatment.by_source), *made]


def _tokens(treatment: Treatment, side: Side) -> Tokens:
    context = learned = longest = 0
    for read, taught in treatment.tokens(side):
        context, learned, longest = context + read, learned + taught, max(longest, read + taught)
    return Tokens(context, learned, longest)


def _bins(figures: Mapping[str, JSONValue]) -> list[Bin]:
    """Returns the histogram of tokens that the check of lengths made."""
    tokens = cast("dict[str, dict[str, dict[str, list[int]]]]", figures.get("lengths") or {}).get("tokens")
    if not tokens:
        return []
    edges, counts = tokens["histogram"]["edges"], tokens["histogram"]["counts"]
    bins = [Bin(low, high, count) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
    first = next((place for place, each in enumerate(bins) if each.count), 0)
    return bins[first:]
