"""Rows that are empty, too short, or too long for the chosen model, and what all of them cost in tokens.

Analyses 4 (`non_empty_field`) and 7 (`long_examples`) of the hosted service's `prepare_data`; its limit of 10,000
characters is replaced by the tokens that the chosen model can read. Nothing is ever cut short.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from holdfast.data.check import CheckSettings, Drop, Finding, shown
from holdfast.data.checks.distribution import Distribution
from holdfast.data.checks.row_check import RowCheck
from holdfast.data.checks.wording import Tally, counted, listed, of_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example, JSONValue, Message

_NAMES = {"empty": "empty", "too_short": "too short", "too_long": "too long"}


class LengthsSettings(CheckSettings):
    """What is too short and what is too long; 0 and None mean no limit."""

    min_prompt_characters: int = Field(default=2, ge=0)
    """Fewer characters in all user turns together are too short."""
    min_answer_characters: int = Field(default=1, ge=0)
    """Fewer characters in the answers that are learned are too short; tool calls count."""
    min_tokens: int = Field(default=0, ge=0)
    """Fewer tokens in the whole row are too short; has an effect where a model is given."""
    labelled: bool = False
    """Whether rows with a class label can be too short; a class is often about one word."""
    max_tokens: int | None = Field(default=None, ge=1)
    """More tokens in the whole row are too long; None = what the chosen model can read."""
    max_characters: int | None = Field(default=None, ge=1)
    """More characters in the whole row are too long, with a model or without."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Lengths of one row; what is learned is apart from what is only read. Tokens are None without a model."""

    read_characters: int
    learned_characters: int
    read_tokens: int | None = None
    learned_tokens: int | None = None
    problem: Drop | None = None

    @property
    def characters(self) -> int:
        """All characters of the row."""
        return self.read_characters + self.learned_characters

    @property
    def tokens(self) -> int | None:
        """All tokens of the row's texts; the chat template adds a few per turn."""
        if self.read_tokens is None or self.learned_tokens is None:
            return None
        return self.read_tokens + self.learned_tokens


class LengthsCheck(RowCheck[LengthsSettings, Measured]):
    """Measures every row; the remedy drops what is empty, too short or too long, with the number in the reason."""

    name: ClassVar[str] = "lengths"
    Settings: ClassVar[type[CheckSettings]] = LengthsSettings

    def __init__(self, settings: LengthsSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._max_tokens = settings.max_tokens if settings.max_tokens is not None else context.max_tokens
        self._tally = Tally()
        self._lengths: dict[str, Distribution] = {}
        self._numbers, self._read, self._learned = array("q"), array("i"), array("i")

    def examine(self, row: Row) -> Measured:
        """Returns the lengths of a row and what is wrong with them."""
        read, learned = split_texts(row.example)
        characters = (sum(map(len, read)), sum(map(len, learned)))
        count = self.context.count_tokens
        tokens = (None, None) if count is None else num_tokens(row.example, count)
        measured = Measured(*characters, *tokens)
        return Measured(*characters, *tokens, problem=self._problem(row.example, measured))

    def count(self, row: Row, found: Measured) -> None:
        """Adds the lengths of a row to the distributions, and remembers its tokens."""
        if found.read_tokens is not None and found.learned_tokens is not None:
            self._numbers.append(row.number)
            self._read.append(found.read_tokens)
            self._learned.append(found.learned_tokens)
        lengths = {
            "characters": found.characters,
            "tokens": found.tokens,
            "prompt_tokens": found.read_tokens,
            "answer_tokens": found.learned_tokens,
        }
        for name, length in lengths.items():
            if length is not None:
                self._lengths.setdefault(name, Distribution()).add(length)
        problem = found.problem
        if problem is not None:
            self._tally.add([problem.kind], lambda _: shown(row, note=problem.reason))

    def tokens_of(self, number: int) -> tuple[int, int] | None:
        """Returns how many tokens of a row were read and learned when it was seen; None if it was not, or no model."""
        place = bisect_left(self._numbers, number)
        if place == len(self._numbers) or self._numbers[place] != number:
            return None
        return self._read[place], self._learned[place]

    def verdict(self, row: Row, found: Measured) -> Decision:
        """Returns a drop where the row is empty, too short or too long."""
        return found.problem

    def finding(self) -> Finding:
        """Returns the rows to drop, and the distribution of lengths and token costs as figures."""
        num, kinds = self._tally.num_rows, self._tally.counts
        title = of_rows(num, self.num_seen, "are", "is")
        title += " empty, too short or too long" if not num else f" of a useless length ({self._named(kinds)})"
        tokens = self._lengths.get("tokens")
        answers = self._lengths.get("answer_tokens")
        cost: dict[str, JSONValue] = {}
        if tokens is not None and answers is not None:
            cost = {"tokens_total": tokens.total, "tokens_learned": answers.total}
            title += (
                f"; one pass over all rows reads {counted(tokens.total, 'token')}, {answers.total:,} of them to learn"
            )
        else:
            title += "; tokens were not counted, because no model was chosen"
        level: Literal["ok", "warning", "problem"] = "ok"
        if num:
            level = "problem" if kinds["empty"] or kinds["too_long"] else "warning"
        return Finding(
            self.name,
            title,
            level=level,
            num_rows=num,
            remedy=f"drop {counted(num, 'row')}; nothing is cut short" if num else None,
            figures={
                "rows": self.num_seen,
                **{kind: kinds[kind] for kind in _NAMES},
                "max_tokens": self._max_tokens if tokens is not None else None,
                **cost,
                "lengths": {name: each.summary() for name, each in self._lengths.items()},
            },
            shown=self._tally.shown(),
        )

    def _named(self, kinds: dict[str, int]) -> str:
        return listed({_NAMES[kind]: count for kind, count in kinds.items()})

    def _problem(self, example: Example, found: Measured) -> Drop | None:
        empty = empty_part(example)
        if empty is not None:
            return Drop("empty", empty)
        return self._too_short(example, found) or self._too_long(found)

    def _too_short(self, example: Example, found: Measured) -> Drop | None:
        limits = self.settings
        if example.label is not None and not limits.labelled:
            return None
        asked = sum(len(turn.content.strip()) for turn in example.messages if turn.role == "user")
        if asked < limits.min_prompt_characters:
            return Drop("too_short", f"asks with {counted(asked, 'character')} ({limits.min_prompt_characters} needed)")
        learned = sum(len(text.strip()) for text in split_texts(example)[1])
        if example.demonstration is not None and learned < limits.min_answer_characters:
            needed = limits.min_answer_characters
            return Drop("too_short", f"answers with {counted(learned, 'character')} ({needed} needed)")
        if found.tokens is not None and found.tokens < limits.min_tokens:
            return Drop("too_short", f"has {counted(found.tokens, 'token')} ({limits.min_tokens} needed)")
        return None

    def _too_long(self, found: Measured) -> Drop | None:
        limit = self.settings.max_characters
        if found.tokens is not None and self._max_tokens is not None and found.tokens > self._max_tokens:
            return Drop("too_long", f"has {found.tokens:,} tokens, more than {self._max_tokens:,}")
        if limit is not None and found.characters > limit:
            return Drop("too_long", f"has {found.characters:,} characters, more than {limit:,}")
        return None


def num_tokens(example: Example, count: Callable[[str], int]) -> tuple[int, int]:
    """Returns how many tokens of an example are only read, and how many are learned."""
    read, learned = (sum(count(text) for text in texts if text) for texts in split_texts(example))
    return read, learned


def split_texts(example: Example) -> tuple[list[str], list[str]]:
    """Returns the texts that are only read and those that are learned (assistant turns with a weight, the label).

    Of a preferred and a rejected answer it is the longer one that counts: each is read after the prompt by itself.
    """
    read = [text for text in (example.document, example.privileged_context) if text]
    learned = [example.label] if example.label is not None else []
    for message in _longer(example).messages:
        texts = _texts(message)
        (learned if message.role == "assistant" and message.weight > 0 else read).extend(texts)
    return read, learned


def _longer(example: Example) -> Example:
    other, answer = example.instead, example.demonstration
    if example.rejected is None or answer is None:
        return example
    return other if sum(map(len, _texts(example.rejected))) > sum(map(len, _texts(answer))) else example


def _texts(message: Message) -> list[str]:
    return [message.content, *(f"{call.name} {call.arguments}" for call in message.tool_calls)]


def empty_part(example: Example) -> str | None:
    """Returns what of the row says nothing, as the end of "this row …", or None."""
    if not example.messages:
        return "has no turns"
    if not any(turn.content.strip() for turn in example.messages if turn.role == "user"):
        return "asks nothing: no user turn says anything"
    answer = example.demonstration
    if answer is not None and not answer.content.strip() and not answer.tool_calls:
        return "has an empty answer"
    if example.rejected is not None and not example.rejected.content.strip() and not example.rejected.tool_calls:
        return "has an empty rejected answer"
    if example.label is not None and not example.label.strip():
        return "has an empty label"
    return None
