"""Countdown: an equation that uses every given number exactly once and gives the target.

Task: Countdown-Tasks-3to4 of TinyZero. Choices made here: nothing is evaluated but + - * / and
parentheses over whole numbers, in exact fractions; `//`, `**`, decimals and anything else are not read,
so nothing can hang or pass by rounding. Read is the last `<answer>` tag, or the last line where there is none,
of what stands after the reasoning; of an equation with `=`, what stands before it.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from holdfast.errors import GraderError
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import after_thinking, judged, last_answer, shown

if TYPE_CHECKING:
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, JSONValue, Score

_TOKEN = re.compile(r"\s*(?:(\d{1,18})(?![\d.])|([-+*/()]))")
_SIGNS = str.maketrans("\u00d7\u00b7\u00f7\u2212\u2013", "**/--")
"""Multiplication sign, middle dot, division sign, minus sign, en dash."""
MAX_LENGTH, MAX_DEPTH = 400, 40
"""Longer or more deeply nested expressions are not read; six numbers with their signs take a tenth of it."""


class Countdown(Grader, frozen=True):
    """Right if the expression uses exactly the item's numbers and equals its target."""

    type: Literal["countdown"] = "countdown"
    numbers: str = "{{ item.nums }}"
    target: str = "{{ item.target }}"

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        numbers, target = _whole_numbers(view.value(self.numbers)), _fraction(view.value(self.target))
        said = expression_in(after_thinking(completion.text))
        try:
            value, used = evaluate(said)
        except ValueError as error:
            return judged(right=False, explanation=f"unparsable: {error} in {shown(said)}")
        except ZeroDivisionError:
            return judged(right=False, explanation=f"divides by zero: {shown(said)}")
        if Counter(used) != Counter(numbers):
            return judged(right=False, explanation=f"wrong numbers: uses {sorted(used)}, not {sorted(numbers)}")
        if value != target:
            return judged(right=False, explanation=f"wrong value: {shown(said)} is {value}, not {target}")
        return judged(right=True, explanation=f"{shown(said)} is {target}")


def expression_in(text: str) -> str:
    """Returns the expression that an answer gives."""
    said = last_answer(text)
    if said is None:
        said = (text.strip().splitlines() or [""])[-1]
    return said.partition("=")[0].translate(_SIGNS).strip()


def evaluate(expression: str) -> tuple[Fraction, list[int]]:
    """Returns the exact value of an expression and the numbers it uses.

    Raises:
        ValueError: it is not an expression of whole numbers, + - * / and parentheses.
        ZeroDivisionError: it divides by zero.
    """
    if len(expression) > MAX_LENGTH:
        raise ValueError("too long an expression")
    reader = _Reader(_tokens(expression))
    value = reader.sum()
    if reader.left:
        raise ValueError(f"{reader.left[0]!r} is not expected")
    return value, reader.used


def _tokens(expression: str) -> list[str]:
    tokens, place = [], 0
    while expression[place:].strip():
        match = _TOKEN.match(expression, place)
        if match is None:
            raise ValueError(f"{expression[place:].strip()[:1]!r} is not expected")
        tokens.append(match[1] or match[2])
        place = match.end()
    return tokens


class _Reader:
    """Recursive descent over tokens, of bounded depth."""

    def __init__(self, tokens: list[str]) -> None:
        self.left, self.used, self.depth = tokens, list[int](), 0

    def sum(self) -> Fraction:
        value = self._product()
        while self.left[:1] in (["+"], ["-"]):
            sign = self.left.pop(0)
            other = self._product()
            value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction:
        value = self._factor()
        while self.left[:1] in (["*"], ["/"]):
            sign = self.left.pop(0)
            other = self._factor()
            value = value * other if sign == "*" else value / other
        return value

    def _factor(self) -> Fraction:
        if not self.left:
            raise ValueError("it ends too early")
        first = self.left.pop(0)
        if first in ("-", "("):
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise ValueError("too many parentheses or signs")
            value = self._closed() if first == "(" else -self._factor()
            self.depth -= 1
            return value
        if not first.isdigit():
            raise ValueError(f"{first!r} is not expected")
        self.used.append(int(first))
        return Fraction(int(first))

    def _closed(self) -> Fraction:
        value = self.sum()
        if not self.left or self.left.pop(0) != ")":
            raise ValueError("a parenthesis is not closed")
        return value


def _whole_numbers(value: JSONValue) -> list[int]:
    numbers = value if isinstance(value, list) else []
    found = [number for number in numbers if isinstance(number, int) and not isinstance(number, bool)]
    if not found or len(found) != len(numbers):
        raise GraderError("the item's numbers are not a list of whole numbers", kind="no_reference")
    return found


def _fraction(value: JSONValue) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise GraderError("the item's target is not a number", kind="no_reference")
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        raise GraderError(f"the item's target {shown(str(value))} is not a number", kind="no_reference") from None
