"""Regex: the answer matches a pattern, in the syntax of Python's `regex` library.

A pattern is the user's and the text is the model's, and together they can take for ever (`(a+)+$`): so a
match has a second of time, and one that needs more is an answer that could not be graded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import regex
from pydantic import field_validator

from holdfast.errors import GraderError
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, shown

if TYPE_CHECKING:
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score

SECONDS = 1.0


class Regex(Grader, frozen=True):
    """Right if `pattern` is found in `input` (or, with `full`, is all of it)."""

    type: Literal["regex"] = "regex"
    input: str = "{{ sample.output_text }}"
    pattern: str
    full: bool = False
    ignore_case: bool = False

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        if "{{" not in pattern:
            _compiled(pattern)
        return pattern

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        text, pattern = view.text(self.input), view.text(self.pattern)
        try:
            compiled = _compiled(pattern, regex.IGNORECASE if self.ignore_case else 0)
        except ValueError as error:
            raise GraderError(str(error), kind="no_reference") from None
        search = compiled.fullmatch if self.full else compiled.search
        try:
            found = search(text.strip() if self.full else text, timeout=SECONDS)
        except TimeoutError:
            raise GraderError(f"the pattern took more than {SECONDS:g} s on {shown(text)}", kind="time_out") from None
        if found is None:
            return judged(right=False, explanation=f"{shown(text)} does not match {shown(pattern)}")
        return judged(right=True, explanation=f"{shown(found[0])} matches")


def _compiled(pattern: str, flags: int = 0) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise ValueError(f"{shown(pattern)} is no pattern: {error}") from None
