"""What a training method is to the loop: where the tokens come from, and what is minimised on them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from holdfast.models.layout import TokenRow
from holdfast.training.packing import least_padding_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from holdfast.models.learner import Learner
    from holdfast.training.losses import TopK
    from holdfast.types import Example


CALL_COST_CPU, CALL_COST_GPU = 128, 4096
"""What one more pass through the model costs, in tokens: the price of a micro-batch against that of padding."""


@dataclass(frozen=True, slots=True)
class PolicyTargets:
    """What a row of sampled completions learns from, completion after completion.

    `lengths` and `advantages` are one for each completion; so are `shares`, which each of its tokens has in the
    step's loss. `old` and `reference` [tokens] are log-probabilities in nats when it was sampled, and under the
    frozen version.
    """

    lengths: list[int]
    advantages: list[float]
    old: Tensor
    reference: Tensor | None = None
    shares: list[float] = field(default_factory=list[float])


@dataclass(frozen=True, slots=True)
class PairTargets:
    """Of a preferred and a rejected answer, in this order: the number of tokens under the mask, and log-probabilities.

    `reference` are the sums over these tokens under the frozen version, in nats.
    """

    lengths: tuple[int, int]
    reference: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence of an optimizer step.

    `mask[t]` is True where token t carries loss. `weight` is the row's share of the step's loss, already
    normalised over the whole batch: nobody renormalises it, so that micro-batches of any size add up to
    the same gradient. `teacher_ids` hold the same masked tokens after the teacher's prompt.
    `teacher_hidden` [tokens under the mask, H] stands in for a forward pass of the teacher.
    `completion_start` is where the tokens that the model wrote itself begin, and `ended` whether they end
    with an end of turn; both are for the monitors. `label` is the class index of a classification row.
    `branches` are where several completions of one prompt begin, and `policy` what is learned from them; `pair` says
    the same of two branches of which the first is preferred.
    """

    input_ids: list[int]
    mask: list[bool]
    weight: float
    kind: Literal["new", "reminder"] = "new"
    example_id: str = ""
    teacher_ids: list[int] | None = None
    teacher_mask: list[bool] | None = None
    teacher_hidden: Tensor | None = None
    teacher_top: TopK | None = None
    completion_start: int | None = None
    ended: bool | None = None
    label: int | None = None
    branches: tuple[int, ...] = ()
    policy: PolicyTargets | None = None
    pair: PairTargets | None = None

    @property
    def num_targets(self) -> int:
        """Number of tokens that carry loss."""
        return sum(self.mask)


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of some rows: `value` = sum of weight x mean over the row's tokens, in nats; differentiable.

    `per_row` [rows] holds each row's unweighted mean, detached; `metrics` are sums of weight x quantity
    over the rows, so that those of micro-batches add up.
    """

    value: Tensor
    per_row: Tensor
    metrics: dict[str, float] = field(default_factory=dict[str, float])


class Method(Protocol):
    """A training method; the loop knows nothing else about it."""

    name: str
    packed: bool
    """Whether the loop may lay several rows end to end in one sequence."""
    steps_per_generation: int
    """How many optimizer steps share one round of sampling."""
    stopped: str | None
    """Why the run should end early, in words; set by `after_step`, or by `make_batch` with no rows for its step."""
    measured: dict[str, float]
    """What the last batch showed, for the step's metrics."""

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns those of the examples that are trained on (not those held back for validation)."""
        ...

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns the rows of one optimizer step; methods that learn on-policy sample here.

        `examples` are those of all steps of a round of sampling, and `part` says which of these steps it is.
        """
        ...

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the loss of `rows`; `hidden` [N, H] are the candidate's states if they are there already."""
        ...

    def after_step(self, learner: Learner) -> None:
        """Is called after every update, for example to move an averaged teacher."""
        ...

    def finish(self, learner: Learner) -> None:
        """Is called once after the last update, for example to put the best weights back."""
        ...

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns parameters of the method's own (a classification head), trained besides the learner's."""
        ...

    def state_dict(self) -> dict[str, object]:
        """Returns everything that a resumed run needs to go on bit for bit."""
        ...

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the state of `state_dict` up."""
        ...


def token_rows(rows: Sequence[Row]) -> list[TokenRow]:
    """Returns what the student reads of each row."""
    return [TokenRow(row.input_ids, row.mask, row.branches) for row in rows]


def teacher_rows(rows: Sequence[Row]) -> list[TokenRow]:
    """Returns what the teacher reads of each row: its own prompt, or the student's when it has none."""
    return [
        TokenRow(row.input_ids, row.mask)
        if row.teacher_ids is None or row.teacher_mask is None
        else TokenRow(row.teacher_ids, row.teacher_mask)
        for row in rows
    ]


def call_cost(learner: Learner) -> int:
    """Returns what one more pass through the model costs, in tokens: little on a CPU, much on a GPU."""
    return CALL_COST_CPU if learner.device.type == "cpu" else CALL_COST_GPU


def remember_teacher(
    learner: Learner, rows: Sequence[Row], states: Callable[[Sequence[TokenRow]], Tensor], *, budget: int
) -> list[Row]:
    """Returns the rows with the teacher's hidden states, computed by `states` in batches of like length."""
    read = teacher_rows(rows)
    found = list(rows)
    for batch in least_padding_batches([len(row.input_ids) for row in read], budget, call_cost(learner)):
        parts = states([read[index] for index in batch]).split([rows[index].num_targets for index in batch])
        for index, part in zip(batch, parts, strict=True):
            found[index] = replace(rows[index], teacher_hidden=part)
    return found


def token_weights(rows: Sequence[Row], device: torch.device) -> Tensor:
    """Returns [N] the share of each masked token in the step's loss: row weight / tokens of the row."""
    counts = [row.num_targets for row in rows]
    weights = torch.tensor([row.weight / count for row, count in zip(rows, counts, strict=True)], dtype=torch.float32)
    return torch.repeat_interleave(weights, torch.tensor(counts)).to(device)


def targets(rows: Sequence[Row], device: torch.device) -> Tensor:
    """Returns [N] the ids of the masked tokens, row after row."""
    ids = [token for row in rows for token, used in zip(row.input_ids, row.mask, strict=True) if used]
    return torch.tensor(ids, device=device)


def row_means(per_token: Tensor, rows: Sequence[Row]) -> Tensor:
    """Returns [rows] the mean over each row's tokens of `per_token` [N]."""
    counts = torch.tensor([row.num_targets for row in rows], device=per_token.device)
    return row_sums(per_token, rows) / counts


def row_sums(per_token: Tensor, rows: Sequence[Row]) -> Tensor:
    """Returns [rows] the sum over each row's tokens of `per_token` [N]."""
    counts = torch.tensor([row.num_targets for row in rows])
    owner = torch.repeat_interleave(torch.arange(len(rows)), counts).to(per_token.device)
    return torch.zeros(len(rows), dtype=per_token.dtype, device=per_token.device).index_add_(0, owner, per_token)


def weighted_sum(values: Tensor, rows: Sequence[Row]) -> float:
    """Returns the sum over rows of weight x value; `values` [rows]."""
    return sum(row.weight * value for row, value in zip(rows, values.tolist(), strict=True))
