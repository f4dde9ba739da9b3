"""How the next token is chosen: settings, per-sequence seeds, and the choice itself."""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from holdfast.errors import ConfigError
from holdfast.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of generation. Temperature 0 takes the likeliest token; top_p 1 and top_k 0 leave nothing out.

    `stop` are strings that end a completion and are cut from its text; `stop_token_ids` end it besides the
    tokens that end a turn or a text, which always do. `seed` and the prompt determine the tokens.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    num_samples: int = 1
    seed: int = 0
    stop_token_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for key, fine, wanted in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("num_samples", self.num_samples >= 1, "at least 1"),
            ("temperature", self.temperature >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("stop", all(self.stop), "strings that are not empty"),
        ):
            if not fine:
                raise ConfigError(f"{key} = {getattr(self, key)!r}: it must be {wanted}.", param=key)
        if self.temperature == 0 and (self.top_p < 1 or self.top_k > 0):
            raise ConfigError("top_p and top_k have no effect at temperature 0. Leave them out.", param="temperature")


def uniforms(seed: int, prompt: Sequence[int], sample_index: int, num_draws: int) -> Tensor:
    """Returns the `num_draws` numbers in [0, 1) that choose the tokens of one sequence, in float64.

    They depend on the seed, the prompt's content and the sample's index, and on nothing else.
    """
    content = hashlib.sha256(array("q", prompt).tobytes()).hexdigest()
    generator = torch.Generator().manual_seed(derive_seed(seed, f"generate {content}", 0, sample_index))
    return torch.rand(num_draws, dtype=torch.float64, generator=generator)


def choose(logits_BV: Tensor, sampling: Sampling, uniform_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns the chosen token ids [B] and their natural-log probabilities [B] in float64.

    The probability is the model's at this temperature (at 1 when greedy), before top-k and top-p. The
    draw inverts the cumulative distribution in float64 at a number fixed beforehand, so that the last
    bits of the logits matter only within their own size of a boundary between two tokens.
    """
    if uniform_B is None:
        tokens_B = logits_BV.argmax(dim=-1)
        picked_B = logits_BV.gather(1, tokens_B[:, None])[:, 0]
        return tokens_B, (picked_B - logits_BV.logsumexp(dim=-1)).double()
    probs_BV = (logits_BV.double() / sampling.temperature).softmax(dim=-1)
    kept_BV = _keep(probs_BV, sampling)
    total_BV = kept_BV.cumsum(dim=-1)
    target_B1 = uniform_B[:, None] * total_BV[:, -1:]
    tokens_B1 = torch.searchsorted(total_BV, target_B1, right=True).clamp_(max=logits_BV.shape[1] - 1)
    return tokens_B1[:, 0], probs_BV.gather(1, tokens_B1)[:, 0].log()


def _keep(probs_BV: Tensor, sampling: Sampling) -> Tensor:
    """Returns the probabilities with those outside top-k and top-p set to 0."""
    vocab_size = probs_BV.shape[1]
    if sampling.top_k in range(1, vocab_size):
        floor_B1 = probs_BV.topk(sampling.top_k, dim=-1).values[:, -1:]
        probs_BV = probs_BV.masked_fill(probs_BV < floor_B1, 0.0)
    if sampling.top_p < 1:
        sorted_BV, order_BV = probs_BV.sort(dim=-1, descending=True, stable=True)
        before_BV = sorted_BV.cumsum(dim=-1) - sorted_BV
        limit_B1 = sampling.top_p * probs_BV.sum(dim=-1, keepdim=True)
        sorted_BV = sorted_BV.masked_fill(before_BV >= limit_B1, 0.0)
        probs_BV = torch.zeros_like(probs_BV).scatter_(1, order_BV, sorted_BV)
    return probs_BV
