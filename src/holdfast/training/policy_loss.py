"""The clipped policy-gradient loss on the log-probabilities of sampled tokens.

    l_t = -min(r_t A, clip(r_t, 1 - e_low, 1 + e_high) A) + beta * k_t
    r_t = exp(logp_t - old_t)            (token level), or
    r   = exp(mean over the sequence)    (sequence level: Zheng et al. 2025, GSPO, arXiv:2507.18071)
    k_t = exp(ref_t - logp_t) - (ref_t - logp_t) - 1    (Schulman's k3 estimate of KL to the reference)

Sources: Shao et al. 2024 (GRPO, arXiv:2402.03300), Yu et al. 2025 (DAPO, arXiv:2503.14476: e_high > e_low, mean
over tokens), Liu et al. 2025 (Dr. GRPO, arXiv:2503.20783: no division by length or spread).

How the losses of tokens add up to one (`token_shares`, `PolicyLoss.total`): `sequence` = mean of each sequence, then
of all (GRPO); `token` = mean over all tokens (DAPO); `budget` = sum over tokens / (sequences x longest allowed)
(Dr. GRPO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from holdfast.training.reflect_config import PolicyConfig

Shares = Literal["sequence", "token", "budget"]
_SHARES: dict[str, Shares] = {"grpo": "sequence", "dapo": "token", "dr_grpo": "budget"}


@dataclass(frozen=True, slots=True)
class PolicyObjective:
    """Settings of the loss; `beta` weighs the KL to the reference.

    `shares` is how the losses of tokens add up, and `scale` what a group's advantages are divided by.
    """

    beta: float = 0.0
    epsilon_low: float = 0.2
    epsilon_high: float = 0.2
    level: Literal["token", "sequence"] = "token"
    shares: Shares = "token"
    scale: Literal["group", "none"] = "group"

    @classmethod
    def of(cls, config: PolicyConfig) -> PolicyObjective:
        """Returns what a recipe's settings stand for; Dr. GRPO divides by neither length nor spread."""
        return cls(
            beta=config.chosen_beta,
            epsilon_low=config.epsilon_low,
            epsilon_high=config.chosen_epsilon_high,
            level=config.ratio,
            shares=_SHARES[config.chosen_loss],
            scale="none" if config.chosen_loss == "dr_grpo" else "group",
        )


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """Per token, [N], differentiable in `logp`: the loss; and, detached, the KL estimate and which were clipped."""

    per_token: Tensor
    kl: Tensor
    clipped: Tensor

    def total(self, shares: Sequence[float], lengths: Sequence[int]) -> Tensor:
        """Returns the loss as one number; `shares` has for each sequence what each of its tokens counts."""
        return (self.per_token * spread(shares, lengths, self.per_token)).sum()


def policy_loss(
    logp: Tensor, old: Tensor, advantage: Tensor, lengths: Sequence[int], objective: PolicyObjective,
    reference: Tensor | None = None,
) -> PolicyLoss:  # fmt: skip
    """Returns the loss of each token.

    Args:
        logp: [N] log-probabilities of the sampled tokens under the policy, in nats, sequence after sequence.
        old: [N] those under the policy that sampled them; without gradient.
        advantage: [N] the advantage of each token's sequence.
        lengths: number of tokens of each sequence; their sum is N.
        objective: the settings.
        reference: [N] log-probabilities under the reference; needed where `beta` is not 0.
    """
    log_ratio = logp - old.detach()
    if objective.level == "sequence":
        log_ratio = torch.repeat_interleave(
            torch.stack([part.mean() for part in log_ratio.split(list(lengths))]),
            torch.tensor(lengths, device=logp.device),
        )
    ratio = log_ratio.exp()
    bounded = ratio.clamp(1 - objective.epsilon_low, 1 + objective.epsilon_high)
    per_token = -torch.minimum(ratio * advantage, bounded * advantage)
    clipped = (ratio * advantage > bounded * advantage).detach()
    kl = torch.zeros_like(logp)
    if objective.beta and reference is not None:
        distance = reference.detach() - logp
        kl = distance.exp() - distance - 1
        per_token = per_token + objective.beta * kl
    return PolicyLoss(per_token, kl.detach(), clipped)


def spread(values: Sequence[float], lengths: Sequence[int], like: Tensor) -> Tensor:
    """Returns [N] each sequence's value at each of its tokens, of the dtype and on the device of `like`."""
    each = torch.tensor(values, dtype=like.dtype, device=like.device)
    return torch.repeat_interleave(each, torch.tensor(lengths, device=like.device))


def token_shares(lengths: Sequence[int], kind: Shares, budget: int) -> list[float]:
    """Returns for each sequence the share that each of its tokens has in the loss of a whole batch.

    >>> token_shares([1, 3], "sequence", 8)
    [0.5, 0.16666666666666666]
    >>> token_shares([1, 3], "token", 8)
    [0.25, 0.25]
    >>> token_shares([1, 3], "budget", 8)
    [0.0625, 0.0625]
    """
    if kind == "sequence":
        return [1 / (len(lengths) * max(1, length)) for length in lengths]
    total = sum(lengths) if kind == "token" else len(lengths) * budget
    return [1 / max(1, total)] * len(lengths)
