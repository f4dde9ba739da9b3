"""Math: the answer's last expression equals the reference's, by value (the math-verify library).

Choices made here: a reference that cannot be parsed is an item that cannot be graded, an answer that cannot is
wrong. Long answers are read from their end, where the result stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from holdfast.errors import GraderError
from holdfast.graders.library import library
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, shown

if TYPE_CHECKING:
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score

MAX_TEXT = 4_000


class MathAnswer(Grader, frozen=True):
    """Right if the answer is the same number, expression, set or interval as the reference."""

    needs: ClassVar[str] = "graders"

    type: Literal["math"] = "math"
    input: str = "{{ sample.output_text }}"
    reference: str = "{{ item.reference }}"

    def ready(self) -> list[str]:
        """Returns nothing; raises where the library is missing."""
        library("math_verify", "math-verify")
        return []

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        math_verify = library("math_verify", "math-verify")
        parse, verify = math_verify.parse, math_verify.verify
        reference, said = view.text(self.reference), view.text(self.input)[-MAX_TEXT:]
        gold = parse(reference) or parse(f"${reference}$")
        if all(isinstance(reading, str) for reading in gold):
            raise GraderError(f"the reference {shown(reference)} is no mathematical expression", kind="no_reference")
        found = parse(said)
        if not found:
            return judged(right=False, explanation=f"unparsable: no expression in {shown(said)}")
        right = verify(gold, found)
        relation = "equals" if right else "does not equal"
        return judged(right=right, explanation=f"{shown(str(found[0]))} {relation} {shown(str(gold[0]))}")
