"""Debris of prompt/completion files in chat data: separators, labels, stop sequences, leading space, capitals.

Analyses 8 to 13 of the hosted service's `prepare_data`, turned around: it added separators and stop sequences because
base models needed them, and this removes them because the chat template and its end-of-turn token do their work.
Only what (nearly) all rows share is touched, and a shared beginning with words in it is said and left, by default.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from holdfast.data.check import Change, Check, CheckSettings, Finding, shortened
from holdfast.data.checks.chain import LONGEST, CommonStart
from holdfast.data.checks.debris import Debris, answer_start_of, debris_of, prompt_start_of
from holdfast.data.checks.rewrite import Rewrite, rewritten
from holdfast.data.checks.wording import counted, of_rows, shown_change
from holdfast.settings import Count, Share

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.data.check import Context, Decision, Row, Shown
    from holdfast.types import JSONValue

_MANY_PROFILES = 20_000
_MANY_ROWS_KEPT = 50
_LONGEST_KEPT = 20_000
_PARTS = {
    "separator": "a separator at the end of prompts",
    "prompt_start": "a label at the start of prompts",
    "stop": "a stop sequence at the end of answers",
    "answer_start": "a label at the start of answers",
    "space": "a space at the start of answers",
    "loud_prompt": "prompts in capitals",
    "loud_answer": "answers in capitals",
}


class LegacyFormatSettings(CheckSettings):
    """What counts as shared by all rows, and what is done about it."""

    share: Annotated[float, Field(gt=0.5, le=1.0)] = 0.95
    """The share of rows that must have the same mark before it is removed from any."""
    min_rows: Count = 20
    """In fewer rows than this a shared mark may be chance, and nothing is removed."""
    separators: tuple[str, ...] = ()
    """Further separators at the end of prompts, beside `->`, `###`, `Answer:` and their like."""
    stops: tuple[str, ...] = ()
    """Further stop sequences at the end of answers, beside ` END`, `###`, `***` and their like."""
    instruction: Literal["keep", "system", "remove"] = "keep"
    """What becomes of words with which all prompts begin: kept, moved to a system turn (labelled rows keep theirs),
    or removed."""
    instruction_characters: Count = 12
    """Words that prompts share are reported where they are longer than this."""
    answer_words: Literal["keep", "remove"] = "keep"
    """What becomes of words with which all answers begin; what opens a bracket or a quote is always kept."""
    answer_characters: Count = 5
    """Words that answers share are reported from this length on."""
    capitals: Literal["lower", "keep"] = "lower"
    """What becomes of prose in capitals where more than `capitals_share` of the rows are written so."""
    capitals_share: Share = 1 / 3
    """The share of rows with prose in capitals above which they are lowered."""


class LegacyFormatCheck(Check[LegacyFormatSettings]):
    """Counts which marks stand around the texts of each row; the remedy takes away those that all rows share."""

    name: ClassVar[str] = "legacy_format"
    Settings: ClassVar[type[CheckSettings]] = LegacyFormatSettings

    def __init__(self, settings: LegacyFormatSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._profiles: Counter[Debris] = Counter()
        self._kept_rows: list[Row] = []
        self._prompts, self._answers = CommonStart(settings.share), CommonStart(settings.share)
        self._rewrite: Rewrite | None = None

    def see(self, rows: Sequence[Row]) -> None:
        """Counts the marks of a chunk of rows."""
        self._rewrite = None
        for row in rows:
            debris = self._debris(row)
            if debris in self._profiles or len(self._profiles) < _MANY_PROFILES:
                self._profiles[debris] += 1
            self._keep(row)
            self._add_starts(row)

    def finding(self) -> Finding:
        """Returns the marks that (nearly) all rows share."""
        rewrite = self._shared()
        counts = {part: self._count(part, getattr(rewrite.marks, part)) for part in _PARTS}
        found = {part: num for part, num in counts.items() if num}
        num_rows = sum(times for debris, times in self._profiles.items() if _touches(rewrite.marks, debris))
        num_rows = max(num_rows, rewrite.num_prompts if rewrite.cuts_prompts else 0)
        num_rows = max(num_rows, rewrite.num_answers if rewrite.cuts_answers else 0)
        total = sum(self._profiles.values())
        title = of_rows(num_rows, total, "carry", "carries") + " marks of prompt/completion files"
        if found:
            title += ": " + ", ".join(
                f"{_PARTS[part]}{_quoted(rewrite, part)} in {num:,}" for part, num in found.items()
            )
        level: Literal["ok", "note", "warning", "problem"] = "warning" if num_rows else "ok"
        said = self._words(rewrite)
        if rewrite.marks.stop.strip() or rewrite.marks.answer_start:
            level = "problem"  # the model would learn to say them
        elif said and not num_rows:
            level = "note"
        return Finding(
            self.name,
            "; ".join([title, *said]),
            level=level,
            num_rows=num_rows,
            remedy=self._remedy(rewrite, found) if num_rows else None,
            figures=self._figures(rewrite, found, total),
            shown=self._shown() if num_rows else (),
        )

    def decide(self, row: Row) -> Decision:
        """Returns the row without the marks that all rows share."""
        shared = self._shared()
        if not shared.does_anything:
            return None
        after, removed = rewritten(row.example, self._debris(row), shared)
        return Change(after, "without " + ", ".join(removed)) if removed else None

    def _debris(self, row: Row) -> Debris:
        return debris_of(row.example, self.settings.separators, self.settings.stops)

    def _keep(self, row: Row) -> None:
        size = sum(len(turn.content) for turn in row.example.messages)
        if len(self._kept_rows) < _MANY_ROWS_KEPT and size <= _LONGEST_KEPT:
            self._kept_rows.append(row)

    def _add_starts(self, row: Row) -> None:
        prompt = next((turn.content for turn in row.example.messages if turn.role == "user"), "")
        answer = next((turn.content for turn in row.example.messages if turn.role == "assistant"), "")
        if prompt.strip():
            self._prompts.add(prompt[len(prompt_start_of(prompt)) :])
        if answer.strip():
            self._answers.add(answer[len(answer_start_of(answer)) :].removeprefix(" "))

    def _shared(self) -> Rewrite:
        if self._rewrite is None:
            limits = self.settings
            prompt, num_prompts = whole_lines(*self._prompts.result())
            answer, num_answers = whole_words(*self._answers.result())
            if len(prompt) <= limits.instruction_characters or num_prompts < limits.min_rows:
                prompt, num_prompts = "", 0
            if len(answer) < limits.answer_characters or num_answers < limits.min_rows:
                answer, num_answers = "", 0
            self._rewrite = Rewrite(
                marks=self._marks(),
                prompt_words=prompt,
                num_prompts=num_prompts,
                instruction=limits.instruction if len(prompt) < LONGEST // 2 else "keep",
                answer_words=answer,
                num_answers=num_answers,
                cuts_answers=bool(answer) and limits.answer_words == "remove" and not opens_something(answer),
            )
        return self._rewrite

    def _marks(self) -> Debris:
        common: dict[str, str] = {}
        for part in _PARTS:
            side = "asks" if part in ("separator", "prompt_start", "loud_prompt") else "answers"
            values: Counter[str] = Counter()
            for debris, times in self._profiles.items():
                if getattr(debris, side):
                    values[getattr(debris, part)] += times
            num_rows = sum(values.values())
            values.pop("", None)
            value, num = values.most_common(1)[0] if values else ("", 0)
            if part.startswith("loud"):
                wanted = self.settings.capitals == "lower" and num > self.settings.capitals_share * num_rows
            else:
                wanted = num >= self.settings.share * num_rows
            common[part] = value if wanted and num >= self.settings.min_rows else ""
        return Debris(asks=True, answers=True, **common)

    def _count(self, part: str, value: str) -> int:
        if not value:
            return 0
        return sum(times for debris, times in self._profiles.items() if getattr(debris, part) == value)

    def _words(self, rewrite: Rewrite) -> list[str]:
        said: list[str] = []
        if rewrite.prompt_words:
            said.append(
                f"{counted(rewrite.num_prompts, 'prompt')} begin with {_quote(rewrite.prompt_words)}, "
                "which is better said once, in a system turn"
            )
        if rewrite.answer_words:
            said.append(f"{counted(rewrite.num_answers, 'answer')} begin with {_quote(rewrite.answer_words)}")
        return said

    def _remedy(self, rewrite: Rewrite, found: dict[str, int]) -> str:
        steps = ["lower the capitals"] if rewrite.marks.loud_prompt or rewrite.marks.loud_answer else []
        if any(not part.startswith("loud") for part in found):
            steps.insert(0, "remove the marks, since the chat template does their work")
        if rewrite.cuts_prompts:
            moved = "move the shared instruction to a system turn"
            steps.append(moved if rewrite.instruction == "system" else "remove the shared instruction")
        if rewrite.cuts_answers:
            steps.append("remove the words with which all answers begin")
        return ", and ".join(steps)

    def _figures(self, rewrite: Rewrite, found: dict[str, int], total: int) -> dict[str, JSONValue]:
        marks: dict[str, JSONValue] = {
            part: {"text": getattr(rewrite.marks, part), "rows": num} for part, num in found.items()
        }
        return {
            "rows": total,
            "share_needed": self.settings.share,
            "marks": marks,
            "prompts_begin_with": rewrite.prompt_words,
            "answers_begin_with": rewrite.answer_words,
        }

    def _shown(self) -> tuple[Shown, ...]:
        shown: list[Shown] = []
        for row in self._kept_rows:
            decision = self.decide(row)
            if isinstance(decision, Change):
                shown.append(shown_change(row, decision.example, decision.what))
        return tuple(shown[:5])


def _touches(marks: Debris, debris: Debris) -> bool:
    return any(getattr(marks, part) and getattr(marks, part) == getattr(debris, part) for part in _PARTS)


def whole_words(start: str, num: int) -> tuple[str, int]:
    """Returns a shared beginning cut back to the end of a word, since the next letters differ.

    >>> whole_words("The capital of F", 90)
    ('The capital of ', 90)
    """
    kept = start
    while kept and (kept[-1].isalnum() or kept[-1] in "\u200c\u2019'"):
        kept = kept[:-1]
    return (kept, num) if any(char.isalpha() for char in kept) else ("", 0)


def whole_lines(start: str, num: int) -> tuple[str, int]:
    r"""Returns a shared beginning cut back to the end of its last line, or of a word where it has only one line.

    >>> whole_lines("Answer in one word.\nQuestion: Wh", 90)
    ('Answer in one word.\n', 90)
    """
    start, num = whole_words(start, num)
    end = start.rfind("\n") + 1
    return (start[:end], num) if start[:end].strip() else (start, num)


def opens_something(start: str) -> bool:
    """Whether a beginning opens a bracket, quote, tag or code that is closed later, so that it cannot be cut off."""
    pairs = ("{}", "[]", "()", "<>", "«»", "“”")
    return any(start.count(pair[0]) > start.count(pair[1]) for pair in pairs) or any(
        start.count(mark) % 2 for mark in ('"', "`")
    )


def _quote(text: str) -> str:
    return json.dumps(shortened(text), ensure_ascii=False)


def _quoted(rewrite: Rewrite, part: str) -> str:
    return "" if part.startswith("loud") or part == "space" else f" ({_quote(getattr(rewrite.marks, part))})"
