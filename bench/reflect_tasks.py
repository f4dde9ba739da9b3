"""The two tasks of `reflect.py`, and the dialogues that give the base their form and a gap."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from holdfast.models.curriculum.item import call_text, tool
from holdfast.models.curriculum.tools import NOUNS, REFLECT, RETRY, VAGUE, VERBS, informative
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRAIN, DEV, TEST = 250, 80, 120
USEFUL, INFORMED = 0.6, 0.15
PLACES = ("paris", "oslo", "rome", "cairo", "lima", "tokyo", "bern", "quito", "delhi", "kyiv", "riga", "bonn")


@cache
def calls() -> list[Example]:
    """Returns requests that are taken back half-way, with the tools of both halves and two others in view."""
    rng = random.Random(3)
    found: dict[str, Example] = {}
    while len(found) < TRAIN + DEV + TEST:
        pairs = list(zip(rng.sample(VERBS, 4), rng.sample(NOUNS, 4), strict=True))
        (verb, noun), (said, of) = pairs[:2]
        names, place = ["_".join(pair) for pair in pairs], rng.choice(PLACES)
        request = f"{said} the {of}, no, {verb} the {noun} in {place}"
        turns = (Message("user", request), Message("assistant", call_text(names[0], {"place": place})))
        rng.shuffle(names)
        tools = tuple(tool(name, name.replace("_", " a "), ["place"]) for name in names)
        found[request] = Example(request, turns, tools, columns={"names": names, "place": place})
    return list(found.values())


SIGNS = "+-*"


@cache
def countdown() -> list[Example]:
    """Returns problems of two numbers, the larger first, in an order of their own.

    The numbers are from 11 to 40 and at most nine apart: a difference has one digit, a sum two, a product three or
    four. So a target shows which sign makes it, which a base that cannot multiply may still learn to see.
    """
    found: list[Example] = []
    for a in range(12, 41):
        for b in range(max(11, a - 9), a):
            for sign, target in (("+", a + b), ("-", a - b), ("*", a * b)):
                turns = (Message("user", f"make {target} from {a} and {b}."), Message("assistant", f"{a} {sign} {b}"))
                columns = {"nums": [a, b], "target": target}
                found.append(Example(f"{target} from {a} and {b}", turns, columns=columns))
    random.Random(7).shuffle(found)
    return found


def dialogues(tasks: Sequence[Example], options: Callable[[Example], list[tuple[str, str]]]) -> list[Example]:
    """Returns what gives the base the form of a task, a gap, and reflections that know a little.

    Attempts are random; a reflection is useful in `USEFUL` of all cases, and what it names is right a little
    more often than chance (`INFORMED`); a retry obeys. `options` gives every answer that a task could have,
    each with the name that a reflection has for it.
    """
    rng = random.Random(11)
    found: list[Example] = []
    for example in tasks:
        could = options(example)
        failed, other = rng.sample(could, 2)
        right = next(option for option in could if option[0] == example.messages[-1].content)
        if rng.random() < INFORMED and right != failed:
            other = right
        useful = rng.random() < USEFUL
        turns = (
            example.prompt[-1],
            Message("assistant", failed[0]),
            Message("user", REFLECT),
            Message("assistant", informative(failed[1], other[1]) if useful else rng.choice(VAGUE)),
            Message("user", RETRY),
            Message("assistant", (other if useful else failed)[0]),
        )
        found.append(Example(f"dialogue {len(found)}", turns, example.tools))
    return found


def calls_in_view(example: Example) -> list[tuple[str, str]]:
    return [(call_text(name, {"place": example.columns["place"]}), name) for name in example.columns["names"]]


def signs_between(example: Example) -> list[tuple[str, str]]:
    a, b = example.columns["nums"]
    return [(f"{a} {sign} {b}", sign) for sign in SIGNS]


@dataclass(frozen=True)
class Task:
    """Examples to learn from, those that rates are chosen by, a held-out test, and what judges all."""

    train: list[Example]
    dev: list[Example]
    test: list[Example]
    grader: str
    options: Callable[[Example], list[tuple[str, str]]]


@cache
def task(name: str) -> Task:
    found, judge, options = (
        (calls(), "tool_call_match", calls_in_view) if name == "calls" else (countdown(), "countdown", signs_between)
    )
    return Task(found[:TRAIN], found[TRAIN : TRAIN + DEV], found[-TEST:], judge, options)
