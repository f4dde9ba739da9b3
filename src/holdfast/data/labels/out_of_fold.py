"""What a simple classifier, which never saw them, says about labelled texts: cross-validated probabilities.

A logistic regression for each label, on hashed words, pairs of words and runs of 2 to 5 letters weighed by their rarity
(TF-IDF), or on embeddings. It is the
measure of what is easy, not a model that anybody uses.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array, spmatrix

MAX_CHARACTERS = 4000
"""So many characters of a text are looked at."""


@dataclass(frozen=True, slots=True, order=True)
class Labelled:
    """A row that is judged: its draw, its number, its label, what it says, and what else is known about it."""

    draw: int
    number: int
    label: str
    text: str
    source: str
    more: tuple[str, ...] = ()


class Sample:
    """Keeps at most `size` rows, drawn by their content: the same rows whatever their order."""

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, derive_seed(seed, "labelled sample") & (2**64 - 1)
        self._heap: list[tuple[int, int, Labelled]] = []
        self.num_seen = 0

    def add(self, number: int, label: str, text: str, source: str, more: tuple[str, ...] = ()) -> None:
        """Takes in a row, and lets go of the one drawn last if there are too many."""
        self.num_seen += 1
        content = f"{label}\x1f{text}".encode("utf-8", "surrogatepass")
        draw = xxhash.xxh3_64_intdigest(content, seed=self._seed)
        if len(self._heap) == self._size and -self._heap[0][0] <= draw:
            return
        entry = (-draw, -number, Labelled(draw, number, label, text[:MAX_CHARACTERS], source, more))
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heapreplace(self._heap, entry)

    def rows(self) -> list[Labelled]:
        """Returns the rows that are kept, in drawn order."""
        return sorted(row for _, _, row in self._heap)


def out_of_fold(
    texts: Sequence[str],
    codes: NDArray[np.int64],
    *,
    folds: int,
    seed: int = 0,
    embed: Callable[[Sequence[str]], NDArray] | None = None,
) -> NDArray[np.float64]:
    """Returns the probability of every label for every text, by a classifier that has not seen it [texts, labels].

    `codes` are the labels 0 to k - 1 (k at least 2), each with `folds` rows or more.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.multiclass import OneVsRestClassifier

    features = _counted(texts) if embed is None else np.asarray(embed(texts))
    probabilities = np.zeros((len(texts), int(codes.max()) + 1))
    parts = StratifiedKFold(folds, shuffle=True, random_state=derive_seed(seed, "folds") % 2**32)
    for train, held_out in parts.split(np.zeros(len(texts)), codes):
        own, other = features[train], features[held_out]
        if not isinstance(features, np.ndarray):
            own, other = _weighed(own, other)
        # liblinear, because it is ten times as fast on sparse rows and needs one small problem at a time in memory.
        classifier = OneVsRestClassifier(LogisticRegression(C=3.0, solver="liblinear", random_state=0))
        probabilities[held_out] = classifier.fit(own, codes[train]).predict_proba(other)
    return probabilities


def _counted(texts: Sequence[str]) -> csr_array:
    """Returns how often each text has each hashed feature."""
    from scipy.sparse import csr_array, hstack
    from sklearn.feature_extraction.text import HashingVectorizer

    # That the norm may be None is missing from its annotation.
    plain: dict[str, object] = {"n_features": 2**16, "alternate_sign": False, "norm": None}
    words = HashingVectorizer(ngram_range=(1, 2), **plain)  # pyright: ignore[reportArgumentType]
    letters = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), **plain)  # pyright: ignore[reportArgumentType]
    return csr_array(hstack([words.transform(texts), letters.transform(texts)]))


def _weighed(own: NDArray | spmatrix, other: NDArray | spmatrix) -> tuple[spmatrix, spmatrix]:
    """Returns both counts weighed by how rare each feature is in the first."""
    from sklearn.feature_extraction.text import TfidfTransformer

    weigh = TfidfTransformer(sublinear_tf=True).fit(own)
    return weigh.transform(own), weigh.transform(other)  # pyright: ignore[reportReturnType] - sparse as they came in
