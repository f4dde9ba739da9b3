"""How many rows there are to learn from, and what kind of task they look like.

Analyses 1 (`num_examples`) and 5 (`format_inferrer`) of the hosted service's `prepare_data`, for conversations.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np
import xxhash

from holdfast.data.check import Check, CheckSettings, Finding
from holdfast.data.checks.wording import counted
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context, Decision, Row
    from holdfast.types import Example

Task: TypeAlias = Literal[
    "classification", "conditional generation", "open-ended generation", "prompts without answers", "nothing"
]


class SizeSettings(CheckSettings):
    """From how many rows on a training is worth its while, and what counts as a class."""

    refuse_below: Count = 10
    """Fewer rows than this are a problem; 10 is what the hosted service refuses below."""
    recommended: Count = 100
    """Fewer rows than this are a warning; a few hundred are recommended."""
    class_share: Share = 1 / 3
    """With fewer distinct answers than this share of the rows, the answers are taken for classes."""
    class_words: Count = 5
    """Answers with more words than this on average are no classes, however often they repeat."""


class SizeCheck(Check[SizeSettings]):
    """Counts rows and distinct answers (8 bytes a row); there is nothing it could do about too few."""

    name: ClassVar[str] = "size"
    Settings: ClassVar[type[CheckSettings]] = SizeSettings
    local: ClassVar[bool] = True

    def __init__(self, settings: SizeSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._num_rows = self._num_asked = self._num_labelled = self._num_words = 0
        self._num_calls = self._num_several = 0
        self._answers = array("Q")

    def see(self, rows: Sequence[Row]) -> None:
        """Counts the rows of a chunk."""
        for row in rows:
            example = row.example
            self._num_rows += 1
            self._num_asked += any(turn.content.strip() for turn in example.messages if turn.role == "user")
            self._num_labelled += example.label is not None
            self._num_calls += any(turn.tool_calls for turn in example.messages)
            self._num_several += sum(turn.role == "user" for turn in example.messages) > 1
            answer = answer_of(example)
            if answer is not None:
                self._answers.append(xxhash.xxh3_64_intdigest(answer.encode("utf-8", "surrogatepass")))
                self._num_words += len(answer.split())

    def finding(self) -> Finding:
        """Returns the number of rows and the task they look like."""
        num = self._num_rows
        answers = np.frombuffer(self._answers, dtype=np.uint64) if self._answers else np.zeros(0, np.uint64)
        num_distinct = int(np.unique(answers).size)
        task = self._task(len(answers), num_distinct)
        level: Literal["ok", "warning", "problem"] = "ok"
        said = counted(num, "row") + " to learn from"
        if num < self.settings.refuse_below:
            level, said = "problem", f"{said}: at least {self.settings.refuse_below} are needed"
        elif num < self.settings.recommended:
            level, said = "warning", f"{said}: a few hundred are recommended"
        return Finding(
            self.name,
            said + (f"; they look like {task} ({counted(num_distinct, 'distinct answer')})" if len(answers) else ""),
            level=level,
            num_rows=num if level != "ok" else 0,
            figures={
                "rows": num,
                "task": task,
                "answers": len(answers),
                "distinct_answers": num_distinct,
                "labelled": self._num_labelled,
                "with_tool_calls": self._num_calls,
                "with_several_user_turns": self._num_several,
            },
        )

    def decide(self, row: Row) -> Decision:
        """Leaves every row as it is."""
        return None

    def _task(self, num_answers: int, num_distinct: int) -> Task:
        if not self._num_rows:
            return "nothing"
        if not num_answers:
            return "prompts without answers"
        if not self._num_asked:
            return "open-ended generation"
        if self._num_labelled * 2 > self._num_rows:
            return "classification"
        few = num_distinct < num_answers * self.settings.class_share
        short = self._num_words <= num_answers * self.settings.class_words
        return "classification" if few and short else "conditional generation"


def answer_of(example: Example) -> str | None:
    """Returns what is learned of an example as one text: its label, or the last answer with its calls."""
    if example.label is not None:
        return example.label.strip()
    answer = example.demonstration
    if answer is None:
        return None
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    return "\n".join([answer.content.strip(), *calls])
