"""`{{ item.x }}` and `{{ sample.output_text }}`: what a grader's texts stand for, for one answer.

The names are those of OpenAI's graders: `item` holds the row's columns (and `messages`, `reference`, `label`
where the row has no columns of those names), `sample` the answer as `output_text`, `output_json`,
`output_tools` and `choices`. A path is names with dots, and places in lists: `sample.output_tools[0].function.name`.
An answer without the call or the JSON that a path reads is wrong; where the item lacks it, nothing can be graded.
"""

from __future__ import annotations

import json
import re
from functools import cached_property
from typing import TYPE_CHECKING

from holdfast.errors import GraderError
from holdfast.graders.calls import calls_in
from holdfast.graders.model_json import value_at, whole
from holdfast.graders.reference import MISSING, reference_text

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, JSONValue

_EXPRESSION = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
_PATH = re.compile(r"(item|sample)((?:\.\w+|\[\d{1,6}\])*)")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


class View:
    """One answer and its item under the names that a template may use; read only as far as they are asked for."""

    def __init__(self, completion: Completion, example: Example) -> None:
        self._completion, self._example = completion, example

    def text(self, template: str) -> str:
        """Returns `template` with every expression replaced: texts as they are, other values as JSON.

        Raises:
            GraderError: a path leads nowhere; of the kind `MISSING` where another answer would have led somewhere.
        """
        return _EXPRESSION.sub(lambda match: _spelled(self._at(match[1])), template)

    def value(self, template: str) -> JSONValue:
        """Returns the value itself where `template` is one expression and nothing else, and its text otherwise."""
        match = _EXPRESSION.fullmatch(template.strip())
        return self._at(match[1]) if match else self.text(template)

    def _at(self, path: str) -> JSONValue:
        match = _path(path)
        value = self._root(match[1], text_only=match[2] == ".output_text")
        before = ""
        for name, place in _STEP.findall(match[2]):
            if name and isinstance(value, dict) and name in value:
                value = value[name]
            elif place and isinstance(value, list) and int(place) < len(value):
                value = value[int(place)]
            else:
                there = f"; there are {', '.join(sorted(value)[:12])}" if isinstance(value, dict) and value else ""
                if match[1] == "sample" and _is_of_the_answer(match[2], before, place):
                    raise GraderError(f"{name or f'[{place}]'} of {{{{ {path} }}}} is not there{there}", kind=MISSING)
                raise GraderError(f"{{{{ {path} }}}}: {name or f'[{place}]'} is not there{there}")
            before = name
        return value

    def _root(self, name: str, *, text_only: bool) -> JSONValue:
        if name == "item":
            return self._item
        return {"output_text": self._completion.text} if text_only else self._sample

    @cached_property
    def _item(self) -> dict[str, JSONValue]:
        return item_of(self._example)

    @cached_property
    def _sample(self) -> dict[str, JSONValue]:
        return sample_of(self._completion)


def columns_in(template: str, root: str = "item") -> set[str]:
    """Returns the columns of the item, or of the sample, that `template` reads; raises `GraderError` for no path."""
    columns = set[str]()
    for path in _EXPRESSION.findall(template):
        match = _path(path)
        step = _STEP.match(match[2])
        if match[1] == root and step is not None:
            columns.add(step[1])
    return columns


def item_of(example: Example) -> dict[str, JSONValue]:
    """Returns the item as templates and users' graders see it."""
    own: dict[str, JSONValue] = {
        "messages": [{"role": turn.role, "content": turn.content} for turn in example.prompt],
        "prompt": example.prompt[-1].content if example.prompt else "",
        "reference": reference_text(example),
        "label": example.label,
    }
    return {**{name: value for name, value in own.items() if value is not None}, **example.columns}


def sample_of(completion: Completion) -> dict[str, JSONValue]:
    """Returns the answer as templates and users' graders see it; `output_json` is absent where there is no JSON."""
    tools: list[JSONValue] = [
        {"type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
        for call in calls_in(completion.text)
    ]
    message: dict[str, JSONValue] = {"role": "assistant", "content": completion.text, "tool_calls": tools}
    sample: dict[str, JSONValue] = {
        "output_text": completion.text,
        "output_tools": tools,
        "choices": [{"index": 0, "message": message, "finish_reason": completion.finish_reason}],
    }
    found = json_in(completion.text)
    return {**sample, **({} if found is None else {"output_json": found}), **completion.fields}


def json_in(text: str) -> JSONValue:
    """Returns the JSON value that an answer is, has in a fence, or begins with; None if there is none."""
    text, part = _json_part(text)
    value = whole(part)
    if value is None and text[:1] in ("{", "["):
        found = value_at(text, 0)
        value = found[0] if found else None
    return value


def is_null(text: str) -> bool:
    """Tells whether the JSON of an answer is null, for which `json_in` has the word of there being none."""
    return _json_part(text)[1].strip() == "null"


def _json_part(text: str) -> tuple[str, str]:
    """Returns what stands after the reasoning, and of that the fenced part, or all."""
    text = text.rpartition("</think>")[2].strip()
    fence = _FENCED.search(text)
    return text, fence[1] if fence else text


def _is_of_the_answer(steps: str, before: str, place: str) -> bool:
    """Tells whether it is up to the answer that a step is there: JSON that it may hold, and one more call."""
    return re.match(r"\.output_json\b", steps) is not None or (bool(place) and before in ("output_tools", "tool_calls"))


def _path(path: str) -> re.Match[str]:
    match = _PATH.fullmatch(path)
    if match is None:
        raise GraderError(f"{{{{ {path} }}}} is no path such as item.answer or sample.output_json.name")
    return match


def _spelled(value: JSONValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
