"""Tool call match: the answer makes the reference's tool calls, with the reference's arguments.

Choices made here: arguments are compared as JSON values (1 equals 1.0; "1" and true do not equal 1;
the keys of an object have no order, the items of a list do); several calls may come in any order;
text around a call does not count. Where tools are offered and the reference is plain text, calling
nothing is right. An answer that cannot be read as a call is wrong; a reference that cannot is an error.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.graders.calls import calls_in, calls_of
from holdfast.graders.model_json import same_key
from holdfast.graders.reference import judged, reference_text, shown, ungradable

if TYPE_CHECKING:
    from collections.abc import Hashable

    from holdfast.graders.calls import Call
    from holdfast.types import Completion, Example, JSONValue, Score


def tool_call_match(completion: Completion, example: Example) -> Score:
    """Returns 1 if the answer's tool calls equal the reference's; the explanation says what differs."""
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
    if Counter(call.key for call in made) == Counter(call.key for call in wanted):
        return judged(right=True, explanation="the same call" if len(wanted) == 1 else "the same calls")
    return judged(right=False, explanation=_difference(made, wanted))


def _wanted(example: Example) -> list[Call] | None:
    """The reference's calls; empty if tools are offered and it calls none; None if it cannot be read."""
    demonstration = example.demonstration
    if demonstration is not None and demonstration.tool_calls:
        return calls_of(demonstration.tool_calls)
    text = reference_text(example)
    if text is None:
        return None
    calls = calls_in(text)
    return calls if calls or example.tools else None


def _difference(made: list[Call], wanted: list[Call]) -> str:
    if len(made) != len(wanted):
        return f"{len(made)} calls where {len(wanted)} were asked for"
    common = Counter(call.key for call in made) & Counter(call.key for call in wanted)
    left = _without(made, common)
    missing = _without(wanted, common)
    # Compare with a call of the same tool where there is one: it differs by its arguments only.
    for call in left:
        partner = next((other for other in missing if other.name == call.name), None)
        if partner is not None:
            return _argument_difference(call, partner)
    return f"wrong tool: {shown(left[0].name)}, not {shown(missing[0].name)}"


def _without(calls: list[Call], common: Counter[Hashable]) -> list[Call]:
    budget = common.copy()
    left: list[Call] = []
    for call in calls:
        if budget[call.key] > 0:
            budget[call.key] -= 1
        else:
            left.append(call)
    return left


def _argument_difference(made: Call, wanted: Call) -> str:
    missing = [key for key in wanted.arguments if key not in made.arguments]
    extra = [key for key in made.arguments if key not in wanted.arguments]
    if missing:
        return f"missing argument of {shown(wanted.name)}: {shown(', '.join(missing))}"
    if extra:
        return f"extra argument of {shown(wanted.name)}: {shown(', '.join(extra))}"
    wrong = next(key for key, value in wanted.arguments.items() if same_key(made.arguments[key]) != same_key(value))
    return f"wrong argument {shown(wrong)}: {_spelled(made.arguments[wrong])}, not {_spelled(wanted.arguments[wrong])}"


def _spelled(value: JSONValue) -> str:
    return shown(json.dumps(value, ensure_ascii=False))
