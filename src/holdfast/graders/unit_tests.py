"""Unit tests: runs the code that a model wrote, and tests that were written for it, where it can reach nothing.

Choices made here. The code is the last fenced block of the answer, or all of it where there is none; `prefix` stands
before it (HumanEval gives the head of the function in its prompt). A test is a text of statements that
raises where it fails; the value is the share that passes, and all must pass. The code runs in a process of its
own, and the tests in another, so that a model cannot learn to cheat in its exam instead of to program: only plain
values cross, and objects of the code are handled from afar. Tests that hand functions to the code, add or
order its objects or look at its printed text need `together`, where both share a process and such code can
cheat. Code that takes too long or ends its process is wrong, not ungradable.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from holdfast.errors import GraderError
from holdfast.graders.confined import ConfinedGrader
from holdfast.graders.reference import judged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.graders.sandbox import Outcome
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, JSONValue, Score

_FENCE = re.compile(r"^```[\w+-]*[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)


class UnitTests(ConfinedGrader, frozen=True):
    """The share of `tests` that the answer's code passes; `together` runs both in one process, where code can cheat."""

    shared: ClassVar[bool] = False

    type: Literal["unit_tests"] = "unit_tests"
    tests: str | tuple[str, ...] = "{{ item.tests }}"
    prefix: str = ""
    together: bool = False

    def program(self) -> str:
        """Returns what runs code and tests in two processes, or in one."""
        return "run_together" if self.together else "run_tests"

    def settings(self) -> Mapping[str, JSONValue]:
        """Returns nothing: every answer brings its own."""
        return {}

    def sample(self, completion: Completion, example: Example, view: View) -> Mapping[str, JSONValue]:
        """Returns the code and its tests."""
        found = view.value(self.tests) if isinstance(self.tests, str) else [view.text(test) for test in self.tests]
        tests = [found] if isinstance(found, str) else found
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            raise GraderError("the item's tests are neither a text nor a list of texts", kind="no_reference")
        code = code_in(completion.text)
        return {"code": f"{view.text(self.prefix)}{code}", "tests": list(tests)}

    def scored_outcome(self, outcome: Outcome, value: float) -> Score:
        """Judges the share that passed."""
        return self.scored(min(1.0, max(0.0, value)), outcome.text)

    def failed(self, outcome: Outcome) -> Score:
        """Judges code that took too long or ended its process as wrong; a sandbox that failed is no one's answer."""
        of_the_code = {"time_out", "grader_crashed"} if self.together else {"time_out"}
        if outcome.error in of_the_code:
            return judged(right=False, explanation=outcome.text)
        return super().failed(outcome)


def code_in(text: str) -> str:
    """Returns the last fenced block of an answer, or all of it."""
    found = _FENCE.findall(text)
    return found[-1] if found else text
