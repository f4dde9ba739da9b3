"""How findings count rows and quote them, so that a person sees what is meant and where."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.data.check import MANY_SHOWN, SHOWN_LENGTH, Shown, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from holdfast.data.check import Row
    from holdfast.types import Example

LEAD = 60
"""So many characters stand before the place that an excerpt is about."""
_KEPT_AS_IS = "\n\t\u200c\u200d"


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun: "1 row", "3,000 rows"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def of_rows(count: int, total: int, many: str, one: str) -> str:
    """Returns "37 of 3,000 rows hold" or "1 of 3,000 rows holds"; no row is written as "None"."""
    number = f"{count:,}" if count else "None"
    return f"{number} of {counted(total, 'row')} {one if count == 1 else many}"


def listed(counts: Mapping[str, int], most: int = 6) -> str:
    """Returns counts by name, the most frequent first: "mojibake 12, odd spaces 3"."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = len(ordered) - most
    text = ", ".join(f"{name} {count:,}" for name, count in ordered[:most])
    return text + (f", and {rest} more" if rest > 0 else "")


class Tally:
    """Rows by kind, and the first few of each kind as findings show them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.num_rows = 0
        self._shown: dict[str, list[Shown]] = {}

    def add(self, kinds: Sequence[str], show: Callable[[str], Shown]) -> None:
        """Counts one row that has all of `kinds`; `show` makes what is shown of it for one kind."""
        if not kinds:
            return
        self.num_rows += 1
        for kind in kinds:
            self.counts[kind] += 1
        for kind in kinds:
            examples = self._shown.setdefault(kind, [])
            if len(examples) < MANY_SHOWN:
                examples.append(show(kind))
                return

    def shown(self) -> tuple[Shown, ...]:
        """Returns up to `MANY_SHOWN` rows, of each kind the first, then of each the second."""
        most = max((len(each) for each in self._shown.values()), default=0)
        rounds = [each[turn] for turn in range(most) for each in self._shown.values() if turn < len(each)]
        return tuple(rounds[:MANY_SHOWN])


def texts_of(example: Example) -> Iterator[str]:
    """Yields every text of an example in reading order, as `text_of` joins them, empty ones included."""
    for message in example.turns:
        yield message.content
        yield from (call.arguments for call in message.tool_calls)
    yield from (example.document or "", example.privileged_context or "")


def shown_change(row: Row, after: Example, note: str = "") -> Shown:
    """Returns the first text of a row that would change, before and after, from shortly before the change on."""
    if len(after.messages) != len(row.example.messages):
        return shown(row, after, note)
    pairs: Iterable[tuple[str, str]] = zip(texts_of(row.example), texts_of(after), strict=False)
    before, changed = next(((old, new) for old, new in pairs if old != new), ("", ""))
    start = first_difference(before, changed)
    return Shown(row.example.source, excerpt(before, start), excerpt(changed, start), note)


def shown_at(row: Row, text: str, start: int, note: str = "") -> Shown:
    """Returns the place of a row's text that a finding is about."""
    return Shown(row.example.source, excerpt(text, start), "", note)


def excerpt(text: str, start: int) -> str:
    """Returns `SHOWN_LENGTH` characters of a text around position `start`, invisible ones written out."""
    begin = max(0, min(start - LEAD, len(text) - SHOWN_LENGTH))
    end = begin + SHOWN_LENGTH
    left_out = len(text) - end
    rest = f"… ({counted(left_out, 'more character')})" if left_out > 0 else ""
    return ("…" if begin else "") + visible_marks(text[begin:end]) + rest


def visible_marks(text: str) -> str:
    """Returns a text with characters that cannot be seen, or told from others, written as <U+00A0>.

    These are control characters, odd spaces and, where letters and accents stand apart, the accents.
    """
    apart = not unicodedata.is_normalized("NFC", text)

    def is_unseen(char: str) -> bool:
        return not (char.isprintable() or char in _KEPT_AS_IS) or (apart and unicodedata.combining(char) > 0)

    return "".join(f"<U+{ord(char):04X}>" if is_unseen(char) else char for char in text)


def first_difference(one: str, other: str) -> int:
    """Returns how many characters two texts share from their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def without_numbers(text: str) -> str:
    """Returns a text with every number replaced by N, so that reasons that differ only there are one kind."""
    return re.sub(r"\d+(?:[.,]\d+)*", "N", text)
