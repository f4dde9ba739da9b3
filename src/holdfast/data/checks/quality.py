"""Flaws of single rows: repetition, symbols, filler, refusals, blanks never filled, answers that answer nothing.

Each is a flag with its count and examples. Only the stated ones (`drop`) are removed: answers that go in circles,
filler text as in C4 (Raffel et al. 2020, see `phrases`), and answers that say the question again. The others are for
people to judge, those by the rules of Gopher (Rae et al. 2021, see `repetition`) among them: they are made for web
pages, and of answers they also find songs, sums in steps and lists of calls.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from pydantic import Field

from holdfast.data.check import Change, CheckSettings, Drop, Finding
from holdfast.data.checks.phrases import (
    ASSISTANT_TALK,
    BLANK,
    CODE,
    FIELD,
    LOREM,
    REFUSAL,
    WEB,
    is_cut_off,
    plain,
)
from holdfast.data.checks.repair import is_json
from holdfast.data.checks.repetition import LOOP_WORDS, line_repetition, repeated_share, word_repetition, words_of
from holdfast.data.checks.row_check import RowCheck
from holdfast.data.checks.wording import Tally, counted, listed, of_rows, shown_at
from holdfast.settings import Count, Positive, Share

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example

Removable: TypeAlias = Literal[
    "loop",
    "repeated_lines",
    "repeated_words",
    "symbols",
    "lorem_ipsum",
    "web_boilerplate",
    "assistant_talk",
    "refusal",
    "placeholder",
    "same_as_question",
    "phrase",
]
NAMES: dict[str, str] = {
    "loop": "answers that go in circles",
    "repeated_lines": "repeated lines",
    "repeated_words": "repeated words",
    "symbols": "mostly symbols",
    "lorem_ipsum": "lorem ipsum",
    "web_boilerplate": "words of web pages",
    "assistant_talk": '"as an AI language model"',
    "refusal": "refusals",
    "placeholder": "placeholders never filled",
    "same_as_question": "answers that repeat the question",
    "phrase": "listed phrases",
    "cut_off": "answers cut off within a sentence",
}
_MINOR = {"cut_off", "symbols", "repeated_lines", "repeated_words"}
_MIN_CHARACTERS = 20


class QualitySettings(CheckSettings):
    """Which flaws are removed, and from where on something is one."""

    drop: tuple[Removable, ...] = ("loop", "lorem_ipsum", "same_as_question")
    """The flaws whose rows are left out; all others are reported. Answers cut off are always only reported."""
    loop_share: Share = 0.5
    """An answer goes in circles where more than this share of it is sequences of ten words that stand there before."""
    strictness: Positive = 1.0
    """Divides Gopher's thresholds of repetition; 2 finds texts that repeat themselves half as much."""
    min_words: Count = 100
    """Shorter answers than this are not looked at for repetition."""
    symbol_share: Share = 0.5
    """A larger share than this of characters that are neither letters nor digits is a flaw (code does not count)."""
    phrases: tuple[str, ...] = ()
    """Further phrases that no answer should hold, in any case of letters."""
    fill: dict[str, str] = Field(default_factory=dict[str, str])
    """What stands for the fields of templates: {name = "Holdfast"} writes it for every {{name}}."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flaw: its kind, the end of the sentence "this row …", and where it is."""

    kind: str
    reason: str
    text: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """A row with its template fields filled, which of them were, and its flaws, the first of each kind."""

    example: Example
    filled: tuple[str, ...]
    flags: tuple[Flag, ...]


class QualityCheck(RowCheck[QualitySettings, Judged]):
    """Flags every row; the remedy fills fields for which a text is given and drops rows with the stated flaws."""

    name: ClassVar[str] = "quality"
    Settings: ClassVar[type[CheckSettings]] = QualitySettings

    def __init__(self, settings: QualitySettings, context: Context) -> None:
        super().__init__(settings, context)
        self._tally = Tally()
        self._num_dropped = self._num_filled = 0
        self._dropped: Counter[str] = Counter()
        self._phrases = re.compile(
            "|".join(map(re.escape, filter(str.strip, settings.phrases))) or r"(?!)", re.IGNORECASE
        )

    def examine(self, row: Row) -> Judged:
        """Returns the row with its fields filled, and its flaws."""
        example, filled = with_fields(row.example, self.settings.fill)
        first: dict[str, Flag] = {}
        for flag in self._flags(example):
            first.setdefault(flag.kind, flag)
        return Judged(example, filled, tuple(first.values()))

    def count(self, row: Row, found: Judged) -> None:
        """Counts the row under each of its flaws."""
        by_kind = {flag.kind: flag for flag in found.flags}
        self._tally.add(
            list(by_kind),
            lambda kind: shown_at(
                row, by_kind[kind].text, by_kind[kind].start, f"{NAMES[kind]}: {by_kind[kind].reason}"
            ),
        )
        decision = self.verdict(row, found)
        if isinstance(decision, Drop):
            self._dropped[decision.kind] += 1
        elif decision is not None:
            self._num_filled += 1

    def verdict(self, row: Row, found: Judged) -> Decision:
        """Returns a drop for the first flaw that is not kept, else the row with its fields filled."""
        for flag in found.flags:
            if flag.kind in self.settings.drop:
                return Drop(flag.kind, flag.reason)
        return Change(found.example, f"filled in {', '.join(found.filled)}") if found.filled else None

    def finding(self) -> Finding:
        """Returns the rows by flaw."""
        num, kinds = self._tally.num_rows, Counter(self._tally.counts)
        title = of_rows(num, self.num_seen, "have", "has") + " flaws"
        if self._num_filled:
            title += f" (fields of {counted(self._num_filled, 'row')} filled in)"
        if num:
            title += ": " + listed({NAMES[kind]: count for kind, count in kinds.items()}, len(NAMES))
        dropped = sum(self._dropped.values())
        level: Literal["ok", "note", "warning", "problem"] = "ok"
        if num:
            wrong = dropped or kinds["placeholder"]
            level = "problem" if wrong else "note" if set(kinds) <= _MINOR else "warning"
        return Finding(
            self.name,
            title,
            level=level,
            num_rows=num or self._num_filled,
            remedy=self._remedy(dropped, num - dropped),
            figures={
                "rows": self.num_seen,
                "flags": {kind: kinds[kind] for kind in NAMES},
                "dropped": dict(self._dropped),
                "filled": self._num_filled,
            },
            shown=self._tally.shown(),
        )

    def _remedy(self, dropped: int, others: int) -> str | None:
        steps: list[str] = []
        if self._num_filled:
            steps.append(f"fill the fields of {counted(self._num_filled, 'row')}")
        if dropped:
            names = listed({NAMES[kind]: count for kind, count in self._dropped.items()})
            steps.append(f"drop {counted(dropped, 'row')} ({names})")
            if others:
                steps.append(f"leave the other {others:,} for a person to judge")
        return ", ".join(steps) or None

    def _flags(self, example: Example) -> Iterator[Flag]:
        question = next((turn.content for turn in reversed(example.prompt) if turn.role == "user"), "")
        for turn in example.messages:
            yield from _matches("placeholder", "holds the field {}", FIELD, turn.content)
            if turn.role == "assistant" and turn.weight > 0 and turn.content.strip():
                yield from self._answer_flags(turn.content, question)
                question = ""
        if example.document:
            yield from _matches("web_boilerplate", "holds {}", WEB, example.document)
            yield from _matches("lorem_ipsum", "holds the filler text {}", LOREM, example.document)

    def _answer_flags(self, text: str, question: str) -> Iterator[Flag]:
        said = plain(text)
        if question and said and said == plain(question):
            yield Flag("same_as_question", "answers with the question itself", text)
        yield from _matches("placeholder", "holds the blank {}", BLANK, text)
        yield from _matches("lorem_ipsum", "holds the filler text {}", LOREM, text)
        yield from _matches("web_boilerplate", "holds {}", WEB, text)
        yield from _matches("assistant_talk", "says {}", ASSISTANT_TALK, text)
        yield from _matches("refusal", "refuses: {}", REFUSAL, text)
        yield from _matches("phrase", "says {}", self._phrases, text)
        if is_cut_off(text):
            yield Flag("cut_off", "ends within a sentence", text, len(text))
        if not is_json(text):
            yield from self._shape_flags(text)

    def _shape_flags(self, text: str) -> Iterator[Flag]:
        prose = CODE.sub(" ", text)
        share = symbol_share(prose)
        if share > self.settings.symbol_share:
            yield Flag("symbols", f"answers with {share:.0%} symbols", text)
        words = words_of(prose)
        if len(words) < self.settings.min_words:
            return
        loop = repeated_share(words, LOOP_WORDS)
        if loop > self.settings.loop_share:
            yield Flag(
                "loop", f"goes in circles: {loop:.0%} of it is sequences of {LOOP_WORDS} words said before", text
            )
        lines = line_repetition(prose, self.settings.strictness)
        if lines is not None:
            yield Flag("repeated_lines", f"repeats itself: {lines}", text)
        repeated = word_repetition(words, self.settings.strictness)
        if repeated is not None:
            yield Flag("repeated_words", f"repeats itself: {repeated}", text)


def _matches(kind: str, reason: str, pattern: re.Pattern[str], text: str) -> Iterator[Flag]:
    """Yields a flag for the first match outside of code."""
    match = pattern.search(text)
    if match is None:
        return
    hidden = CODE.sub(lambda code: " " * len(code[0]), text) if "`" in text else text
    match = pattern.search(hidden)
    if match is not None:
        yield Flag(kind, reason.format(f'"{match[0].strip()}"'), text, match.start())


def symbol_share(text: str) -> float:
    """Returns the share of characters that are neither letters, digits, accents nor white space; 0 for short texts.

    >>> symbol_share("-- == ## ok ## == -- == ## ++")
    0.9
    """
    characters = "".join(text.split())
    if len(characters) < _MIN_CHARACTERS:
        return 0.0
    others = [char for char in characters if not char.isalnum()]
    return sum(not unicodedata.category(char).startswith("M") for char in others) / len(characters)


def with_fields(example: Example, fill: dict[str, str]) -> tuple[Example, tuple[str, ...]]:
    """Returns an example whose template fields hold the given texts, and the names of those that were filled."""
    if not fill:
        return example, ()
    names: dict[str, None] = {}

    def filled(match: re.Match[str]) -> str:
        if match[1] not in fill:
            return match[0]
        names[match[1]] = None
        return fill[match[1]]

    after = example.with_turns(lambda turn: replace(turn, content=FIELD.sub(filled, turn.content)))
    return (after, tuple(names)) if names else (example, ())
