"""A place in a text that holds personal data or a secret, and which of several overlapping ones counts."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SURE = 0.95
"""A form that is hardly anything else, or a check digit together with a word beside it."""
LIKELY = 0.8
FAIR = 0.6
WEAK = 0.4
"""A form that is more often something else: below the default threshold of 0.5."""
AROUND = 48
"""So many characters before a place are read for a word that says what it is."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text` is what stands from character `start` up to, and without, `end`; `confidence` is in [0, 1]."""

    start: int
    end: int
    kind: str
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Recogniser:
    """One form of one kind: a pattern, a test of what it matched, and the words beside it that make it surer.

    Every pattern reads a text in time linear in its length: repetitions are bounded, and none can begin inside
    another one. What counts is the group `value` where the pattern has one. `confidence` holds without a word of
    `context` in the `AROUND` characters before the match, `in_context` with one.
    """

    kind: str
    pattern: re.Pattern[str]
    confidence: float
    test: Callable[[str], bool] | None = None
    context: re.Pattern[str] | None = None
    in_context: float = SURE
    needs: str = ""
    """A character or word without which no match is possible, and the pattern is not run."""
    digits: int = 0
    """A match has so many digits at least, and the pattern is not run on a text with fewer."""

    def spans(self, text: str) -> Iterator[Span]:
        """Yields every match that passes the test."""
        group = "value" if "value" in self.pattern.groupindex else 0
        for match in self.pattern.finditer(text):
            value = match[group]
            if self.test is not None and not self.test(value):
                continue
            start, end = match.span(group)
            yield Span(start, end, self.kind, value, self._confidence(text, match.start()))

    def _confidence(self, text: str, start: int) -> float:
        if self.context is None:
            return self.confidence
        said = self.context.search(text, max(0, start - AROUND), start) is not None
        return self.in_context if said else self.confidence


def words(*listed: str) -> re.Pattern[str]:
    r"""Returns a pattern of any of the words, in whatever case; each may be a pattern itself.

    >>> bool(words("tax id", r"steuer-?id\w*").search("Die SteuerIdNr. ist"))
    True
    """
    return re.compile(rf"(?<!\w)(?:{'|'.join(listed)})(?!\w)", re.IGNORECASE)


def without_overlap(spans: Iterable[Span]) -> list[Span]:
    """Returns spans in reading order of which no two overlap: the surer one stays, of equally sure ones the longer."""
    kept: list[Span] = []
    together: list[Span] = []
    end = 0
    for span in sorted(spans, key=lambda s: s.start):
        if together and span.start >= end:
            kept += _best(together)
            together = []
        together.append(span)
        end = max(end, span.end)
    return kept + _best(together)


def _best(spans: Sequence[Span]) -> list[Span]:
    """Returns the spans to keep of those that overlap, one with the next."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (-s.confidence, s.start - s.end, s.start, s.kind)):
        place = bisect_left(kept, span.start, key=lambda s: s.start)
        before = place == 0 or kept[place - 1].end <= span.start
        after = place == len(kept) or span.end <= kept[place].start
        if before and after:
            kept.insert(place, span)
    return kept
