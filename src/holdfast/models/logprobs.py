"""How likely a model finds given tokens, computed without ever holding all rows' logits at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from holdfast.models.layout import TokenRow
    from holdfast.models.learner import Head, Learner, Which

BLOCK_BYTES = 32 * 2**20
BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class RowLogprobs:
    """Of one row's masked tokens: natural-log probabilities, and how many of them are the likeliest token."""

    logprobs: list[float]
    num_likeliest: int

    @property
    def mean_nll(self) -> float:
        """The mean negative log-likelihood in nats per token; 0 for a row with no masked token."""
        return -sum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


def row_logprobs(
    learner: Learner, rows: Sequence[TokenRow], which: Which, *, packed: bool = False
) -> list[RowLogprobs]:
    """Returns for each row how likely `which` finds its masked tokens, in the rows' order."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].input_ids))
    results: dict[int, RowLogprobs] = {}
    with torch.no_grad():
        for group in _groups([len(rows[i].input_ids) for i in order]):
            members = [order[k] for k in group]
            batch = [rows[i] for i in members]
            targets = [t for row in batch for t, masked in zip(row.input_ids, row.mask, strict=True) if masked]
            logprobs, likeliest = token_logprobs(
                learner.hidden(batch, which, packed=packed),
                learner.head(which),
                torch.tensor(targets, dtype=torch.long),
            )
            start = 0
            for index, row in zip(members, batch, strict=True):
                end = start + sum(row.mask)
                results[index] = RowLogprobs(logprobs[start:end], sum(likeliest[start:end]))
                start = end
    return [results[i] for i in range(len(rows))]


def token_logprobs(hidden: Tensor, head: Head, targets: Tensor) -> tuple[list[float], list[bool]]:
    """Returns the log-probability of each target from its hidden state, and whether it is the likeliest token."""
    block = max(1, BLOCK_BYTES // (4 * head.weight.shape[0]))
    logprobs: list[float] = []
    likeliest: list[bool] = []
    for start in range(0, len(targets), block):
        part, wanted = hidden[start : start + block], targets[start : start + block].to(hidden.device)
        logits = torch.nn.functional.linear(part.to(head.weight.dtype), head.weight, head.bias).float()
        picked = logits.gather(1, wanted[:, None])[:, 0]
        logprobs += (picked - logits.logsumexp(dim=-1)).tolist()
        likeliest += (logits.argmax(dim=-1) == wanted).tolist()
    return logprobs, likeliest


def _groups(lengths: Sequence[int]) -> list[list[int]]:
    """Returns consecutive indices in batches of about `BATCH_TOKENS` padded tokens; lengths are ascending."""
    groups: list[list[int]] = []
    for index, length in enumerate(lengths):
        if not groups or (len(groups[-1]) + 1) * length > BATCH_TOKENS:
            groups.append([])
        groups[-1].append(index)
    return groups
