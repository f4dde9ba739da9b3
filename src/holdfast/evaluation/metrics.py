"""Accuracy and its error bars: Wilson, bootstrap, macro-F1. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from holdfast.errors import ConfigError
from holdfast.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval, as fractions (0.02 is two points)."""

    lower: float
    upper: float


def accuracy(values: Sequence[float]) -> float:
    """Returns the mean of the items' values.

    >>> accuracy([1.0, 0.0, 1.0, 1.0])
    0.75
    """
    _require_items(values)
    return math.fsum(values) / len(values)


def wilson(successes: int, total: int, confidence: float = 0.95) -> Interval:
    """Returns Wilson's score interval for a proportion (Wilson 1927).

    Unlike the textbook interval it has a width at 0 and at `total` successes.
    """
    _require_confidence(confidence)
    if not 0 <= successes <= total or total == 0:
        raise ConfigError(f"{successes} successes of {total} items is no proportion.")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    # At the ends the exact value is 0 or 1; rounding must not push it past.
    lower = 0.0 if successes == 0 else (centre - half) / scale
    upper = 1.0 if successes == total else (centre + half) / scale
    return Interval(lower, upper)


def bootstrap(values: Sequence[float], *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> Interval:
    """Returns the percentile-bootstrap interval of the mean of independent values.

    For show, never for a decision: where all values are alike its width is zero.
    """
    _require_confidence(confidence)
    _require_items(values)
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    generator = np.random.default_rng(derive_seed(seed, "bootstrap", len(values)))
    # Resampling n items is drawing how often each distinct value comes: a multinomial, which is exact and fast.
    draws = generator.multinomial(len(values), counts / len(values), size=resamples)
    means = draws @ distinct / len(values)
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail])
    return Interval(float(lower), float(upper))


def paired_bootstrap(
    before: Sequence[float],
    after: Sequence[float],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns the percentile-bootstrap interval of the mean of `after - before`, item by item.

    For show beside the gate's bound, never for a decision: with no item changed its width is zero.
    """
    if len(before) != len(after):
        raise ConfigError(f"Paired values differ in number: {len(before)} before, {len(after)} after.")
    differences = [new - old for old, new in zip(before, after, strict=True)]
    return bootstrap(differences, confidence=confidence, resamples=resamples, seed=seed)


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Returns the mean over classes of the harmonic mean of precision and recall.

    Every class that is in the truth or was predicted counts once; a class never predicted rightly counts 0.
    """
    if len(truth) != len(predicted):
        raise ConfigError(f"{len(truth)} true labels but {len(predicted)} predicted ones.")
    _require_items(truth)
    labels = sorted(set(truth) | set(predicted))
    return math.fsum(_f1(label, truth, predicted) for label in labels) / len(labels)


def _f1(label: str, truth: Sequence[str], predicted: Sequence[str]) -> float:
    hits = sum(t == label and p == label for t, p in zip(truth, predicted, strict=True))
    return 2 * hits / (sum(t == label for t in truth) + sum(p == label for p in predicted))


def _require_items(values: Sequence[object]) -> None:
    if not values:
        raise ConfigError("There are no items, so there is nothing to average.")


def _require_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence = {confidence} is out of range; it lies between 0 and 1, e.g. 0.95.")
