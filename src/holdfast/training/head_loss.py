"""The fused head loss: hidden states in, loss and gradient out, in blocks of rows.

The usual way projects N hidden states onto V tokens and keeps several [N, V] tensors alive for the
backward pass: with 8k tokens and a 152k vocabulary that is 28 GiB. Here a block of rows is projected,
its loss and the gradient of its logits are computed in closed form (`losses`), that gradient is
projected back onto the hidden states right away, and the block's buffers are used for the next one.
What survives is [N, H] (and the head's own gradient where the head is trained), so the peak does
not depend on N * V. Rows that carry no loss (prompts, skipped tokens) should not be handed in at all.

Shapes: N rows in all, R rows of a block, H hidden size, V vocabulary, K teacher tokens kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from holdfast.errors import ConfigError
from holdfast.training import losses
from holdfast.training.losses import Divergence, TopK

BLOCK_BYTES = 32 * 2**20
"""Size of one [R, V] buffer; a block uses up to three of them."""


@dataclass(frozen=True, slots=True)
class HeadLoss:
    """What `head_loss` returns.

    loss: sum over rows of row_weight * row loss; differentiable.
    per_row: [N] nats, after clipping, unweighted, detached.
    sampled_logprob: [N] student log-prob of the targets at the divergence's temperature, detached;
        None without targets.
    entropy: [N] nats of the student at that temperature, detached; None unless asked for.
    """

    loss: Tensor
    per_row: Tensor
    sampled_logprob: Tensor | None
    entropy: Tensor | None


@dataclass(frozen=True, slots=True)
class _Head:
    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Everything that carries no gradient."""

    row_weights: Tensor
    targets: Tensor | None
    teacher_hidden: Tensor | None
    teacher: _Head | None
    teacher_top: TopK | None
    divergence: Divergence
    block_rows: int
    want_entropy: bool


def head_loss(
    hidden: Tensor,
    head_weight: Tensor,
    head_bias: Tensor | None,
    row_weights: Tensor,
    *,
    divergence: Divergence,
    targets: Tensor | None = None,
    teacher_hidden: Tensor | None = None,
    teacher_weight: Tensor | None = None,
    teacher_bias: Tensor | None = None,
    teacher_top: TopK | None = None,
    block_rows: int | None = None,
    want_entropy: bool = False,
) -> HeadLoss:
    """Returns the weighted sum over rows of a divergence, in nats, with its gradient already worked out.

    The gradient reaches `hidden`, and `head_weight` and `head_bias` where they require it; teacher
    and row weights are constants. Logits are accumulated in float32 whatever the model's dtype.

    Args:
        hidden: [N, H] final hidden states of the rows that carry loss.
        head_weight: [V, H] the student's output head.
        head_bias: [V] or None.
        row_weights: [N] share of each row in the loss.
        divergence: what is minimised.
        targets: [N] token ids: needed by cross_entropy, and for `sampled_logprob` with any kind.
        teacher_hidden: [N, H'] the teacher's hidden states for the same tokens.
        teacher_weight: [V, H'] the teacher's head; None means the student's.
        teacher_bias: [V]; None means none (or the student's, when `teacher_weight` is None too).
        teacher_top: cached top-K in place of `teacher_hidden` (kind top_k_tail only).
        block_rows: rows of a block; None chooses from V.
        want_entropy: also return the student's entropy.

    Raises:
        ConfigError: an input that the divergence needs is missing, or one is given that it would ignore.
    """
    _check(hidden, head_weight, row_weights, divergence, targets, teacher_hidden, teacher_weight, teacher_top)
    teacher = None
    if teacher_hidden is not None:
        teacher = (
            _Head(head_weight.detach(), head_bias.detach() if head_bias is not None else None)
            if teacher_weight is None
            else _Head(teacher_weight.detach(), teacher_bias.detach() if teacher_bias is not None else None)
        )
    inputs = _Inputs(
        row_weights=row_weights.detach(),
        targets=targets,
        teacher_hidden=teacher_hidden.detach() if teacher_hidden is not None else None,
        teacher=teacher,
        teacher_top=teacher_top,
        divergence=divergence,
        block_rows=block_rows or choose_block_rows(head_weight.shape[0]),
        want_entropy=want_entropy,
    )
    loss, per_row, sampled, entropy = _FusedHeadLoss.apply(
        hidden, head_weight, head_bias, inputs, torch.is_grad_enabled()
    )
    return HeadLoss(loss, per_row, sampled, entropy)


def teacher_top_k(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    k: int,
    *,
    temperature: float = 1.0,
    block_rows: int | None = None,
) -> TopK:
    """Returns the teacher's `k` likeliest tokens of each row, block by block: 8 bytes or so a token to keep."""
    rows, head = block_rows or choose_block_rows(weight.shape[0]), _Head(weight.detach(), _detached(bias))
    with torch.no_grad():
        parts = [
            losses.top_k_of_logits(_project(block, head, None), k, temperature) for block in hidden.detach().split(rows)
        ]
    return TopK(torch.cat([part.ids for part in parts]), torch.cat([part.logprobs for part in parts]), temperature)


def choose_block_rows(vocab_size: int) -> int:
    """Returns how many rows of float32 logits make one buffer of about `BLOCK_BYTES`."""
    return max(16, BLOCK_BYTES // (4 * vocab_size))


class _FusedHeadLoss(torch.autograd.Function):
    """Works out loss and gradients in one pass forward; backward only scales them."""

    @staticmethod
    def forward(ctx, hidden, head_weight, head_bias, inputs, grad_enabled):  # noqa: ANN001, ANN205
        needs = [grad_enabled and t is not None and t.requires_grad for t in (hidden, head_weight, head_bias)]
        with torch.autocast(hidden.device.type, enabled=False):
            blocks = _Blocks(hidden, _Head(head_weight, head_bias), inputs, needs)
            for start in range(0, hidden.shape[0], inputs.block_rows):
                blocks.run(slice(start, start + inputs.block_rows))
        loss = torch.dot(inputs.row_weights.to(blocks.per_row.dtype), blocks.per_row)
        ctx.save_for_backward(*blocks.gradients(hidden.dtype, head_weight.dtype))
        outputs = (loss, blocks.per_row, blocks.sampled, blocks.entropy)
        ctx.mark_non_differentiable(*[t for t in outputs[1:] if t is not None])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # noqa: ANN001, ANN002, ANN205 # pyright: ignore[reportIncompatibleMethodOverride]
        return *[None if g is None else g * grad_outputs[0] for g in ctx.saved_tensors], None, None


class _Blocks:
    """The buffers of one pass, and what is accumulated over its blocks."""

    def __init__(self, hidden: Tensor, head: _Head, inputs: _Inputs, needs: list[bool]) -> None:
        self.hidden, self.head, self.inputs = hidden, head, inputs
        self.dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        num_rows, vocab_size = hidden.shape[0], head.weight.shape[0]
        shape = (min(inputs.block_rows, num_rows), vocab_size)
        num_buffers = 3 if inputs.teacher is not None else 1
        self.buffers = [hidden.new_empty(shape, dtype=self.dtype) for _ in range(num_buffers)]
        self.per_row = hidden.new_empty(num_rows, dtype=self.dtype)
        self.sampled = None if inputs.targets is None else torch.empty_like(self.per_row)
        self.entropy = torch.empty_like(self.per_row) if inputs.want_entropy else None
        self.grad_hidden = hidden.new_empty(hidden.shape, dtype=self.dtype) if needs[0] else None
        self.grad_weight = head.weight.new_zeros(head.weight.shape, dtype=self.dtype) if needs[1] else None
        self.grad_bias = head.weight.new_zeros(vocab_size, dtype=self.dtype) if needs[2] else None

    def run(self, rows: slice) -> None:
        """Fills in the results of one block of rows."""
        hidden_RH = self.hidden[rows]
        buffers = [buffer[: hidden_RH.shape[0]] for buffer in self.buffers]
        z_RV = _project(hidden_RH, self.head, buffers[0])
        if self.inputs.divergence.temperature != 1.0:
            z_RV.div_(self.inputs.divergence.temperature)
        self._observe(rows, z_RV)
        grad = any(g is not None for g in (self.grad_hidden, self.grad_weight, self.grad_bias))
        loss_R = self._loss_(rows, z_RV, buffers, grad=grad)
        factor_R = losses.clip_factor(loss_R, self.inputs.divergence.clip)
        self.per_row[rows] = loss_R if factor_R is None else loss_R * factor_R
        if grad:
            scale_R = self.inputs.row_weights[rows].to(self.dtype) / self.inputs.divergence.temperature
            self._backward(rows, z_RV, scale_R if factor_R is None else scale_R * factor_R)

    def _observe(self, rows: slice, z_RV: Tensor) -> None:
        if self.entropy is not None:
            logp_RV = z_RV.log_softmax(-1)
            self.entropy[rows] = -(logp_RV.exp() * logp_RV).sum(-1)
        if self.sampled is not None and self.inputs.divergence.needs_teacher:
            assert self.inputs.targets is not None
            chosen_R = z_RV.gather(-1, self.inputs.targets[rows].unsqueeze(-1)).squeeze(-1)
            self.sampled[rows] = chosen_R - z_RV.logsumexp(-1)

    def _loss_(self, rows: slice, z_RV: Tensor, buffers: list[Tensor], *, grad: bool) -> Tensor:
        inputs, divergence = self.inputs, self.inputs.divergence
        if divergence.kind == "cross_entropy":
            assert inputs.targets is not None
            assert self.sampled is not None
            loss_R = losses.cross_entropy_rows_(z_RV, inputs.targets[rows], grad=grad)
            self.sampled[rows] = -loss_R
            return loss_R
        if inputs.teacher_top is not None:
            ids_RK, logq_RK = inputs.teacher_top.ids[rows], inputs.teacher_top.logprobs[rows].to(self.dtype)
            return losses.top_k_tail_rows_(z_RV, ids_RK, logq_RK, grad=grad)
        assert inputs.teacher_hidden is not None
        assert inputs.teacher is not None
        teacher_RV = _project(inputs.teacher_hidden[rows], inputs.teacher, buffers[1])
        if divergence.temperature != 1.0:
            teacher_RV.div_(divergence.temperature)
        if divergence.kind == "top_k_tail":
            top = losses.top_k_of_logits(teacher_RV, divergence.top_k)
            return losses.top_k_tail_rows_(z_RV, top.ids, top.logprobs, grad=grad)
        if divergence.kind == "forward_kl":
            return losses.forward_kl_rows_(z_RV, teacher_RV, buffers[2], grad=grad)
        if divergence.kind == "reverse_kl":
            return losses.reverse_kl_rows_(z_RV, teacher_RV, buffers[2], grad=grad)
        return losses.jsd_rows_(z_RV, teacher_RV, buffers[2], divergence.alpha, grad=grad)

    def _backward(self, rows: slice, grad_RV: Tensor, scale_R: Tensor) -> None:
        """Projects the logits' gradient back; scaling [R, H] instead of [R, V] saves a pass over the block."""
        weight, hidden_RH = self.head.weight, self.hidden[rows]
        if self.grad_hidden is not None:
            back_RH = torch.mm(grad_RV.to(weight.dtype), weight)
            self.grad_hidden[rows] = back_RH.to(self.dtype) * scale_R.unsqueeze(-1)
        if self.grad_weight is not None:
            self.grad_weight.addmm_(grad_RV.t(), hidden_RH.to(self.dtype) * scale_R.unsqueeze(-1))
        if self.grad_bias is not None:
            self.grad_bias.addmv_(grad_RV.t(), scale_R)

    def gradients(self, hidden_dtype: torch.dtype, weight_dtype: torch.dtype) -> list[Tensor | None]:
        """Returns the gradients of hidden, weight and bias in the dtypes autograd expects."""
        pairs = (
            (self.grad_hidden, hidden_dtype),
            (self.grad_weight, weight_dtype),
            (self.grad_bias, self.head.bias.dtype if self.head.bias is not None else weight_dtype),
        )
        return [None if g is None else g.to(dtype) for g, dtype in pairs]


def _project(hidden_RH: Tensor, head: _Head, out_RV: Tensor | None) -> Tensor:
    """Returns float32 (or float64) logits, written into `out_RV` where one is given.

    The product runs in the head's dtype, so a bf16 head multiplies in bf16, as the model itself would.
    """
    hidden_RH = hidden_RH.to(head.weight.dtype)
    same = out_RV is not None and out_RV.dtype == head.weight.dtype
    target = out_RV if same else None
    if head.bias is None:
        logits_RV = torch.mm(hidden_RH, head.weight.t(), out=target)
    else:
        logits_RV = torch.addmm(head.bias, hidden_RH, head.weight.t(), out=target)
    if out_RV is None:
        return logits_RV if logits_RV.dtype == torch.float64 else logits_RV.float()
    return out_RV if same else out_RV.copy_(logits_RV)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def _check(
    hidden: Tensor,
    head_weight: Tensor,
    row_weights: Tensor,
    divergence: Divergence,
    targets: Tensor | None,
    teacher_hidden: Tensor | None,
    teacher_weight: Tensor | None,
    teacher_top: TopK | None,
) -> None:
    num_rows, kind = hidden.shape[0], divergence.kind
    assert hidden.shape[1:] == head_weight.shape[1:], f"hidden {hidden.shape} against head {head_weight.shape}"
    for name, rows in (
        ("row_weights", row_weights),
        ("targets", targets),
        ("teacher_hidden", teacher_hidden),
        ("teacher_top.ids", teacher_top.ids if teacher_top is not None else None),
    ):
        assert rows is None or rows.shape[0] == num_rows, f"{name} has {len(rows)} rows, hidden has {num_rows}"
    if kind == "cross_entropy" and targets is None:
        raise ConfigError("cross_entropy needs targets: one token id a row.", param="targets")
    if not divergence.needs_teacher and (teacher_hidden is not None or teacher_top is not None):
        raise ConfigError(f"{kind} has no teacher. Leave the teacher out or choose forward_kl.", param="kind")
    if divergence.needs_teacher and (teacher_hidden is None) == (teacher_top is None):
        raise ConfigError(f"{kind} needs a teacher: either teacher_hidden or teacher_top.", param="teacher_hidden")
    if teacher_weight is not None and teacher_hidden is None:
        raise ConfigError("teacher_weight without teacher_hidden would have no effect.", param="teacher_weight")
    if teacher_top is not None and kind != "top_k_tail":
        raise ConfigError(f"{kind} needs the whole teacher; a cached top-K serves top_k_tail only.", param="kind")
    if teacher_top is not None and teacher_top.temperature != divergence.temperature:
        raise ConfigError(
            f"the teacher's top-K was cached at temperature {teacher_top.temperature}, the loss uses "
            f"{divergence.temperature}. Cache it again at the loss's temperature.",
            param="temperature",
        )
