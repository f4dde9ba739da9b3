"""Runs of words that rows share, and what they mean for a split.

A long run of words that few rows share joins these rows, so that they lie on one side of the split; a run that many
rows share is a template, which gives nothing of the own test away.

Choices made here:
- Many are more than 5% of the rows and more than ten, and from 1,001 rows on in any case.
- A run counts where it is searched: in every turn but the system's. It joins rows only if the user says it in one of
  them, because answers are not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.overlap.word_grams import Words, grams_of, text_hashes, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from holdfast.types import Example, Message

FEW_SHARE, FEW_AT_LEAST, FEW_AT_MOST = 0.05, 10, 1000
MIN_WORDS = 5
"""A held-out item of fewer words is a phrase ("thank you"): it is found only where it is all that a row asks."""
ASKED = np.uint64(1)
"""The lowest bit of a long run: the user says it."""


def few_rows(num_rows: int) -> int:
    """Returns how many of `num_rows` rows are few; a run that more of them share is a template.

    >>> [few_rows(num_rows) for num_rows in (12, 400, 500_000)]
    [10, 20, 1000]
    """
    return max(FEW_AT_LEAST, min(int(FEW_SHARE * num_rows), FEW_AT_MOST))


def item_text(example: Example) -> str:
    """Returns what is looked for of a held-out item: all that the user says, or all turns where there is no user."""
    turns = _searched(example)
    return "\n".join(message.content for message in [turn for turn in turns if turn.role == "user"] or turns)


@dataclass(frozen=True, slots=True)
class Turns:
    """The words of all turns that are searched; turn i is one of example `examples[i]`, of the user if `user[i]`."""

    words: Words
    examples: NDArray[np.int64]
    user: NDArray[np.bool_]
    num_examples: int

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Turns:
        """Returns the turns of some examples in their order."""
        turns = [_searched(example) for example in examples]
        messages = [message for own in turns for message in own]
        return cls(
            words_of([message.content for message in messages]),
            np.repeat(np.arange(len(examples)), [len(own) for own in turns]),
            np.array([message.role == "user" for message in messages], dtype=np.bool_),
            len(examples),
        )

    def joined(self) -> Words:
        """Returns the words of each example as one text."""
        return self.words.within(self.examples, self.num_examples)


def long_runs(examples: Sequence[Example], length: int) -> list[NDArray[np.uint64]]:
    """Returns the different runs of `length` words that each example holds, as hashes.

    All that the user says and each turn of the user is a run as well, however short it is (a turn from `MIN_WORDS` on).
    The lowest bit says nothing of the words: it is 1 where the run is looked for if the example is held out.
    """
    turns = Turns.of(examples)
    runs = grams_of(turns.joined(), length)
    with_user = np.bincount(turns.examples[turns.user], minlength=len(examples)) > 0
    looked_for = turns.user | ~with_user[turns.examples]
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(looked_for[turns.words.texts])])
    asked = before[runs.ends] - before[runs.starts] == runs.ends - runs.starts
    said = turns.words.where(turns.user[turns.words.texts])
    whole = text_hashes(said.within(turns.examples, len(examples)))
    each = text_hashes(said)
    each[np.bincount(said.texts, minlength=len(each)) < MIN_WORDS] = 0
    texts = np.concatenate([runs.texts, np.flatnonzero(whole), turns.examples[each > 0]])
    hashes = np.concatenate([(runs.hashes & ~ASKED) | asked, whole[whole > 0] | ASKED, each[each > 0] & ~ASKED])
    hashes = hashes.astype(np.uint64, copy=False)
    order = np.lexsort((hashes, texts))
    texts, hashes = texts[order], hashes[order]
    last = np.ones(len(hashes), dtype=np.bool_)  # of equal runs, that with the bit set
    last[:-1] = (texts[1:] != texts[:-1]) | (hashes[1:] >> ASKED != hashes[:-1] >> ASKED)
    return np.split(hashes[last], np.searchsorted(texts[last], np.arange(1, len(examples))))


def _searched(example: Example) -> list[Message]:
    return [message for message in example.turns if message.role != "system" and message.content]
