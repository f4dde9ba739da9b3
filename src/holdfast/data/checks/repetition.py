"""How much of a text repeats itself, and from where on that is a flaw.

Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher" (arXiv:2112.11446),
section A.1.1 and table A1: the share of a text's characters that lie in repeated lines and in repeated n-grams.

Choices made here: shares are of the characters of words (of lines for lines), without white space; a repeated n-gram
or line is counted from its second occurrence on; Chinese and Japanese characters are words; only the first 20,000
words are looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TOP_GRAM: Mapping[int, float] = {2: 0.20, 3: 0.18, 4: 0.16}
"""The largest share of characters that the most frequent n-gram may hold."""
REPEATED_GRAMS: Mapping[int, float] = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""The largest share of characters that may lie in n-grams seen before."""
REPEATED_LINES = 0.30
"""The largest share of lines seen before."""
REPEATED_LINE_CHARACTERS = 0.20
"""The largest share of characters in lines seen before."""
LOOP_WORDS = 10
"""Sequences of so many words come back by chance in hardly any text."""

_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+")
_MANY_WORDS = 20_000


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, at most 20,000."""
    words: list[str] = []
    for match in _WORD.finditer(text):
        words.append(match[0].lower())
        if len(words) == _MANY_WORDS:
            break
    return words


def top_gram(words: Sequence[str], size: int) -> tuple[str, float]:
    """Returns the n-gram that holds most of a text's characters by being repeated, and its share of them."""
    total = sum(map(len, words))
    counts = Counter(zip(*(words[start:] for start in range(size)), strict=False))
    weights = {gram: times * sum(map(len, gram)) for gram, times in counts.most_common(10) if times > 1}
    if not weights or not total:
        return "", 0.0
    gram = max(weights, key=weights.__getitem__)
    return " ".join(gram), min(1.0, weights[gram] / total)


def repeated_share(words: Sequence[str], size: int) -> float:
    """Returns the share of a text's characters that lie in n-grams seen before; overlaps count once.

    >>> repeated_share("a b c a b c".split(), 3)
    0.5
    """
    seen: set[tuple[str, ...]] = set()
    covered = [False] * len(words)
    for start, gram in enumerate(zip(*(words[first:] for first in range(size)), strict=False)):
        if gram in seen:
            covered[start : start + size] = [True] * size
        seen.add(gram)
    total = sum(map(len, words))
    return sum(len(word) for word, is_in in zip(words, covered, strict=True) if is_in) / total if total else 0.0


def repeated_lines(text: str) -> tuple[float, float]:
    """Returns the share of lines seen before, and the share of the characters that they hold."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    seen: set[str] = set()
    again: list[str] = []
    for line in lines:
        if line in seen:
            again.append(line)
        seen.add(line)
    if not lines:
        return 0.0, 0.0
    return len(again) / len(lines), sum(map(len, again)) / sum(map(len, lines))


def line_repetition(text: str, strictness: float = 1.0) -> str | None:
    """Returns in words how a text repeats its lines too often, or None; `strictness` divides the thresholds."""
    lines, characters = repeated_lines(text)
    if lines * strictness > REPEATED_LINES or characters * strictness > REPEATED_LINE_CHARACTERS:
        return f"{lines:.0%} of its lines, with {characters:.0%} of its characters, stand there before"
    return None


def word_repetition(words: Sequence[str], strictness: float = 1.0) -> str | None:
    """Returns in words how a text repeats its words too often, or None; `strictness` divides the thresholds."""
    for size, most in TOP_GRAM.items():
        gram, share = top_gram(words, size)
        if share * strictness > most:
            return f'"{gram}" alone is {share:.0%} of its words'
    share = repeated_share(words, min(REPEATED_GRAMS))
    for size, most in REPEATED_GRAMS.items():
        # What lies in repeated longer n-grams lies in repeated shorter ones, too, so that few texts go on from here.
        if share * strictness <= min(REPEATED_GRAMS.values()):
            return None
        share = repeated_share(words, size)
        if share * strictness > most:
            return f"{share:.0%} of it is sequences of {size} words that stand there before"
    return None
