"""Writes the embedded base's model card: `python -m holdfast.models.card FOLDER`.

The card holds what the run recorded (recipe, tokens, seconds, trace) and what is measured now: greedy
accuracy on held-out items of every ability, the share of informative reflections, and 2,000 prompts
that the model wrote itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import AutoModelForCausalLM, AutoTokenizer

from holdfast.models.abilities import accuracy_by_ability, informative_share, self_prompt_report
from holdfast.models.curriculum import BARS
from holdfast.models.generate import Sampling, generate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def text_generator(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> Callable[[Sequence[Sequence[int]], float, int], list[str]]:
    """Returns a function from (prompts, temperature, max new tokens) to one text each."""

    def texts(prompts: Sequence[Sequence[int]], temperature: float, max_new_tokens: int) -> list[str]:
        sampling = Sampling(max_new_tokens=max_new_tokens, temperature=temperature)
        return [completions[0].text for completions in generate(model, tokenizer, prompts, sampling)]

    return texts


def self_written_prompts(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, count: int) -> list[str]:
    """Returns user prompts that the model writes when given only the template up to the user turn (T = 1)."""
    start = tokenizer("<|bos|><|user|>", add_special_tokens=False)["input_ids"]
    sampling = Sampling(max_new_tokens=160, temperature=1.0, num_samples=count)
    return [completion.text for completion in generate(model, tokenizer, [start], sampling)[0]]


def measure(folder: Path, num_items: int) -> dict[str, object]:
    """Returns every figure of the card for the model in `folder`."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    texts = text_generator(model, tokenizer)
    return {
        "items_per_ability": num_items,
        "held_out_accuracy": accuracy_by_ability(tokenizer, texts, num_items),
        "informative_reflections": informative_share(tokenizer, texts, num_items),
        "own_prompts": self_prompt_report(self_written_prompts(model, tokenizer, 2_000)),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "safetensors_bytes": (folder / "model.safetensors").stat().st_size,
    }


def _hardware(last: dict[str, float]) -> str:
    """Returns what the run was made on, as its last line says; one thread where an old trace does not."""
    if last.get("device", "cpu") != "cpu":
        return "a GPU"
    threads = int(last.get("threads", 1))
    return "one CPU thread" if threads == 1 else f"{threads} CPU threads"


def card_text(figures: dict[str, object], recipe: dict[str, object], trace: list[dict[str, float]]) -> str:
    """Returns the card as Markdown."""
    accuracy = figures["held_out_accuracy"]
    own = figures["own_prompts"]
    assert isinstance(accuracy, dict)
    assert isinstance(own, dict)
    last = trace[-1]
    rows = "\n".join(
        f"| {name} | {score:.1%} | {f'{BARS[name]:.0%}' if name in BARS else '-'} |" for name, score in accuracy.items()
    )
    settings = "\n".join(f"| {name} | {value} |" for name, value in recipe.items())
    kinds = ", ".join(f"{name} {count}" for name, count in own["kinds"].items())
    return f"""---
license: apache-2.0
pipeline_tag: text-generation
library_name: transformers
---
# holdfast:tiny

A {figures["parameters"]:,}-parameter Llama-shaped chat model made by `python -m holdfast.models.pretrain` from a
generated curriculum, so that Holdfast works with no download. It is a test animal: what it shows is a
mechanism at small size, never evidence about a large model. It can do what is listed here and nothing else.

## How it was made
{last["tokens"]:,} tokens in {last["step"]:,} steps, {last["seconds"] / 60:.0f} minutes on {_hardware(last)}.
The same seed gives the same weights on the same machine with the same number of threads.

| setting | value |
|---|---|
{settings}

## What it can do
Greedy answers to {figures["items_per_ability"]} held-out items of each ability, measured by
`python -m holdfast.models.card FOLDER`.

| ability | measured | at least |
|---|---|---|
{rows}

Reflections that name something to change, sampled at T = 1: {figures["informative_reflections"]:.0%} (wanted: 30-50 %).

Own prompts, from the template up to the user turn, T = 1: {own["sampled"]:,} sampled, {own["unique"]:.1%} unique,
{own["parsed"]:.1%} recognised by the curriculum's parsers ({kinds}).
"""


def main() -> None:
    """Measures the model in a folder and writes README.md and figures.json beside it."""
    parser = argparse.ArgumentParser(description="Measure an embedded base and write its model card.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=300)
    options = parser.parse_args()
    folder: Path = options.folder
    figures = measure(folder, options.items)
    recipe = json.loads((folder / "recipe.json").read_text())
    trace = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    (folder / "README.md").write_text(card_text(figures, recipe, trace))


if __name__ == "__main__":
    main()
