"""Which of several alike rows is kept: the one a model learns most from, in an order that can be explained.

1. A row with an answer before one without.
2. An answer that is complete before one that breaks off (no closing mark at its end though it is a text of sentences).
3. A clean text before a noisy one: repetition and symbols, in four steps, so that a little more of either never
   outweighs a longer answer.
4. The longer answer, in characters, spaces counted once. Prompts without answers are not judged by their length.
5. What was read first.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.types import Example

NOISE_STEPS = (0.2, 0.4, 0.6)
"""Shares of noise at which a text falls into the next of four classes."""
LOOKED_AT = 2048
"""So many characters at the start of an answer are looked at for noise, so that long answers cost no more."""
LONGEST = 2**40 - 1
_STOPS = ".!?\u2026\u3002\uff01\uff1f\u061f\u06d4\u0964"
"""What ends a sentence, in Latin, Chinese, Arabic, Urdu and Hindi."""
_SENTENCE = re.compile(rf"[{_STOPS}][\"'\u201d\u2019)\]]*\s")
_CLOSED = re.compile(rf"[{_STOPS}:\"'\u201d\u2019)\]}}>`*|\d]\s*$")
_WORD = re.compile(r"\w+")


def answer_of(example: Example) -> str:
    """Returns what a row teaches to say: its demonstration with its calls, or else its label."""
    last = example.demonstration
    if last is None:
        return example.label or ""
    return "\n".join([last.content, *(f"{call.name} {call.arguments}" for call in last.tool_calls)]).strip()


def quality(example: Example) -> int:
    """Returns a number that is greater for the row to keep: the order above in one non-negative int64."""
    answer = answer_of(example)
    # A label is not written by anybody, so it is the text it was given to that is clean or not.
    written = answer if example.demonstration else "\n".join(message.content for message in example.messages)
    clean = 3 - bisect_left(NOISE_STEPS, noise(written))
    length = min(len(" ".join(answer.split())), LONGEST) if example.demonstration else 0
    return bool(answer) << 43 | complete(written) << 42 | clean << 40 | length


def complete(text: str) -> bool:
    """Whether a text does not break off; one without sentences ("Paris", a line of code) cannot be seen to."""
    return not _SENTENCE.search(text[:LOOKED_AT]) or bool(_CLOSED.search(text[-32:]))


def noise(text: str) -> float:
    """Returns the share of repeated words or of symbols in a text, whichever is greater, from 0 to 1.

    Repeated are words (of more than ten) beyond what texts of that length repeat anyhow: half of them are free.
    """
    text = text[:LOOKED_AT]
    if not text:
        return 0.0
    words = _WORD.findall(text.lower())
    num_solid = len("".join(text.split()))
    symbols = 1 - len("".join(words)) / num_solid if num_solid else 0.0
    repeated = max(0.0, 1 - 2 * len(set(words)) / len(words)) if len(words) > 10 else 0.0
    return max(symbols, repeated)


def ranks(qualities: NDArray) -> NDArray:
    """Returns each row's place in the order of quality: 0 for the best; of equals, the first read is better.

    >>> ranks(np.array([5, 9, 9])).tolist()
    [2, 0, 1]
    """
    rank = np.empty(len(qualities), dtype=np.int64)
    rank[np.argsort(-np.asarray(qualities, dtype=np.int64), kind="stable")] = np.arange(len(qualities))
    return rank


def explain(better: int, worse: int) -> str:
    """Returns why the first of two alike rows is kept, from their `quality`: completes "it is kept because …"."""
    differ = better ^ worse
    if differ >> 43:
        return "it has an answer"
    if differ >> 42:
        return "it does not break off"
    if differ >> 40:
        return "it repeats less or has fewer symbols"
    return "its answer is longer" if differ else "it was read first"
