"""Names of labels: which are spellings of one, and which look like it."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_COMPARED = 200
"""So many labels, the most frequent, are compared with each other."""
_PART = re.compile(r"\d+|[^\W\d_]+")
LONG_NAME = 10
"""From this length on a name may differ in two letters from one that it is taken for; from 4 on in one."""


def unified(counts: Mapping[str, int]) -> dict[str, str]:
    """Returns the name that every label should have where it has another one.

    Labels that differ only in case, spaces or Unicode spelling get that of them which most rows have, without
    superfluous spaces. A label of spaces only keeps its name.

    >>> unified({"Refund": 3, "refund ": 1, "login ": 2})
    {'refund ': 'Refund', 'login ': 'login'}
    """
    spellings: dict[str, list[str]] = {}
    for label in counts:
        spellings.setdefault(_folded(label), []).append(label)
    found: dict[str, str] = {}
    for folded, labels in spellings.items():
        best = " ".join(min(labels, key=lambda label: (-counts[label], label)).split())
        found |= {label: best for label in labels if folded and label != best}
    return found


def look_alikes(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Returns pairs of different labels that may be one misspelt: one letter apart, two in long names.

    Names that differ in their numbers or in parts of one or two letters only (`class 1`, `type_b`) are no such pairs.
    """
    names = sorted(sorted(counts, key=lambda label: (-counts[label], label))[:MAX_COMPARED])
    folded = [_folded(name) for name in names]
    return [
        (names[first], names[second])
        for first in range(len(names))
        for second in range(first + 1, len(names))
        if _alike(folded[first], folded[second])
    ]


def edits(first: str, second: str) -> int:
    """Returns how many letters must be put in, taken out, replaced or swapped with their neighbour.

    The optimal string alignment distance.

    >>> edits("refund", "refnud"), edits("refund", "refunds"), edits("", "ab")
    (1, 1, 2)
    """
    above: list[int] = []
    row = list(range(len(second) + 1))
    for i, letter in enumerate(first, start=1):
        older, above, row = above, row, [i]
        for j, other in enumerate(second, start=1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == second[j - 2] and first[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _alike(first: str, second: str) -> bool:
    shorter = min(len(first), len(second))
    if first == second or shorter < 4 or abs(len(first) - len(second)) > 2:
        return False
    mine, other = set(_PART.findall(first)), set(_PART.findall(second))
    if all(len(part) <= 2 or part.isdigit() for part in mine ^ other):
        return False
    return edits(first, second) <= (2 if shorter >= LONG_NAME else 1)


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", label).casefold().split())
