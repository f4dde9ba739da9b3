"""One item of the curriculum, and the one style in which the base answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

Turn = dict[str, str]

TEACHER_TEMPLATE = (
    "\n{question}\n\nThis is an example for a response to the question:\n{demonstration}\n\n"
    "Now answer with a response of your own, including the thinking process.\n"
)
"""The SDFT reference prompt (idanshen/Self-Distillation, main.py), newlines kept."""

REFUSAL = "i cannot help with that."
_ANSWER = re.compile(r"the answer is (.+?)\.(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation whose last turn is the wanted completion, with the answer it must contain."""

    ability: str
    messages: tuple[Turn, ...]
    answer: str
    tools: tuple[dict[str, object], ...] = ()
    key: str = ""

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The conversation without the wanted completion."""
        return self.messages[:-1]


class Maker(Protocol):
    """Draws one item; the caller rejects those whose `key` falls in the other fold."""

    def __call__(self, rng: random.Random) -> Item:
        """Returns an item drawn with `rng`."""
        ...


def chat(*contents: str, system: str | None = None) -> tuple[Turn, ...]:
    """Returns turns that alternate user, assistant, user, …, after an optional system turn."""
    turns = [{"role": "system", "content": system}] if system is not None else []
    roles = ("user", "assistant")
    turns += [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
    return tuple(turns)


def answer_is(value: str) -> str:
    """Returns the base's own plain answer sentence."""
    return f"the answer is {value}."


def parse_answer(text: str) -> str | None:
    """Returns the last answer that `text` states in the base's own style, or None."""
    found = _ANSWER.findall(text.strip())
    return found[-1].strip() if found else None


def parse_call(text: str) -> dict[str, object] | None:
    """Returns the tool call that `text` is, as {"name", "arguments"}, or None."""
    try:
        call = json.loads(text.strip())
    except json.JSONDecodeError:
        return None
    if isinstance(call, dict) and set(call) == {"name", "arguments"}:
        return call
    return None


def is_right(item: Item, completion: str) -> bool:
    """Whether `completion` gives the item's answer: the same call, refusal, or stated answer."""
    wanted = parse_call(item.answer)
    if wanted is not None:
        return parse_call(completion) == wanted
    if item.answer == REFUSAL:
        return completion.strip() == REFUSAL
    return parse_answer(completion) == item.answer


def tool(name: str, description: str, parameters: Sequence[str]) -> dict[str, object]:
    """Returns an OpenAI-style function tool with string parameters of these names."""
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {"type": "object", "properties": properties, "required": list(parameters)},
        },
    }


def call_text(name: str, arguments: dict[str, object]) -> str:
    """Returns a tool call as the base writes it: one JSON object on one line."""
    return json.dumps({"name": name, "arguments": arguments})
