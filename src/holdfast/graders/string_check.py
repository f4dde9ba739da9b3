"""String check: OpenAI's `string_check` grader. `like` means that the input contains the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, shown

if TYPE_CHECKING:
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score

_WORDS = {"eq": "is", "ne": "is not", "neq": "is not", "like": "contains", "ilike": "contains, in any case,"}


class StringCheck(Grader, frozen=True):
    """Right if `input` and `reference` stand in the relation that `operation` names."""

    type: Literal["string_check"] = "string_check"
    input: str = "{{ sample.output_text }}"
    reference: str = "{{ item.reference }}"
    operation: Literal["eq", "ne", "neq", "like", "ilike"] = "eq"

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        found, reference = view.text(self.input), view.text(self.reference)
        right = {
            "eq": found == reference,
            "ne": found != reference,
            "neq": found != reference,
            "like": reference in found,
            "ilike": reference.casefold() in found.casefold(),
        }[self.operation]
        relation = f"{shown(found)} {_WORDS[self.operation]} {shown(reference)}"
        return judged(right=right, explanation=relation if right else f"it is not so that {relation}")
