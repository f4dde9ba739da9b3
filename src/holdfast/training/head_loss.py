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

from holdfast.errors import ConfigError, TrainingError
from holdfast.training import losses
from holdfast.training.losses import Divergence, TopK

BLOCK_BYTES = 64 * 2**20
"""Size of the student's (and of the teacher's) logits of one block: enough rows for an efficient matrix product."""
CHUNK_BYTES = 2**20
"""On a CPU the loss itself goes through a block in chunks of this size, which stay in the cache."""


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
                blocks.run(slice(start, min(start + inputs.block_rows, hidden.shape[0])))
        loss = torch.dot(inputs.row_weights.to(blocks.per_row.dtype), blocks.per_row)
        ctx.gradients = blocks.gradients()
        outputs = (loss, blocks.per_row, blocks.sampled, blocks.entropy)
        ctx.mark_non_differentiable(*[t for t in outputs[1:] if t is not None])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # noqa: ANN001, ANN002, ANN205 # pyright: ignore[reportIncompatibleMethodOverride]
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise TrainingError("head_loss: backward ran twice. Call head_loss again for a second backward pass.")
        # scaled in place: a second copy of a trained head's gradient would double the largest tensor there is
        return *[None if g is None else g.mul_(grad_outputs[0]) for g in gradients], None, None


class _Blocks:
    """The buffers of one pass, and what is accumulated over its blocks."""

    def __init__(self, hidden: Tensor, head: _Head, inputs: _Inputs, needs: list[bool]) -> None:
        self.hidden, self.head, self.inputs = hidden, head, inputs
        self.dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
        num_rows, vocab_size = hidden.shape[0], head.weight.shape[0]
        block_rows = min(inputs.block_rows, num_rows)
        sides = 1 if inputs.teacher is None else 2
        self.buffer = hidden.new_empty((sides * block_rows, vocab_size), dtype=self.dtype)
        on_cpu = hidden.device.type == "cpu"
        self.chunk_rows = max(1, CHUNK_BYTES // (vocab_size * self.buffer.element_size())) if on_cpu else block_rows
        self.per_row = hidden.new_empty(num_rows, dtype=self.dtype)
        self.sampled = None if inputs.targets is None else torch.empty_like(self.per_row)
        self.entropy = torch.empty_like(self.per_row) if inputs.want_entropy else None
        self.grad_hidden = torch.empty_like(hidden) if needs[0] else None
        self.grad_weight = head.weight.new_zeros(head.weight.shape, dtype=self.dtype) if needs[1] else None
        self.grad_bias = head.weight.new_zeros(vocab_size, dtype=self.dtype) if needs[2] else None
        self.need_grad = any(needs)

    def run(self, rows: slice) -> None:
        """Fills in the results of one block of rows."""
        z_RV, teacher_RV = self._logits(rows)
        for start in range(0, len(z_RV), self.chunk_rows):
            chunk = slice(start, start + self.chunk_rows)
            of_all = slice(rows.start + start, min(rows.start + start + self.chunk_rows, rows.stop))
            self._chunk(of_all, z_RV[chunk], None if teacher_RV is None else teacher_RV[chunk])
        factor_R = losses.clip_factor(self.per_row[rows], self.inputs.divergence.clip)
        if factor_R is not None:
            self.per_row[rows] *= factor_R
        if self.need_grad:
            self._backward(rows, z_RV, factor_R)

    def _logits(self, rows: slice) -> tuple[Tensor, Tensor | None]:
        """Returns the logits of student and teacher, divided by the temperature."""
        inputs, hidden_RH = self.inputs, self.hidden[rows]
        num_rows = len(hidden_RH)
        if inputs.teacher_hidden is None or inputs.teacher is None:
            logits_RV = _project(hidden_RH, self.head, self.buffer[:num_rows])
        elif _same(self.head, inputs.teacher):
            both_RH = torch.cat([hidden_RH, inputs.teacher_hidden[rows].to(hidden_RH.dtype)])
            logits_RV = _project(both_RH, self.head, self.buffer[: 2 * num_rows])  # one product of twice the rows
        else:
            _project(hidden_RH, self.head, self.buffer[:num_rows])
            _project(inputs.teacher_hidden[rows], inputs.teacher, self.buffer[num_rows : 2 * num_rows])
            logits_RV = self.buffer[: 2 * num_rows]
        if inputs.divergence.temperature != 1.0:
            logits_RV.div_(inputs.divergence.temperature)
        return logits_RV[:num_rows], (logits_RV[num_rows:] if inputs.teacher is not None else None)

    def _chunk(self, rows: slice, z_RV: Tensor, teacher_RV: Tensor | None) -> None:
        """Fills in the losses of a few rows and leaves the gradient of their logits in `z_RV`."""
        targets_R = None if self.inputs.targets is None else self.inputs.targets[rows]
        logp_RV = losses.log_softmax_(z_RV)
        if self.sampled is not None and targets_R is not None:
            self.sampled[rows] = logp_RV.gather(-1, targets_R.unsqueeze(-1)).squeeze(-1)
        if self.entropy is not None:
            self.entropy[rows] = -(logp_RV.exp() * logp_RV).sum(-1)
        self.per_row[rows] = self._loss_(rows, logp_RV, teacher_RV, targets_R)

    def _loss_(self, rows: slice, logp_RV: Tensor, teacher_RV: Tensor | None, targets_R: Tensor | None) -> Tensor:
        divergence, grad = self.inputs.divergence, self.need_grad
        if divergence.kind == "cross_entropy":
            assert targets_R is not None
            return losses.cross_entropy_rows_(logp_RV, targets_R, grad=grad)
        if self.inputs.teacher_top is not None:
            top = self.inputs.teacher_top
            return losses.top_k_tail_rows_(logp_RV, top.ids[rows], top.logprobs[rows].to(self.dtype), grad=grad)
        assert teacher_RV is not None
        if divergence.kind == "top_k_tail":
            top = losses.top_k_of_logits(teacher_RV, divergence.top_k)
            return losses.top_k_tail_rows_(logp_RV, top.ids, top.logprobs, grad=grad)
        if divergence.kind == "forward_kl":
            return losses.forward_kl_rows_(logp_RV, teacher_RV, grad=grad)
        if divergence.kind == "reverse_kl":
            return losses.reverse_kl_rows_(logp_RV, teacher_RV, grad=grad)
        return losses.jsd_rows_(logp_RV, teacher_RV, divergence.alpha, grad=grad)

    def _backward(self, rows: slice, grad_RV: Tensor, factor_R: Tensor | None) -> None:
        """Projects the logits' gradient back; scaling [R, H] instead of [R, V] saves a pass over the block."""
        weight, hidden_RH = self.head.weight, self.hidden[rows]
        scale_R = self.inputs.row_weights[rows].to(self.dtype) / self.inputs.divergence.temperature
        if factor_R is not None:
            scale_R = scale_R * factor_R
        if self.grad_hidden is not None:
            back_RH = torch.mm(grad_RV.to(weight.dtype), weight)
            self.grad_hidden[rows] = back_RH.to(self.dtype) * scale_R.unsqueeze(-1)
        if self.grad_weight is not None:
            self.grad_weight.addmm_(grad_RV.t(), hidden_RH.to(self.dtype) * scale_R.unsqueeze(-1))
        if self.grad_bias is not None:
            self.grad_bias.addmv_(grad_RV.t(), scale_R)

    def gradients(self) -> list[Tensor | None]:
        """Returns the gradients of hidden, weight and bias in the dtypes autograd expects."""
        pairs = (
            (self.grad_hidden, self.hidden),
            (self.grad_weight, self.head.weight),
            (self.grad_bias, self.head.bias),
        )
        return [None if g is None or of is None else g.to(of.dtype) for g, of in pairs]


def _same(student: _Head, teacher: _Head) -> bool:
    """True when both heads are one and the same memory (as with adapters: only the hidden states differ)."""
    biases = [bias is not None and bias.data_ptr() for bias in (student.bias, teacher.bias)]
    return student.weight.data_ptr() == teacher.weight.data_ptr() and biases[0] == biases[1]


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
