"""A tool call that is asked for: its tool, and for every argument the values that are right.

A reference gives each argument one value, compared as JSON (1 equals 1.0; "1" and true do not equal 1; the keys of
an object have no order, the items of a list do). The ground truth of the Berkeley function-calling leaderboard
gives several: `[{"f": {"city": ["Rome", "Roma"], "unit": ["km", ""]}}]`, where "" says that the argument may be
left out. As there, texts are then compared without case, white space and the marks , . / - _ * ^, and the
values inside an object are lists of alternatives again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.graders.model_json import same_key, whole
from holdfast.graders.reference import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.graders.calls import Call
    from holdfast.types import JSONValue

LEFT_OUT = ""
"""Among the alternatives: the argument may be missing."""
_UNHEARD = re.compile(r"[\s,./\-_*^]")
_SHOWN_VALUES = 3


@dataclass(frozen=True, slots=True)
class WantedCall:
    """A tool's name, and the values that each argument may have; `loose` compares as the Berkeley leaderboard does."""

    name: str
    arguments: Mapping[str, Sequence[JSONValue]]
    loose: bool = False

    def difference(self, call: Call) -> str | None:
        """Returns how `call` differs from what is wanted, or None."""
        if call.name != self.name:
            return f"wrong tool: {shown(call.name)}, not {shown(self.name)}"
        missing = [
            name
            for name, values in self.arguments.items()
            if name not in call.arguments and not (self.loose and LEFT_OUT in values)
        ]
        if missing:
            return f"missing argument of {shown(self.name)}: {shown(', '.join(missing))}"
        extra = [name for name in call.arguments if name not in self.arguments]
        if extra:
            return f"extra argument of {shown(self.name)}: {shown(', '.join(extra))}"
        for name, found in call.arguments.items():
            wanted = self.arguments[name]
            if not any(_same(found, value, loose=self.loose) for value in wanted):
                right = [_spelled(value) for value in wanted if not (self.loose and value == LEFT_OUT)]
                return f"wrong argument {shown(name)}: {_spelled(found)}, not {' or '.join(right[:_SHOWN_VALUES])}"
        return None


def wanted_as(call: Call) -> WantedCall:
    """Returns that exactly `call` is wanted."""
    return WantedCall(call.name, {name: (value,) for name, value in call.arguments.items()})


def ground_truth_calls(value: JSONValue) -> list[WantedCall] | None:
    """Returns the calls that the leaderboard's ground truth allows; None for what does not have its form."""
    found = whole(value) if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        return None
    calls: list[WantedCall] = []
    for one in found:
        if not isinstance(one, dict) or len(one) != 1:
            return None
        ((name, arguments),) = one.items()
        if not isinstance(arguments, dict):
            return None
        values = {key: values for key, values in arguments.items() if isinstance(values, list) and values}
        if len(values) != len(arguments):
            return None
        calls.append(WantedCall(name, values, loose=True))
    return calls


def paired(calls: Sequence[Call], wanted: Sequence[WantedCall]) -> dict[int, int]:
    """Returns most places of `calls`, each with the place of another wanted call that it fulfils, in any order."""
    fulfils = [[place for place, one in enumerate(wanted) if one.difference(call) is None] for call in calls]
    taken: dict[int, int] = {}

    def place_call(at: int, tried: set[int]) -> bool:
        for place in fulfils[at]:
            if place not in tried:
                tried.add(place)
                if place not in taken or place_call(taken[place], tried):
                    taken[place] = at
                    return True
        return False

    for at in range(len(calls)):
        place_call(at, set())
    return {at: place for place, at in taken.items()}


def _same(found: JSONValue, wanted: JSONValue, *, loose: bool) -> bool:
    if not loose:
        return same_key(found) == same_key(wanted)
    if isinstance(found, dict) and set(found) == {"$python"}:
        found = found["$python"]  # Python that is no literal, such as a function, which the leaderboard has as text
    if isinstance(found, str) and isinstance(wanted, str):
        return _heard(found) == _heard(wanted)
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_loosely_same, found, wanted))
    if isinstance(found, dict) and isinstance(wanted, dict):
        allowed = {key: values if isinstance(values, list) else [values] for key, values in wanted.items()}
        there = set(found) <= set(allowed) and all(key in found or LEFT_OUT in allowed[key] for key in allowed)
        return there and all(any(_loosely_same(item, value) for value in allowed[key]) for key, item in found.items())
    return same_key(found) == same_key(wanted)


def _loosely_same(found: JSONValue, wanted: JSONValue) -> bool:
    return _same(found, wanted, loose=True)


def _heard(text: str) -> str:
    return _UNHEARD.sub("", text).lower().replace("'", '"')


def _spelled(value: JSONValue) -> str:
    return shown(json.dumps(value, ensure_ascii=False))
