"""Runs of n words as 64-bit numbers, for many texts at once; a word is what a reader would call one.

Case, punctuation and Unicode spellings do not count, nor do the Arabic and Persian spellings of one letter or digit,
vowel signs, tatweel and the zero-width non-joiner. Han, kana, Thai, Lao, Khmer and Burmese have no spaces between
words: there every letter counts as a word, and a run in which most words are such letters has twice the length (a word
is about two letters).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import regex
import xxhash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+", regex.V1)
_UNSPACED_WORD = regex.compile(rf"[{_UNSPACED}]", regex.V1)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_SAME_LETTER = {  # Arabic letters by their code points, because they look alike: yeh, alef maksura, kaf, alefs, …
    0x064A: 0x06CC, 0x0649: 0x06CC, 0x0643: 0x06A9, 0x0629: 0x0647, 0x06C0: 0x0647, 0x0623: 0x0627, 0x0625: 0x0627,
    0x0671: 0x0627, 0x0624: 0x0648,
}  # fmt: skip
_DIGITS = {digit: ord("0") + digit - first for first in (0x0660, 0x06F0) for digit in range(first, first + 10)}
_MARKS = dict.fromkeys([*range(0x064B, 0x0660), 0x0670, 0x0640, 0x200C, 0x200D, 0x200E, 0x200F])
_ARABIC = {**_SAME_LETTER, **_DIGITS, **_MARKS}
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def words(text: str) -> list[str]:
    """Returns the words of a text, normalised; a letter of a script without spaces is a word.

    >>> words("The CAFÉ's 2nd_floor: 日本")
    ['the', 'café', 's', '2nd', 'floor', '日', '本']
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold().translate(_ARABIC))


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts in a row: `hashes[i]` is one word of text `texts[i]`.

    `unspaced` marks the letters of scripts without spaces. Words may be left out; `places` says where each stood, so
    that no run goes over a gap.
    """

    hashes: NDArray[np.uint64]
    texts: NDArray[np.int64]
    unspaced: NDArray[np.bool_]
    places: NDArray[np.int64]
    num_texts: int

    def where(self, kept: NDArray[np.bool_]) -> Words:
        """Returns the words that are marked, in their places."""
        return Words(self.hashes[kept], self.texts[kept], self.unspaced[kept], self.places[kept], self.num_texts)

    def within(self, texts: NDArray[np.int64], num_texts: int) -> Words:
        """Returns the same words where text number i is a part of the text `texts[i]`."""
        return Words(self.hashes, texts[self.texts], self.unspaced, self.places, num_texts)


def words_of(texts: Sequence[str]) -> Words:
    """Returns the words of every text."""
    found = [words(text) for text in texts]
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    every = list(chain.from_iterable(found))
    known = {word: code for code, word in enumerate(dict.fromkeys(every))}
    order = np.fromiter(map(known.__getitem__, every), np.int64, len(every))
    hashes = np.array([xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass")) for word in known], np.uint64)
    unspaced = np.array([not word.isascii() and _UNSPACED_WORD.match(word) is not None for word in known], np.bool_)
    return Words(
        hashes[order], np.repeat(np.arange(len(texts)), lengths), unspaced[order], np.arange(len(order)), len(texts)
    )


@dataclass(frozen=True, slots=True)
class Grams:
    """Runs of words: the hash of each, the text it is in, and the index of its first and behind its last word."""

    hashes: NDArray[np.uint64]
    texts: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def grams_of(given: Words, length: int) -> Grams:
    """Returns every run of `length` words (twice as many where most are letters of scripts without spaces)."""
    runs = [_runs(given, length, doubled=False)]
    if given.unspaced.any():
        runs.append(_runs(given, 2 * length, doubled=True))
    return Grams(
        np.concatenate([run.hashes for run in runs]),
        np.concatenate([run.texts for run in runs]),
        np.concatenate([run.starts for run in runs]),
        np.concatenate([run.ends for run in runs]),
    )


def text_hashes(given: Words) -> NDArray[np.uint64]:
    """Returns a hash of each text's words in their order; 0 for a text without words."""
    hashes = np.zeros(given.num_texts, dtype=np.uint64)
    starts = np.flatnonzero(np.r_[True, given.texts[1:] != given.texts[:-1]]) if len(given.texts) else []
    ends = np.r_[starts[1:], len(given.texts)] if len(starts) else []
    for start, end in zip(starts, ends, strict=True):
        digest = xxhash.xxh3_64_intdigest(given.hashes[start:end].tobytes())
        hashes[given.texts[start]] = digest or 1
    return hashes


def _runs(given: Words, length: int, *, doubled: bool) -> Grams:
    num = len(given.hashes) - length + 1
    if num <= 0:
        none = np.empty(0, np.int64)
        return Grams(np.empty(0, np.uint64), none, none, none)
    hashes = np.full(num, np.uint64(length))
    with np.errstate(over="ignore"):
        for offset in range(length):
            hashes *= _FACTOR
            hashes += given.hashes[offset : offset + num]
        hashes ^= hashes >> np.uint64(32)
        hashes *= _FACTOR
        hashes ^= hashes >> np.uint64(29)
    last = given.texts[length - 1 :]
    kept = (given.texts[:num] == last) & (given.places[length - 1 :] - given.places[:num] == length - 1)
    if given.unspaced.any():
        sums = np.r_[0, np.cumsum(given.unspaced)]
        many = 2 * (sums[length:] - sums[:num]) > length
        kept &= many if doubled else ~many
    starts = np.flatnonzero(kept)
    return Grams(hashes[starts], given.texts[starts], starts, starts + length)
