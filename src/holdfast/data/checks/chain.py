"""The beginning that most of many texts share, found in one pass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from holdfast.data.checks.wording import first_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = 10_000
LONGEST = 4_000


class CommonStart:
    """Finds the longest beginning that at least `share` (> 1/2) of all texts have, and go on after it.

    The beginnings that more than half of the first 10,000 texts share are nested in one another, so they are one
    string; every text is then counted by how far it agrees with it. Up to 100,000 texts the result is exact for
    shares of 95 % and more; beyond, a beginning is missed only if most of the first 10,000 texts lack it.
    Texts that say nothing after the shared beginning do not count as having it.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._first: list[str] = []
        self._candidate: str | None = None
        self._agreeing: Counter[int] = Counter()
        self.num_texts = 0

    def add(self, text: str) -> None:
        """Counts one text."""
        self.num_texts += 1
        if self._candidate is not None:
            self._count(text, self._candidate)
            return
        self._first.append(text[: LONGEST + 1])
        if len(self._first) == SAMPLE:
            self._settle()

    def result(self) -> tuple[str, int]:
        """Returns the longest shared beginning and how many texts have it; ("", 0) where there is none."""
        candidate = self._candidate if self._candidate is not None else self._settle()
        num = 0
        for length in range(len(candidate), 0, -1):
            num += self._agreeing[length]
            if num and num >= self._share * self.num_texts:
                return candidate[:length], num
        return "", 0

    def _settle(self) -> str:
        candidate = majority_start(self._first)
        for text in self._first:
            self._count(text, candidate)
        self._candidate, self._first = candidate, []
        return candidate

    def _count(self, text: str, candidate: str) -> None:
        agreement = first_difference(candidate, text[: LONGEST + 1])
        if text[agreement : LONGEST + 1].strip():
            self._agreeing[agreement] += 1


def majority_start(texts: Sequence[str]) -> str:
    """Returns the longest string, of at most 4,000 characters, with which more than half of `texts` begin."""
    found, low, high = "", 0, LONGEST
    while low < high:
        length = (low + high + 1) // 2
        counts = Counter(text[:length] for text in texts if len(text) >= length)
        start, num = counts.most_common(1)[0] if counts else ("", 0)
        if num * 2 > len(texts):
            found, low = start, length
        else:
            high = length - 1
    return found
