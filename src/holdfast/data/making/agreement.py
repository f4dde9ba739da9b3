"""How far several annotators agree: Krippendorff's alpha for names (nominal), with an interval, and who differs.

Krippendorff 2004, *Content Analysis*, chapter 11. Every item with m >= 2 answers gives m (m - 1) ordered pairs of
answers, each of weight 1 / (m - 1). With o[c, d] the summed weight of the pairs (c, d), n[c] the sum of a row of o, and
n the sum of all (the number of answers that have a partner):

    alpha = 1 - D_observed / D_expected
          = 1 - (n - 1) * (n - sum_c o[c, c]) / (n**2 - sum_c n[c]**2)

1 is perfect agreement, 0 what chance gives, below 0 less than chance. It is not defined where all answers are the same
label (nothing could have differed) or no item has two answers; it is None then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Answers = Mapping[str, Mapping[str, str]]

NUM_RESAMPLES = 1000
RESAMPLES_AT_ONCE = 50
CONFIDENCE = 0.95
LEAST_ALPHA = 0.667
"""The lowest alpha at which Krippendorff (2004, chapter 11) draws even tentative conclusions from labels."""


@dataclass(frozen=True, slots=True)
class AnnotatorAgreement:
    """One annotator: their share of pairs with others that agree, and alpha of all the others without them."""

    num_answers: int
    agreement: float | None
    alpha_without: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha of all answers, with the 95 % interval of a bootstrap over items.

    `num_items` have an answer, `num_paired` of them two or more. `labels` says for each label how probable it is that
    another annotator gives it to an item that one gave it to. `annotators` is by name.
    """

    alpha: float | None
    low: float | None
    high: float | None
    num_items: int
    num_paired: int
    labels: Mapping[str, float]
    annotators: Mapping[str, AnnotatorAgreement]


def agreement(answers: Answers, *, seed: int = 0) -> Agreement:
    """Returns how far `answers` (item id -> annotator -> label) agree."""
    units = [list(by_annotator.values()) for by_annotator in answers.values() if by_annotator]
    table = _table(units)
    low, high = _interval(table, seed)
    names = sorted({name for by_annotator in answers.values() for name in by_annotator})
    return Agreement(
        alpha=_alpha(table),
        low=low,
        high=high,
        num_items=len(units),
        num_paired=len(table.counts),
        labels=_by_label(table),
        annotators={name: _annotator(answers, name) for name in names},
    )


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Returns Krippendorff's nominal alpha of items, each given as its answers; None where it is not defined.

    >>> krippendorff_alpha([["a", "a"], ["b", "b"], ["a", "b"]])
    0.4444444444444444
    """
    return _alpha(_table(units))


@dataclass(frozen=True, slots=True)
class _Table:
    """For each of the U items with two answers or more and each of K labels: its answers, and its part of o[c, c]."""

    labels: tuple[str, ...]
    counts: NDArray[np.float64]
    agreeing: NDArray[np.float64]


def _table(units: Iterable[Sequence[str]]) -> _Table:
    paired = [Counter(unit) for unit in units if len(unit) > 1]
    labels = tuple(sorted({label for unit in paired for label in unit}))
    counts = np.array([[unit[label] for label in labels] for unit in paired], float).reshape(len(paired), len(labels))
    partners = np.maximum(counts.sum(1, keepdims=True) - 1, 1)
    return _Table(labels, counts, counts * (counts - 1) / partners)


def _alpha(table: _Table) -> float | None:
    sums = table.counts.sum(0)
    alphas = _alphas(sums[None, :], np.array([table.agreeing.sum()]))
    return None if np.isnan(alphas[0]) else float(alphas[0])


def _alphas(sums_BK: NDArray[np.float64], agreeing_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Alpha for each of B sets of items, NaN where it is not defined."""
    n_B = sums_BK.sum(1)
    expected_B = n_B**2 - (sums_BK**2).sum(1)
    disagreeing_B = (n_B - 1) * (n_B - agreeing_B)
    return 1 - np.divide(disagreeing_B, expected_B, out=np.full(len(n_B), np.nan), where=expected_B > 0)


def _interval(table: _Table, seed: int) -> tuple[float | None, float | None]:
    num_units = len(table.counts)
    if num_units < 2:
        return None, None
    generator = np.random.default_rng(derive_seed(seed, "agreement"))
    agreeing_U = table.agreeing.sum(1)
    alphas: list[NDArray[np.float64]] = []
    for _ in range(NUM_RESAMPLES // RESAMPLES_AT_ONCE):
        # How often each item is drawn, for each of B resamples.
        times_BU = generator.multinomial(num_units, np.full(num_units, 1 / num_units), RESAMPLES_AT_ONCE)
        alphas.append(_alphas(times_BU @ table.counts, times_BU @ agreeing_U))
    drawn = np.concatenate(alphas)
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return None, None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def _by_label(table: _Table) -> dict[str, float]:
    sums, agreeing = table.counts.sum(0), table.agreeing.sum(0)
    return {label: float(agreeing[k] / sums[k]) for k, label in enumerate(table.labels)}


def _annotator(answers: Answers, name: str) -> AnnotatorAgreement:
    pairs: Counter[bool] = Counter()
    num_answers = 0
    others: dict[str, list[str]] = defaultdict(list)
    for item, by_annotator in answers.items():
        others[item] = [label for other, label in by_annotator.items() if other != name]
        if name in by_annotator:
            num_answers += 1
            pairs.update(label == by_annotator[name] for label in others[item])
    share = pairs[True] / pairs.total() if pairs else None
    return AnnotatorAgreement(num_answers, share, krippendorff_alpha(others.values()))
