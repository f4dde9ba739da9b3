"""Our generator beside transformers' continuous batching and its padded batches, on what Holdfast needs.

    python bench/generation.py [--model holdfast:tiny] [--rounds 3] [--threads 1]

Prints one table of speed (tokens per second of processor time, so that other programs on the machine
disturb little; the arms run in turn) and one of abilities, each tried rather than assumed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from collections import defaultdict

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.utils import logging

from holdfast.models.curriculum import MAKERS, draw
from holdfast.models.generate import Sampling, generate
from holdfast.models.load import load
from holdfast.models.render import render_prompt
from holdfast.types import Message

BATCH = 64
NEW_TOKENS = 64


def make_prompts(tokenizer, num, seed=0, at_least=0):
    """Rendered prompts of the base's own curriculum, of mixed kinds and lengths."""
    rng = random.Random(f"bench {seed}")
    prompts = []
    while len(prompts) < num:
        item = draw(rng.choice(list(MAKERS)), rng)
        turns = [Message(turn["role"], turn["content"]) for turn in item.prompt]
        ids = render_prompt(tokenizer, turns, item.tools)
        if len(ids) >= at_least:
            prompts.append(ids)
    return prompts


def ours(loaded, prompts, *, samples, temperature):
    sampling = Sampling(max_new_tokens=NEW_TOKENS, temperature=temperature, num_samples=samples)
    groups = generate(loaded.model, loaded.tokenizer, prompts, sampling)
    return [list(c.token_ids) for group in groups for c in group]


def continuous(loaded, prompts, *, samples, temperature, page_size=32, seed=0):
    """transformers' generate_batch, with the cache sized to the workload (the default takes all free memory)."""
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS,
        do_sample=temperature > 0,
        num_return_sequences=samples,
        eos_token_id=loaded.tokenizer.eos_token_id,
        pad_token_id=loaded.tokenizer.pad_token_id,
        use_cuda_graph=False,
    )
    pages = BATCH * -(-(max(map(len, prompts)) + NEW_TOKENS) // page_size)
    settings = ContinuousBatchingConfig(
        page_size=page_size, num_blocks=pages, max_batch_tokens=1024, return_logprobs=True, seed=seed
    )
    outputs = loaded.model.generate_batch(
        inputs=prompts, generation_config=config, continuous_batching_config=settings, progress_bar=False
    )
    loaded.model.set_attn_implementation("sdpa")
    by_prompt = defaultdict(list)
    for output in outputs.values():
        by_prompt[tuple(output.prompt_ids)].append(list(output.generated_tokens))
    return [by_prompt[tuple(prompt)].pop() for prompt in prompts for _ in range(samples)]


def padded(loaded, prompts, *, samples, temperature):
    """transformers' generate on left-padded batches, sorted by length."""
    tokenizer, end, results = loaded.tokenizer, loaded.tokenizer.eos_token_id, {}
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    size = max(1, BATCH // samples)
    for start in range(0, len(order), size):
        members = order[start : start + size]
        width = max(len(prompts[i]) for i in members)
        ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(prompts[i])) + prompts[i] for i in members])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in members])
        output = loaded.model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            do_sample=temperature > 0,
            top_k=0,
            num_return_sequences=samples,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
        )
        for row, new in enumerate(output[:, width:].tolist()):
            cut = new.index(end) + 1 if end in new else len(new)
            results[members[row // samples], row % samples] = new[:cut]
    return [results[i, k] for i in range(len(prompts)) for k in range(samples)]


ARMS = {"holdfast": ours, "transformers generate_batch": continuous, "transformers generate, padded": padded}


def workloads(tokenizer):
    short = make_prompts(tokenizer, 256)
    return {
        "256 short prompts, greedy": (short, 1, 0.0),
        "256 short prompts, T = 1": (short, 1, 1.0),
        "32 prompts x 8 samples, T = 1": (short[:32], 8, 1.0),
        "64 prompts of 80 tokens and more, greedy": (make_prompts(tokenizer, 64, seed=1, at_least=80), 1, 0.0),
        "1 prompt, greedy": (short[:1], 1, 0.0),
    }


def measure_speed(loaded, rounds):
    print(f"| workload | {' | '.join(ARMS)} |")
    print("|---|" + "---|" * len(ARMS))
    for name, (prompts, samples, temperature) in workloads(loaded.tokenizer).items():
        rates = defaultdict(list)
        for _ in range(rounds):
            for arm, run in ARMS.items():
                start = time.process_time()
                outputs = run(loaded, prompts, samples=samples, temperature=temperature)
                rates[arm].append(sum(map(len, outputs)) / (time.process_time() - start))
        cells = [
            f"{statistics.median(rates[arm]):,.0f} ({min(rates[arm]):,.0f} to {max(rates[arm]):,.0f})" for arm in ARMS
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def share_equal(one, two):
    return f"{sum(a == b for a, b in zip(one, two, strict=True))} of {len(one)}"


def measure_abilities(loaded):
    prompts = make_prompts(loaded.tokenizer, 48, seed=2)
    settings = {"samples": 1, "temperature": 1.0}
    reference = [padded(loaded, [p], samples=1, temperature=0.0)[0] for p in prompts]
    for arm, run in ARMS.items():
        torch.manual_seed(0)
        together = run(loaded, prompts, **settings)
        alone = []
        for prompt in prompts[:16]:
            torch.manual_seed(0)
            alone += run(loaded, [prompt], **settings)
        greedy = run(loaded, prompts, samples=1, temperature=0.0)
        read = count_prompt_tokens(loaded, run, prompts[0])
        cells = [share_equal(greedy, reference), share_equal(together[:16], alone), f"{read} of {len(prompts[0])}"]
        print(f"| {arm} | {' | '.join(cells)} |", flush=True)


def count_prompt_tokens(loaded, run, prompt):
    """How many tokens the model reads before it decodes, for 8 samples of one prompt (padding included)."""
    seen = []
    hook = loaded.model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((kwargs["input_ids"] if "input_ids" in kwargs else args[0]).numel()),
        with_kwargs=True,
    )
    run(loaded, [prompt], samples=8, temperature=1.0)
    hook.remove()
    return max(seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="holdfast:tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)
    loaded = load(arguments.model, device="cpu")
    print(
        f"{arguments.model}, {loaded.model.num_parameters():,} parameters, {arguments.threads} thread(s), "
        f"{arguments.rounds} rounds; tokens per second of processor time, median (range)\n"
    )
    measure_speed(loaded, arguments.rounds)
    print("\n| arm | greedy as one prompt alone | T = 1: batched as alone | tokens read for 8 samples of a prompt |")
    print("|---|---|---|---|")
    measure_abilities(loaded)


if __name__ == "__main__":
    main()
