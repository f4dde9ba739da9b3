"""Actions: the tool-use scorer of the SDFT paper (arXiv 2601.19897, evaluation code).

Right if the multiset of `Action:` names is equal and the merged `Action Input:` objects are equal.

Choices made here: the paper's code ends an input at its first closing brace, so no nested object can
ever be right there; here the whole JSON value is read. As there, an input that cannot be read is
skipped, later inputs overwrite earlier ones key by key, and the order of actions does not count.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.graders.model_json import same_key, value_at
from holdfast.graders.reference import judged, reference_text, shown, ungradable

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, JSONValue, Score

_ACTION = re.compile(r"Action:\s*(\w+)")
_INPUT = re.compile(r"Action Input:\s*(?=\{)")


def actions(completion: Completion, example: Example) -> Score:
    """Returns 1 if the answer takes the reference's actions with the reference's inputs."""
    reference = reference_text(example)
    wanted = Counter(_ACTION.findall(reference or ""))
    if reference is None or not wanted:
        return ungradable("no_reference", 'the item\'s answer has no "Action:" line to compare with')
    taken = Counter(_ACTION.findall(completion.text))
    if not taken:
        return judged(right=False, explanation=f'no "Action:" line in {shown(completion.text)}')
    if taken != wanted:
        return judged(right=False, explanation=f"wrong actions: {_named(taken)}, not {_named(wanted)}")
    inputs, wanted_inputs = merged_inputs(completion.text), merged_inputs(reference)
    if same_key(inputs) == same_key(wanted_inputs):
        return judged(right=True, explanation="same actions, same inputs")
    keys = sorted(
        key
        for key in {*inputs, *wanted_inputs}
        if key not in inputs or key not in wanted_inputs or same_key(inputs[key]) != same_key(wanted_inputs[key])
    )
    return judged(right=False, explanation=f"right actions, wrong input: {shown(', '.join(keys))}")


def merged_inputs(text: str) -> dict[str, JSONValue]:
    """Returns all readable `Action Input:` objects of `text` in one; later ones win."""
    merged: dict[str, JSONValue] = {}
    for match in _INPUT.finditer(text):
        found = value_at(text, match.end())
        if found is not None and isinstance(found[0], dict):
            merged.update(found[0])
    return merged


def _named(names: Counter[str]) -> str:
    return shown(", ".join(sorted(names.elements())))
