"""Tool calls in JSON with descriptions and an example in view, tool results, and reflect-and-retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.models.curriculum.in_view import foreign, some_value, taught
from holdfast.models.curriculum.item import Item, answer_is, call_text, chat, tool
from holdfast.models.curriculum.lexicon import CITIES, FOODS, NAMES, THINGS, pseudo_word, some_word

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

VERBS = [
    "find",
    "send",
    "count",
    "open",
    "close",
    "read",
    "move",
    "order",
    "book",
    "check",
    "start",
    "stop",
    "show",
    "play",
    "sell",
    "rent",
]
NOUNS = [
    "mail",
    "song",
    "seat",
    "room",
    "file",
    "page",
    "door",
    "light",
    "train",
    "bus",
    "table",
    "story",
    "photo",
    "sale",
    "task",
]
ARGUMENTS = ["place", "person", "amount", "item", "day", "title", "color", "size", "level", "topic", "owner", "room"]
REQUESTS = (
    "{v} the {n} with {x}",
    "please {v} a {n}: {x}",
    "{v} {n} {x}",
    "can you {v} the {n} for {x}?",
    "{x}, {v} the {n}",
)

HELD_OUT_TOOLS = ("set_timer", "get_weather", "swap_cash")
"""The tools of `examples/`; they are never drawn here."""


def make_arguments(rng: random.Random) -> dict[str, object]:
    """Returns one or two arguments with word or whole-number values."""
    names = rng.sample(ARGUMENTS, rng.choice((1, 1, 2)))
    pools = (NAMES, CITIES, FOODS, THINGS)
    return {
        n: rng.randint(1, 99) if rng.random() < 0.4 else rng.choice((*rng.choice(pools), pseudo_word(rng)))
        for n in names
    }


def make_signature(rng: random.Random) -> tuple[str, str, str]:
    """Returns a tool's name, verb and noun; some tools are made-up words."""
    verb = rng.choice(VERBS) if rng.random() < 0.75 else pseudo_word(rng)
    noun = rng.choice(NOUNS) if rng.random() < 0.75 else pseudo_word(rng)
    return f"{verb}_{noun}", verb, noun


def make_tools(rng: random.Random, name: str, verb: str, noun: str, parameters: list[str]) -> list[dict[str, object]]:
    """Returns the wanted tool among up to two others, in random order."""
    tools = [tool(name, f"{verb} a {noun}", parameters)]
    for _ in range(rng.randint(0, 2)):
        other, other_verb, other_noun = make_signature(rng)
        tools.append(tool(other, f"{other_verb} a {other_noun}", rng.sample(ARGUMENTS, rng.choice((1, 2)))))
    rng.shuffle(tools)
    return tools


def make_tool_call(rng: random.Random) -> Item:
    """Tool descriptions and an example call in view -> the call as one JSON object."""
    name, verb, noun = make_signature(rng)
    arguments = make_arguments(rng)
    tools = make_tools(rng, name, verb, noun, list(arguments))
    request = rng.choice(REQUESTS).format(v=verb, n=noun, x=" and ".join(str(v) for v in arguments.values()))
    call = call_text(name, arguments)
    example = call if rng.random() < 0.7 else foreign(rng, call)
    return Item("tool_call", chat(taught(request, example), call), call, tuple(tools), key=request)


def make_tool_result(rng: random.Random) -> Item:
    """After a call, a tool turn returns a result, and the base reports it."""
    name, verb, noun = make_signature(rng)
    arguments = make_arguments(rng)
    value = some_value(rng)
    request = rng.choice(REQUESTS).format(v=verb, n=noun, x=" and ".join(str(v) for v in arguments.values()))
    turns = (
        {"role": "user", "content": request},
        {"role": "assistant", "content": call_text(name, arguments)},
        {"role": "tool", "content": rng.choice(('{{"result": "{}"}}', "{}", "result: {}")).format(value)},
        {"role": "assistant", "content": answer_is(value)},
    )
    return Item("tool_result", turns, value, key=request)


REFLECT = "that attempt failed. reflect on what went wrong and how to fix it."
RETRY = "now try again."
VAGUE = (
    "i was careless and should think harder.",
    "i should be more careful next time.",
    "i did not read the task well.",
    "something went wrong and i must try again.",
)


def informative(wrong: str, right: str) -> str:
    """Returns a reflection that names what to change."""
    return f"i wrote {wrong} but it must be {right}."


INFORMATIVE_SHARE = 0.4


def _reflection(rng: random.Random, wrong: str, right: str) -> tuple[str, bool]:
    if rng.random() < INFORMATIVE_SHARE:
        return informative(wrong, right), True
    return rng.choice(VAGUE), False


def make_reflect_answer(rng: random.Random) -> Item:
    """A wrong plain answer, a reflection, and a retry that obeys it (or repeats after a vague one)."""
    wrong, right = some_word(rng), some_word(rng)
    task = f"guess the {rng.choice(NOUNS)} of {some_word(rng)}."
    reflection, useful = _reflection(rng, wrong, right)
    retry = right if useful else wrong
    turns = chat(task, answer_is(wrong), REFLECT, reflection, RETRY, answer_is(retry))
    return Item("reflect", turns, retry, key=task)


def make_reflect_call(rng: random.Random) -> Item:
    """A tool call with a wrong name or argument key, a reflection, and the corrected call."""
    name, verb, noun = make_signature(rng)
    arguments = make_arguments(rng)
    tools = make_tools(rng, name, verb, noun, list(arguments))
    request = rng.choice(REQUESTS).format(v=verb, n=noun, x=" and ".join(str(v) for v in arguments.values()))
    fixed = call_text(name, arguments)
    if rng.random() < 0.5:
        wrong, right = pseudo_word(rng), name
        attempt = call_text(wrong, arguments)
    else:
        right = rng.choice(list(arguments))
        wrong = rng.choice([a for a in ARGUMENTS if a not in arguments])
        attempt = call_text(name, {wrong if k == right else k: v for k, v in arguments.items()})
    reflection, useful = _reflection(rng, wrong, right)
    retry = fixed if useful else attempt
    return Item("reflect", chat(request, attempt, REFLECT, reflection, RETRY, retry), retry, tuple(tools), key=request)


MAKERS: dict[str, Callable[[random.Random], Item]] = {
    "tool_call": make_tool_call,
    "tool_result": make_tool_result,
    "reflect_answer": make_reflect_answer,
    "reflect_call": make_reflect_call,
}
