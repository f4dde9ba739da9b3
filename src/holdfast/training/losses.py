"""The divergences that training minimises, and their gradients in closed form.

Notation: z are a token's logits divided by the temperature τ, p = softmax(z) is the student and q
the teacher, one distribution per row. All losses are in nats per row.

    kind            loss of a row                               ∂loss/∂z
    cross_entropy   -log p[target]                              p - onehot(target)
    forward_kl      KL(q || p)                                  p - q
    reverse_kl      KL(p || q)                                  p * (g - <p, g>),  g = log p - log q
    jsd (alpha = a) a KL(q || m) + (1-a) KL(p || m),            same,  g = (1-a) (log p - log m)
                    m = (1-a) p + a q
    top_k_tail      KL of the teacher's K likeliest tokens      p - r,  r = q on those K tokens,
                    and one bucket for all others               r = p * q_tail / p_tail elsewhere

The gradient with respect to the undivided logits is 1/τ of that; nothing is multiplied by τ**2 (as in
the SDFT reference and TRL). `jsd` is TRL's generalised JSD with beta = alpha; at 0 and 1 it is not the
KL but zero, so those values are refused. `clip` scales a row whose loss exceeds it down to exactly
`clip`, and its gradient by the same factor: a row that disagrees wildly (a style token) still
teaches, but no more than the clip's worth. (Clamping the value instead would silence it.)

The `*_rows_` functions turn a few rows of log-probs into gradients in place, which keeps the fused
head loss small and in the processor's cache; `dense_rows` is the same mathematics by plain autograd,
for tests and for tiny inputs.
Shapes: R rows, V vocabulary, K teacher tokens kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from holdfast.errors import ConfigError

DivergenceKind: TypeAlias = Literal["cross_entropy", "forward_kl", "reverse_kl", "jsd", "top_k_tail"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """What is minimised on each row: the kind, and the numbers that kind takes.

    `alpha` is read by "jsd" only and `top_k` by "top_k_tail" only; `clip` is in nats per row.
    """

    kind: DivergenceKind = "forward_kl"
    temperature: float = 1.0
    alpha: float = 0.5
    top_k: int = 64
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(DivergenceKind):
            known = ", ".join(get_args(DivergenceKind))
            raise ConfigError(f"divergence {self.kind!r} is unknown. Use one of: {known}.", param="kind")
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ConfigError(f"temperature must be above 0, not {self.temperature}.", param="temperature")
        if self.kind == "jsd" and not 0 < self.alpha < 1:
            raise ConfigError(
                f"jsd needs 0 < alpha < 1, not {self.alpha}: at 0 and 1 it is zero for every student. "
                "Use forward_kl or reverse_kl for the ends.",
                param="alpha",
            )
        if self.kind == "top_k_tail" and self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, not {self.top_k}.", param="top_k")
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"clip must be above 0 nats, not {self.clip}. Leave it out for none.", param="clip")

    @property
    def needs_teacher(self) -> bool:
        """True for every kind that compares with a teacher."""
        return self.kind != "cross_entropy"


@dataclass(frozen=True, slots=True)
class TopK:
    """A teacher's K likeliest tokens of each row: ids [N, K] and natural log-probs [N, K].

    The log-probs are of the whole vocabulary (they do not sum to 1) at `temperature`.
    """

    ids: Tensor
    logprobs: Tensor
    temperature: float = 1.0


def cross_entropy_rows_(logp_RV: Tensor, targets_R: Tensor, *, grad: bool) -> Tensor:
    """Returns -log p[target] of each row; overwrites the student's log-probs with the gradient."""
    index = targets_R.unsqueeze(-1)
    loss_R = -logp_RV.gather(-1, index).squeeze(-1)
    if grad:
        logp_RV.exp_().scatter_add_(-1, index, logp_RV.new_full(index.shape, -1.0))
    return loss_R


def forward_kl_rows_(logp_RV: Tensor, teacher_RV: Tensor, *, grad: bool) -> Tensor:
    """Returns KL(teacher || student) of each row; overwrites `logp_RV` with the gradient, destroys `teacher_RV`."""
    logq_RV = log_softmax_(teacher_RV)
    q_RV = logq_RV.exp()
    loss_R = logq_RV.sub_(logp_RV).mul_(q_RV).sum(-1)
    if grad:
        logp_RV.exp_().sub_(q_RV)
    return loss_R


def reverse_kl_rows_(logp_RV: Tensor, teacher_RV: Tensor, *, grad: bool) -> Tensor:
    """Returns KL(student || teacher) of each row; overwrites `logp_RV` with the gradient, destroys `teacher_RV`."""
    logq_RV = log_softmax_(teacher_RV)
    g_RV = torch.sub(logp_RV, logq_RV, out=logq_RV)
    p_RV = logp_RV.exp_()
    loss_R = (p_RV * g_RV).sum(-1)
    if grad:
        p_RV.mul_(g_RV.sub_(loss_R.unsqueeze(-1)))
    return loss_R


def jsd_rows_(logp_RV: Tensor, teacher_RV: Tensor, alpha: float, *, grad: bool) -> Tensor:
    """Returns a KL(q || m) + (1-a) KL(p || m), m = (1-a) p + a q; overwrites `logp_RV` with the gradient."""
    logq_RV = log_softmax_(teacher_RV)
    logm_RV = torch.logaddexp(logp_RV + math.log1p(-alpha), logq_RV + math.log(alpha))
    q_to_m_RV = logq_RV - logm_RV
    teacher_part_R = q_to_m_RV.mul_(logq_RV.exp_()).sum(-1)
    p_to_m_RV = torch.sub(logp_RV, logm_RV, out=logm_RV)
    p_RV = logp_RV.exp_()
    student_part_R = (p_RV * p_to_m_RV).sum(-1)
    if grad:
        p_RV.mul_(p_to_m_RV.sub_(student_part_R.unsqueeze(-1)).mul_(1 - alpha))
    return alpha * teacher_part_R + (1 - alpha) * student_part_R


def top_k_tail_rows_(logp_RV: Tensor, ids_RK: Tensor, logq_RK: Tensor, *, grad: bool) -> Tensor:
    """Returns KL(teacher || student) over K tokens and one tail bucket; overwrites `logp_RV` with the gradient.

    A proper KL, so never negative, and a lower bound of the full forward KL.
    """
    logp_RK = logp_RV.gather(-1, ids_RK)
    q_RK = logq_RK.exp()
    q_tail_R = _tail(q_RK, logp_RV.shape[-1])
    p_RV = logp_RV.exp_().scatter_(-1, ids_RK, 0.0)
    p_tail_R = p_RV.sum(-1)  # summed, not 1 - sum(p on K): that would lose every digit of a thin tail
    tail_R = torch.xlogy(q_tail_R, q_tail_R) - torch.xlogy(q_tail_R, p_tail_R.clamp(min=_TINY))
    if grad:
        ratio_R = torch.where(p_tail_R > 0, q_tail_R / p_tail_R.clamp(min=_TINY), 1.0)
        p_RV.mul_((1 - ratio_R).unsqueeze(-1)).scatter_(-1, ids_RK, logp_RK.exp() - q_RK)
    return (q_RK * (logq_RK - logp_RK)).sum(-1) + tail_R


def _tail(q_RK: Tensor, vocab_size: int) -> Tensor:
    """Returns [R] the teacher's mass outside its K tokens; where they are the whole vocabulary, 1 - sum is rounding."""
    tail_R = (1 - q_RK.sum(-1)).clamp(min=0)
    return torch.zeros_like(tail_R) if q_RK.shape[-1] == vocab_size else tail_R


def log_softmax_(z_RV: Tensor) -> Tensor:
    """Returns the log-probs, written over the logits."""
    return torch.log_softmax(z_RV, -1, out=z_RV)


def clip_factor(loss_R: Tensor, clip: float | None) -> Tensor | None:
    """Returns what each row's loss and gradient are multiplied by: clip/loss above the clip, else 1."""
    if clip is None:
        return None
    return torch.where(loss_R > clip, clip / loss_R.clamp(min=clip), 1.0)


def dense_rows(
    divergence: Divergence,
    logits_RV: Tensor,
    *,
    targets: Tensor | None = None,
    teacher_logits: Tensor | None = None,
    teacher_top: TopK | None = None,
) -> Tensor:
    """Returns the loss of each row from whole logits by plain autograd: the reference for the fused path."""
    logp_RV = (logits_RV / divergence.temperature).log_softmax(-1)
    if divergence.kind == "cross_entropy":
        assert targets is not None
        loss_R = -logp_RV.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    elif divergence.kind == "top_k_tail":
        loss_R = _dense_top_k_tail(logp_RV, _top_of(divergence, teacher_logits, teacher_top))
    else:
        assert teacher_logits is not None
        logq_RV = (teacher_logits.detach() / divergence.temperature).log_softmax(-1)
        loss_R = _dense_divergence(divergence, logp_RV, logq_RV)
    factor_R = clip_factor(loss_R.detach(), divergence.clip)
    return loss_R if factor_R is None else loss_R * factor_R


def top_k_of_logits(logits_RV: Tensor, k: int, temperature: float = 1.0) -> TopK:
    """Returns the `k` likeliest tokens of each row and their log-probs over the whole vocabulary."""
    scaled_RV = logits_RV / temperature if temperature != 1.0 else logits_RV
    top = scaled_RV.topk(min(k, logits_RV.shape[-1]), dim=-1)
    return TopK(top.indices, top.values - scaled_RV.logsumexp(-1, keepdim=True), temperature)


def _top_of(divergence: Divergence, teacher_logits: Tensor | None, teacher_top: TopK | None) -> TopK:
    if teacher_top is not None:
        return teacher_top
    assert teacher_logits is not None
    return top_k_of_logits(teacher_logits.detach(), divergence.top_k, divergence.temperature)


def _dense_divergence(divergence: Divergence, logp_RV: Tensor, logq_RV: Tensor) -> Tensor:
    if divergence.kind == "forward_kl":
        return (logq_RV.exp() * (logq_RV - logp_RV)).sum(-1)
    if divergence.kind == "reverse_kl":
        return (logp_RV.exp() * (logp_RV - logq_RV)).sum(-1)
    alpha = divergence.alpha
    logm_RV = torch.logaddexp(logp_RV + math.log1p(-alpha), logq_RV + math.log(alpha))
    teacher_R = (logq_RV.exp() * (logq_RV - logm_RV)).sum(-1)
    student_R = (logp_RV.exp() * (logp_RV - logm_RV)).sum(-1)
    return alpha * teacher_R + (1 - alpha) * student_R


def _dense_top_k_tail(logp_RV: Tensor, top: TopK) -> Tensor:
    q_RK = top.logprobs.exp()
    q_tail_R = _tail(q_RK, logp_RV.shape[-1])
    p_tail_R = logp_RV.exp().scatter(-1, top.ids, 0.0).sum(-1)
    on_k_R = (q_RK * (top.logprobs - logp_RV.gather(-1, top.ids))).sum(-1)
    return on_k_R + torch.xlogy(q_tail_R, q_tail_R) - torch.xlogy(q_tail_R, p_tail_R.clamp(min=_TINY))


_TINY = 1e-37  # smallest normal float32 is 1.2e-38; below this a tail has no weight worth a logarithm
