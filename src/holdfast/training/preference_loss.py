"""The loss of Direct Preference Optimization, on the log-probabilities of whole answers.

    h = beta [(logp_w - ref_w) - (logp_l - ref_l)]                 w preferred, l rejected; sums over an answer's tokens
    loss = -(1 - e) log sigmoid(h) - e log sigmoid(-h)             e = label smoothing

    d loss / d logp_w = -beta (sigmoid(-h) - e) = -d loss / d logp_l

Sources: Rafailov et al. 2023 (DPO, arXiv:2305.18290), Eq. 7; Mitchell 2023 ("A note on DPO with noisy preferences")
for e, the share of pairs whose answers are held to be in the wrong order.

Shapes: P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """Of each pair, [P]: the loss in nats, differentiable; and, detached, the implicit rewards of both answers.

    An answer's reward is beta (logp - ref): how much likelier it is than it was, in nats times beta.
    """

    per_pair: Tensor
    preferred_reward: Tensor
    rejected_reward: Tensor

    @property
    def margin(self) -> Tensor:
        """By how much the preferred answer's reward is the greater, [P]."""
        return self.preferred_reward - self.rejected_reward


def preference_loss(
    preferred: Tensor, rejected: Tensor, reference: tuple[Tensor, Tensor], *, beta: float, label_smoothing: float = 0.0
) -> PreferenceLoss:
    """Returns the sigmoid loss of each pair.

    Args:
        preferred: [P] log-probability of each preferred answer under the candidate, in nats.
        rejected: [P] that of each rejected answer.
        reference: both under the frozen version; without gradient.
        beta: how dear it is to move away from the reference; above 0.
        label_smoothing: the share e of pairs that are held to be the wrong way round, below 0.5.
    """
    rewards = [beta * (logp - frozen.detach()) for logp, frozen in zip((preferred, rejected), reference, strict=True)]
    h = rewards[0] - rewards[1]
    per_pair = -(1 - label_smoothing) * logsigmoid(h) - label_smoothing * logsigmoid(-h)
    return PreferenceLoss(per_pair, rewards[0].detach(), rewards[1].detach())
