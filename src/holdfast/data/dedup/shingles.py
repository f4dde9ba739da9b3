"""Texts as sets of shingles: hashes of several words in a row, for thousands of texts at once in numpy.

A word is a run of letters, marks and digits (`3.5` is one). In scripts written without spaces (Chinese, Japanese, Thai,
Lao, Khmer, Burmese, Tibetan) every character is a word, and a text that is mostly of those has wider shingles. Signs
that carry meaning (`+`, `<`, `@`, emoji) are words of their own, so that `3 + 4` and `3 - 4` differ; the marks of
sentences are not. A text with fewer words than a shingle has one shingle of all its words, a text without any has none.

Hashes are of 32 bits: in two texts of 1,000 shingles each, one in 4,000 pairs of texts has a single false match.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.dedup.columns import Column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

PIECE = 1 << 18
"""So many characters are worked on at a time; in a longer text the shingles across two pieces are left out."""
COUNTED = 50_000
"""Sets in which common hashes are counted."""
FEWEST = 10
"""A hash in no more sets than this is not common, however few there are."""
ROWS_AT_A_TIME = 1 << 15
UNKNOWN, BETWEEN, LETTER, DIGIT, ALONE, CHARACTER = range(6)
"""What a character is: not looked up yet, between words, in a word (twice), or a word alone (a sign, of a script)."""
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x3FFFF),
)  # fmt: skip
_SIGNS = frozenset("*/%&#@\\-_")
_kinds = np.zeros(0x110000, dtype=np.uint8)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


@dataclass(frozen=True, slots=True)
class Sets:
    """Sets of 32-bit hashes: that of row i is `values[starts[i]:stops[i]]`, without repetition.

    `values` may live on disk.
    """

    values: NDArray
    starts: NDArray
    stops: NDArray

    def __len__(self) -> int:
        return len(self.starts)

    def sizes(self, rows: NDArray | None = None) -> NDArray:
        """Returns the number of shingles of each of `rows`, of every row without them."""
        return self.stops - self.starts if rows is None else self.stops[rows] - self.starts[rows]

    def gather(self, rows: NDArray) -> tuple[NDArray, NDArray]:
        """Returns all hashes of `rows` one after another, and for each the place of its row in `rows`."""
        starts, sizes = self.starts[rows], self.sizes(rows)
        owner = np.repeat(np.arange(len(rows)), sizes)
        before = np.cumsum(sizes) - sizes
        return self.values[np.arange(len(owner)) + np.repeat(starts - before, sizes)], owner


def shingle_sets(texts: Sequence[str], words: int = 3, characters: int = 5) -> Sets:
    """Returns the shingles of each text: of `words` words, in scripts without spaces of `characters` characters.

    Case, width and spelling variants should have been made equal before (`normalised`).
    """
    keys: list[NDArray] = []
    for owners, pieces in _batches(texts):
        hashes, kinds, owner = _words(_joined(pieces))
        shingles, place = _shingles(hashes, kinds, owner, len(pieces), words, characters)
        row = owners.astype(np.uint64)[place]
        keys.append(distinct(row << np.uint64(32) | shingles))
    every = np.concatenate(keys) if keys else np.empty(0, np.uint64)
    if len(keys) > 1:
        every = distinct(every)
    counts = np.bincount((every >> np.uint64(32)).astype(np.int64), minlength=len(texts))
    stops = np.cumsum(counts, dtype=np.int64)
    return Sets(every.astype(np.uint32), stops - counts, stops)


def common(sets: Sets, share: float) -> NDArray:
    """Returns, in order, the hashes that are in more than `share` of the sets, and in more than `FEWEST` of them.

    They are the wording that a template gives to all its rows. Of very many sets, `COUNTED` are looked at.
    """
    rows = np.arange(0, len(sets), -(-len(sets) // COUNTED) or 1)
    values, _ = sets.gather(rows)
    values.sort()
    new = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(values) else values
    counts = np.diff(np.append(new, len(values)))
    return values[new[counts > max(share * len(rows), FEWEST)]]


def without(sets: Sets, hashes: NDArray, path: Path) -> Sets:
    """Returns the sets without `hashes`, which are in order, in a new file; `sets` must lie one after another."""
    kept = Column(path, np.uint32)
    sizes = np.zeros(len(sets), dtype=np.int64)
    for start in range(0, len(sets), ROWS_AT_A_TIME):
        part = np.arange(start, min(start + ROWS_AT_A_TIME, len(sets)))
        values, owner = sets.gather(part)
        place = np.minimum(np.searchsorted(hashes, values), max(len(hashes) - 1, 0))
        stays = hashes[place] != values if len(hashes) else np.ones(len(values), dtype=bool)
        kept.append(values[stays])
        sizes[part] = np.bincount(owner[stays], minlength=len(part))
    stops = np.cumsum(sizes)
    return Sets(kept.read(), stops - sizes, stops)


def distinct(values: NDArray) -> NDArray:
    """Returns the numbers in `values` in order, each once; for 64-bit numbers several times as fast as np.unique."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def mixed(values: NDArray) -> NDArray:
    """Returns 64-bit numbers of which every bit depends on every bit of `values` (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _batches(texts: Sequence[str]) -> Iterator[tuple[NDArray, list[str]]]:
    """Yields pieces of texts, with the number of the text of each, in batches of about `PIECE` characters."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    batch = np.cumsum(sizes) // PIECE
    bounds = [0, *(np.flatnonzero(np.diff(batch)) + 1).tolist(), len(texts)]
    for start, stop in pairwise(bounds):
        part = texts[start:stop]
        if stop - start > 1 or (part and len(part[0]) <= PIECE):
            yield np.arange(start, stop), list(part)
        for text in part if stop - start == 1 and len(part[0]) > PIECE else ():
            for begin in range(0, len(text), PIECE):
                yield np.array([start]), [text[begin : begin + PIECE]]


def _joined(pieces: Sequence[str]) -> str:
    """Returns the pieces with line breaks between them and, in place of line breaks, spaces in them."""
    joined = "\n".join(pieces)
    if joined.count("\n") == len(pieces) - 1:
        return joined
    return "\n".join(piece.replace("\n", " ") for piece in pieces)


def _words(joined: str) -> tuple[NDArray, NDArray, NDArray]:
    """Returns for every word its hash (uint64), the kind of its first character, and the piece it is in."""
    chars = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds_of(chars)
    piece = np.cumsum(chars == ord("\n"), dtype=np.int32)
    in_word = (kinds == LETTER) | (kinds == DIGIT)
    alone = kinds >= ALONE
    begins = alone | in_word
    begins[1:] &= ~(in_word[1:] & in_word[:-1])
    ends = alone | in_word
    ends[:-1] &= ~(in_word[1:] & in_word[:-1])
    starts, stops = np.flatnonzero(begins), np.flatnonzero(ends) + 1
    # A polynomial of all characters before each place; a word is the difference of two, brought to the same power.
    powers = _powers(_BASE, len(chars))
    sums = np.zeros(len(chars) + 1, dtype=np.uint64)
    np.cumsum(mixed(chars.astype(np.uint64) + _BASE) * powers, out=sums[1:])
    hashes = mixed((sums[stops] - sums[starts]) * _powers(_INVERSE, len(chars))[starts])
    return hashes, kinds[starts], piece[starts]


def _powers(base: np.uint64, count: int) -> NDArray:
    """Returns base**0, base**1, … modulo 2**64."""
    return _many_powers(base, -(-count // PIECE) * PIECE)[:count]


@lru_cache(maxsize=4)
def _many_powers(base: np.uint64, count: int) -> NDArray:
    factors = np.full(count, base, dtype=np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _shingles(
    hashes: NDArray, kinds: NDArray, owner: NDArray, num_texts: int, words: int, characters: int
) -> tuple[NDArray, NDArray]:
    """Returns the upper half of every shingle's hash, and the piece it is in."""
    counts = np.bincount(owner, minlength=num_texts)
    unspaced = np.bincount(owner, weights=kinds == CHARACTER, minlength=num_texts)
    widths = np.minimum(np.where(2 * unspaced > counts, characters, words), np.maximum(counts, 1))
    left = np.repeat(np.cumsum(counts), counts) - np.arange(len(hashes))  # words from here to the end of the text
    width_of_word = widths[owner]
    fits = left >= width_of_word
    found: list[tuple[NDArray, NDArray]] = []
    for width in distinct(widths).tolist():
        places = np.flatnonzero(fits & (width_of_word == width))
        shingle = hashes[places]
        for step in range(1, width):
            shingle = mixed(shingle * _BASE + hashes[places + step])
        found.append((shingle >> np.uint64(32), owner[places]))
    return np.concatenate([s for s, _ in found]), np.concatenate([o for _, o in found])


def _kinds_of(chars: NDArray) -> NDArray:
    """Returns what each character is, where it stands."""
    kinds = _kinds[chars]
    if not kinds.all():
        for code in distinct(chars[kinds == UNKNOWN]).tolist():
            _kinds[code] = _kind(code)
        kinds = _kinds[chars]
    inner = np.flatnonzero((chars[1:-1] == ord(".")) | (chars[1:-1] == ord(",")) | (chars[1:-1] == ord("-"))) + 1
    before, after = kinds[inner - 1], kinds[inner + 1]
    hyphens = chars[inner] == ord("-")
    kinds[inner[hyphens & (before == LETTER) & (after == LETTER)]] = BETWEEN
    kinds[inner[~hyphens & (before == DIGIT) & (after == DIGIT)]] = DIGIT
    return kinds


def _kind(code: int) -> int:
    character = chr(code)
    category = unicodedata.category(character)
    if any(low <= code <= high for low, high in _UNSPACED) and category[0] in "LM":
        return CHARACTER
    if category[0] == "N":
        return DIGIT
    if category[0] in "LM":
        return LETTER
    return ALONE if category[0] == "S" or character in _SIGNS else BETWEEN
