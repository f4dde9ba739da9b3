"""Tool call match: the answer makes the tool calls that are asked for, with their arguments.

Choices made here: what is asked for is the reference, or the column `ground_truth` in the form of the Berkeley
function-calling leaderboard (`wanted_call` says how each is compared). Text around a call does not count. Where
tools are offered and the reference is plain text, calling nothing is right. An answer that cannot be read as a
call is wrong; a reference that cannot is an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from holdfast.graders.calls import calls_in, calls_of
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, reference_text, shown, ungradable
from holdfast.graders.wanted_call import ground_truth_calls, paired, wanted_as

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.graders.calls import Call
    from holdfast.graders.template import View
    from holdfast.graders.wanted_call import WantedCall
    from holdfast.types import Completion, Example, Score

GROUND_TRUTH = "ground_truth"
"""The column that goes before the reference where it has the leaderboard's form."""


class ToolCallMatch(Grader, frozen=True):
    """Right if the answer makes the tool calls that are asked for; several in any order, or in the `exact` one.

    What is asked for is the reference, or a column `ground_truth` as in the Berkeley function-calling leaderboard.
    """

    type: Literal["tool_call_match"] = "tool_call_match"
    order: Literal["any", "exact"] = "any"

    def columns(self) -> set[str]:
        """Returns the column that may say what is asked for."""
        return {GROUND_TRUTH}

    def lacking(self, example: Example) -> str | None:
        """Returns that there is nothing to compare with, or None."""
        there = example.demonstration is not None or example.label is not None
        return None if there or _allowed(example) is not None else "has no answer to compare with"

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        del view
        wanted = _wanted(example)
        if wanted is None:
            return ungradable("no_reference", "the item's answer is not a tool call that can be read")
        made = calls_in(completion.text)
        if not wanted:
            if not made:
                return judged(right=True, explanation="calls nothing, as it should")
            return judged(right=False, explanation=f"calls {shown(made[0].name)} where no call was asked for")
        if not made:
            return judged(right=False, explanation=f"unparsable: no tool call in {shown(completion.text)}")
        different = _difference(made, wanted, in_order=self.order == "exact")
        if different is not None:
            return judged(right=False, explanation=different)
        return judged(right=True, explanation="the same call" if len(wanted) == 1 else "the same calls")


def _allowed(example: Example) -> list[WantedCall] | None:
    return ground_truth_calls(example.columns.get(GROUND_TRUTH))


def _wanted(example: Example) -> list[WantedCall] | None:
    """The calls asked for; empty if tools are offered and the reference calls none; None if it cannot be read."""
    allowed = _allowed(example)
    if allowed is not None:
        return allowed
    demonstration = example.demonstration
    if demonstration is not None and demonstration.tool_calls:
        calls = calls_of(demonstration.tool_calls)
    else:
        text = reference_text(example)
        calls = None if text is None else calls_in(text)
        if not calls and not example.tools:
            return None
    return None if calls is None else [wanted_as(call) for call in calls]


def _difference(made: Sequence[Call], wanted: Sequence[WantedCall], *, in_order: bool) -> str | None:
    """Returns the first thing that is wrong, or None; its kind is what stands before the first colon or quotation."""
    if len(made) != len(wanted):
        return f"wrong number of calls: {len(made)}, not {len(wanted)}"
    pairs = paired(made, wanted)
    if len(pairs) == len(made):
        if in_order and any(one.difference(call) for call, one in zip(made, wanted, strict=True)):
            return f"wrong order of calls: {_names(made)}, not {_names(wanted)}"
        return None
    left = [call for place, call in enumerate(made) if place not in pairs]
    missing = [one for place, one in enumerate(wanted) if place not in pairs.values()]
    # Compare with a call of the same tool where there is one: it differs by its arguments only.
    for call in left:
        partner = next((one for one in missing if one.name == call.name), None)
        if partner is not None:
            return partner.difference(call)
    return missing[0].difference(left[0])


def _names(calls: Sequence[Call | WantedCall]) -> str:
    return shown(", ".join(call.name for call in calls))
