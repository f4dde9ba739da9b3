"""Supervised fine-tuning: cross-entropy on the demonstrations' tokens.

Paper: Ouyang et al. 2022, "Training language models to follow instructions with human feedback"
(arXiv:2203.02155), step 1.

    loss = mean over examples of  -1/|y| sum_t log p(y_t | x, y_<t)

Choices made here
- Loss on completions only: every token an assistant turn of weight > 0 consists of, its end of turn
  included; prompts, system and tool turns are read and not predicted.
- Per-sequence mean, then mean over the batch (TRL and Axolotl take the mean over all tokens of the
  batch, which lets long answers outweigh short ones).
- Packing keeps positions and attention inside each example; it changes the layout, not the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import NothingToLearnError
from holdfast.models.render import render_example
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence
from holdfast.training.method import Loss, Row, row_means, targets, token_rows, token_weights, weighted_sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from holdfast.models.learner import Learner
    from holdfast.training.config import SftConfig
    from holdfast.types import Example

_CROSS_ENTROPY = Divergence("cross_entropy")


class Sft:
    """Cross-entropy on demonstrations."""

    name = "sft"
    steps_per_generation = 1
    stopped: str | None = None
    measured: dict[str, float] = {}  # noqa: RUF012 - none, and never filled

    def __init__(self, config: SftConfig, *, max_tokens: int | None = None) -> None:
        self.packed = config.packing
        self._max_tokens = max_tokens
        self._rendered: dict[str, tuple[list[int], list[bool]]] = {}

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns all examples."""
        return list(examples)

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns one row per example; nothing is drawn."""
        rows: list[Row] = []
        for example in examples:
            ids, mask = self._render(learner, example)
            rows.append(Row(ids, mask, weight=1 / len(examples), example_id=example.id))
        return rows

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the weighted per-sequence mean cross-entropy."""
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate", packed=self.packed)
        head = learner.head("candidate")
        result = head_loss(
            hidden,
            head.weight,
            head.bias,
            token_weights(rows, hidden.device),
            targets=targets(rows, hidden.device),
            divergence=_CROSS_ENTROPY,
        )
        per_row = row_means(result.per_row, rows)
        return Loss(result.loss, per_row, {"cross_entropy": weighted_sum(per_row, rows)})

    def after_step(self, learner: Learner) -> None:
        """Does nothing."""

    def finish(self, learner: Learner) -> None:
        """Does nothing: the last weights are the result."""

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns nothing: the learner's weights are all there is."""
        return []

    def state_dict(self) -> dict[str, object]:
        """Returns nothing: the method keeps no state."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes nothing up."""

    def _render(self, learner: Learner, example: Example) -> tuple[list[int], list[bool]]:
        known = self._rendered.get(example.id)
        if known is None:
            limit = min(self._max_tokens or learner.context_length, learner.context_length)
            rendered = render_example(learner.tokenizer, example, max_tokens=limit)
            known = (list(rendered.input_ids), list(rendered.completion_mask))
            if not any(known[1]):
                raise NothingToLearnError(
                    f"{example.source or example.id}: no token of this example would be trained. "
                    "Look at it with `holdfast render`, and give it an assistant turn of weight above 0."
                )
            self._rendered[example.id] = known
        return known
