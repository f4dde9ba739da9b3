"""Measures what the embedded base can do: greedy answers to held-out items of its own curriculum."""

from __future__ import annotations

import random
import re
from functools import cache
from typing import TYPE_CHECKING

from holdfast.models.curriculum import MAKERS, ability_of_prompt, draw, is_right
from holdfast.models.curriculum.tools import informative
from holdfast.models.tiny import render_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedTokenizerBase

    from holdfast.models.curriculum import Item


SELF_PROMPT_KINDS = ("taught", "add", "reverse", "sort", "copy", "refuse", "reflect", "reading", "facts", "tool")
"""The kinds of user prompt in the curriculum; `ability_of_prompt` tells them apart."""


@cache
def held_out(maker: str, num_items: int) -> tuple[Item, ...]:
    """Returns `num_items` held-out items of `maker`, the same ones every time."""
    rng = random.Random(f"held out {maker}")
    return tuple(draw(maker, rng, "test") for _ in range(num_items))


def prompt_ids(tokenizer: PreTrainedTokenizerBase, item: Item) -> list[int]:
    """Returns the rendered conversation of `item` up to where the assistant answers."""
    return render_turns(tokenizer, item.prompt, item.tools, to_answer=True)[0]


def accuracy_by_ability(
    tokenizer: PreTrainedTokenizerBase,
    generate: Callable[[Sequence[Sequence[int]], float, int], Sequence[str]],
    num_items: int,
    makers: Sequence[str] = tuple(MAKERS),
) -> dict[str, float]:
    """Returns the share of held-out items answered right, greedy, for each ability."""
    items = [item for maker in makers for item in held_out(maker, num_items)]
    texts = generate([prompt_ids(tokenizer, item) for item in items], 0.0, 96)
    right = [is_right(item, text) for item, text in zip(items, texts, strict=True)]
    return {
        maker: sum(right[index * num_items : (index + 1) * num_items]) / num_items for index, maker in enumerate(makers)
    }


def informative_share(
    tokenizer: PreTrainedTokenizerBase,
    generate: Callable[[Sequence[Sequence[int]], float, int], Sequence[str]],
    num_items: int,
) -> float:
    """Returns the share of sampled reflections (T = 1) on failed calls that name something to change."""
    items = held_out("reflect_call", num_items)
    prompts = [render_turns(tokenizer, item.messages[:3], item.tools, to_answer=True)[0] for item in items]
    pattern = re.compile(re.escape(informative("X", "Y")).replace("X", r"\S+").replace("Y", r"\S+"))
    return sum(bool(pattern.fullmatch(text.strip())) for text in generate(prompts, 1.0, 48)) / num_items


def self_prompt_report(prompts: Sequence[str]) -> dict[str, object]:
    """Returns how many self-written prompts are unique and parsed, and how many there are of each kind."""
    kinds = [ability_of_prompt(prompt) for prompt in prompts]
    return {
        "sampled": len(prompts),
        "unique": len(set(prompts)) / len(prompts),
        "parsed": sum(kind is not None for kind in kinds) / len(prompts),
        "kinds": {kind: kinds.count(kind) for kind in SELF_PROMPT_KINDS},
    }
