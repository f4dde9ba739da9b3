"""Makes the embedded base: `python -m holdfast.models.pretrain --out FOLDER`.

Choices made here. Items are drawn fresh and never repeat (but for facts). The loss covers prompt
tokens too, at a lower weight, so that the base can write its own user prompts. A step draws items
at random, sorts them by length and cuts them into right-padded micro-batches: causal attention
then needs no mask and no packed row can leak into its neighbour. Hidden matrices are trained with
Muon (Jordan et al. 2024), everything else with AdamW; the rate warms up, holds, and decays to zero.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from holdfast.models.curriculum import MAKERS, PHASES, Item, draw
from holdfast.models.threads import choose_threads
from holdfast.models.tiny import PAD_ID, build_config, build_tokenizer, render_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

SAVE_EVERY = 50
"""Steps after which a killed run goes on where it was."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one pre-training run; the defaults made the shipped weights."""

    seed: int = 0
    num_steps: int = 6_800
    items_per_step: int = 48
    micro_batches: int = 6
    matrix_lr: float = 0.02
    other_lr: float = 4e-3
    warmup: float = 0.02
    decay: float = 0.72
    prompt_weight: float = 0.3
    probe_items: int = 100
    optimizer: str = "muon"


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of one item with a loss weight for each."""

    ids: list[int]
    weights: list[float]


def render(tokenizer: PreTrainedTokenizerFast, items: Sequence[Item], prompt_weight: float) -> list[Row]:
    """Returns the rows of `items`: weight 1 on what the assistant writes, `prompt_weight` elsewhere."""
    out = []
    for item in items:
        ids, said = render_turns(tokenizer, item.messages, item.tools)
        out.append(Row(ids, [1.0 if spoken else prompt_weight for spoken in said]))
    return out


def collate(rows: Sequence[Row], device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns right-padded ids and weights, both [B, T]; padding and the first token weigh nothing."""
    width = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), width), PAD_ID)
    weights = torch.zeros(len(rows), width)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        weights[i, : len(row.ids)] = torch.tensor(row.weights)
    return ids.to(device), weights.to(device)


def logits_of(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Returns next-token logits [B, T-1, V]; right padding needs no mask under causal attention."""
    return model(input_ids=ids[:, :-1], use_cache=False).logits


class Muon:
    """Momentum whose update is orthogonalised by five Newton-Schulz steps, in fp32 and by shape.

    Source: Keller Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    torch.optim.Muon computes in bf16, which is slow on CPUs without that instruction.
    """

    def __init__(self, parameters: Sequence[Tensor], momentum: float = 0.95) -> None:
        self.momentum = momentum
        groups: dict[torch.Size, list[Tensor]] = {}
        for parameter in parameters:
            groups.setdefault(parameter.shape, []).append(parameter)
        self.groups = list(groups.values())
        self.buffers = [torch.zeros(len(g), *g[0].shape, device=g[0].device) for g in self.groups]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Moves every matrix by `lr` times its orthogonalised momentum, scaled by its shape."""
        for group, buffer in zip(self.groups, self.buffers, strict=True):
            grad = torch.stack([p.grad for p in group if p.grad is not None])
            buffer.mul_(self.momentum).add_(grad)
            update = orthogonalise(grad + self.momentum * buffer)
            scale = max(1.0, update.shape[1] / update.shape[2]) ** 0.5
            for parameter, delta in zip(group, update, strict=True):
                parameter.mul_(1 - lr * 0.01).sub_(delta, alpha=lr * scale)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Returns an approximation of U Vᵀ for each matrix U S Vᵀ of [N, R, C]."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.shape[1] > matrices.shape[2]
    x = matrices.transpose(1, 2) if wide else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if wide else x


def rate(step: int, recipe: Recipe) -> float:
    """Returns the factor on the learning rates: warm up, hold, decay linearly to zero."""
    progress = step / recipe.num_steps
    return min(1.0, (step + 1) / max(1, recipe.warmup * recipe.num_steps), (1.0 - progress) / recipe.decay)


def stream(recipe: Recipe, start: int) -> Iterator[list[Item]]:
    """Yields the items of each step from `start` on; a step's items depend on seed and step only."""
    for step in range(start, recipe.num_steps):
        mix = next(shares for first, shares in reversed(PHASES) if step >= first)
        makers, shares = list(mix), list(mix.values())
        rng = random.Random(f"{recipe.seed} {step}")
        yield [draw(maker, rng) for maker in rng.choices(makers, shares, k=recipe.items_per_step)]


@torch.no_grad()
def exact_match(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, num_items: int) -> dict[str, float]:
    """Returns, per maker, the share of held-out items whose whole last turn is the argmax.

    With teacher forcing this equals greedy generation of exactly that turn, and costs one forward.
    """
    model.eval()
    scores = {}
    for maker in MAKERS:
        rng = random.Random(f"probe {maker}")
        items = [draw(maker, rng, "test") for _ in range(num_items)]
        rows = render(tokenizer, items, 0.0)
        ids, weights = collate(rows, model.device)
        right = (logits_of(model, ids).argmax(-1) == ids[:, 1:]) | (weights[:, 1:] == 0)
        last = [len(r.weights) - next(i for i, w in enumerate(reversed(r.weights)) if w == 0.0) for r in rows]
        hits = [bool(right[i, start - 1 :].all()) for i, start in enumerate(last)]
        scores[maker] = sum(hits) / len(hits)
    model.train()
    return scores


class Pretraining:
    """A model with its tokenizer and optimizers, and how far it has come."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.tokenizer = build_tokenizer(recipe.seed)
        self.model = LlamaForCausalLM(build_config(self.tokenizer)).train()
        cast("torch.nn.Module", self.model).to(device)
        matrices = [p for n, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in self.model.named_parameters() if p.ndim != 2 or "embed" in n]
        if recipe.optimizer == "adamw":
            others, matrices = others + matrices, []
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW(others, lr=recipe.other_lr, betas=(0.9, 0.98), weight_decay=0.01)
        self.done, self.tokens = 0, 0

    def step(self, items: Sequence[Item]) -> float:
        """Makes one update on `items` and returns the weighted loss per token, in nats."""
        rows = sorted(render(self.tokenizer, items, self.recipe.prompt_weight), key=lambda row: len(row.ids))
        size = -(-len(rows) // self.recipe.micro_batches)
        total = sum(sum(row.weights[1:]) for row in rows)
        loss_sum = 0.0
        for at in range(0, len(rows), size):
            ids, weights = collate(rows[at : at + size], self.model.device)
            logits = logits_of(self.model, ids).flatten(0, 1)
            nll = functional.cross_entropy(logits, ids[:, 1:].flatten(), reduction="none")
            loss = (nll * weights[:, 1:].flatten()).sum() / total
            loss.backward()
            loss_sum += loss.item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        factor = rate(self.done, self.recipe)
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.other_lr * factor
        self.adam.step()
        self.muon.step(self.recipe.matrix_lr * factor)
        self.model.zero_grad()
        self.tokens += sum(len(row.ids) for row in rows)
        self.done += 1
        return loss_sum

    def save(self, out: Path, seconds: float) -> None:
        """Writes the model, its tokenizer, and the state that a resumed run needs."""
        self.model.save_pretrained(out)
        self.tokenizer.save_pretrained(out)
        state = {"model": self.model.state_dict(), "adam": self.adam.state_dict(), "muon": self.muon.buffers}
        torch.save({**state, "step": self.done, "tokens": self.tokens, "seconds": seconds}, out / "state.tmp")
        (out / "state.tmp").replace(out / "state.pt")

    def resume(self, state_file: Path) -> float:
        """Takes a saved state up and returns the seconds spent before it."""
        state = torch.load(state_file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.adam.load_state_dict(state["adam"])
        self.muon.buffers = state["muon"]
        self.done, self.tokens = state["step"], state["tokens"]
        return float(state["seconds"])


def train(
    recipe: Recipe,
    out: Path,
    log_every: int,
    device: torch.device,
    *,
    stop_after: int | None = None,
    threads: int | None = None,
) -> None:
    """Trains from `recipe` and writes the model, its tokenizer and `trace.jsonl` to `out`; resumes a stopped run.

    `stop_after` ends the sitting after that step, to be resumed by the same call without it; `threads` are
    measured when none are given.
    """
    run = Pretraining(recipe, device)
    if threads is None:
        say(f"{device}: {choose_threads(cast('PreTrainedModel', run.model)).reason}")
    else:
        torch.set_num_threads(threads)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    if (out / "state.pt").exists():
        started -= run.resume(out / "state.pt")
        say(f"{out}: resumed after step {run.done:,}.")
    for items in stream(recipe, run.done):
        loss = run.step(items)
        ends = run.done == recipe.num_steps
        if run.done % log_every == 0 or ends:
            scores = exact_match(run.model, run.tokenizer, recipe.probe_items)
            seconds = time.monotonic() - started
            spent = {"step": run.done, "tokens": run.tokens, "seconds": round(seconds), "loss": round(loss, 3)}
            on = {"device": device.type, "threads": torch.get_num_threads()}
            with (out / "trace.jsonl").open("a") as trace:
                trace.write(json.dumps({**spent, **on, **scores}) + "\n")
            pace = seconds / run.done
            left = f"{(recipe.num_steps - run.done) * pace / 60:.0f} min left"
            known = ", ".join(f"{maker} {score:.2f}" for maker, score in scores.items())
            say(f"step {run.done:,} of {recipe.num_steps:,}, {pace:.2f} s a step, {left}, loss {loss:.3f}: {known}")
        if run.done % SAVE_EVERY == 0 or run.done == stop_after or ends:
            run.save(out, time.monotonic() - started)
        if run.done == stop_after:
            return
    (out / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)  # noqa: T201 - this script talks to a person


def main() -> None:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe().num_steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="measured when not given")
    parser.add_argument("--log-every", type=int, default=500, help="steps between measurements of all abilities")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=NUMBER")
    options = parser.parse_args()
    extra = {}
    for pair in options.set:
        field, value = pair.split("=")
        kind = type(getattr(Recipe(), field))
        extra[field] = kind(value)
    recipe = Recipe(seed=options.seed, num_steps=options.steps, **extra)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train(recipe, options.out, options.log_every, device, threads=options.threads)


if __name__ == "__main__":
    main()
