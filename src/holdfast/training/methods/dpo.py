"""Direct Preference Optimization: the preferred answer becomes likelier than the rejected one, measured from the start.

Paper: Rafailov, Sharma, Mitchell, Ermon, Manning & Finn 2023, "Direct Preference Optimization: Your Language Model is
Secretly a Reward Model" (arXiv:2305.18290).

    h = beta [ log pi(y_w | x) / pi_ref(y_w | x)  -  log pi(y_l | x) / pi_ref(y_l | x) ]
    loss = mean over pairs of  -log sigmoid(h)

Choices made here
- The reference is the frozen promoted version, anchored anew at every stage: no second copy of the weights with an
  adapter. Its log-probabilities of a pair are computed once, when the pair is first met, and kept with the checkpoint.
- An answer's log-probability is the sum over its tokens, its end of turn included (the paper and TRL; other
  implementations take the mean). The prompt, assistant turns in it too, is read and not trained.
- Both answers are branches of one row, so a pair is never cut apart and the prompt is computed once where rows can be
  packed. An adapter's dropout stays on for both.
- `label_smoothing` is Mitchell's conservative DPO (2023), not divided by 1 - 2e as in robust DPO (arXiv:2403.00409).
- `sft_weight` adds the mean cross-entropy of the preferred answer (RPO, arXiv:2404.19733). The loss of DPO alone looks
  at the difference only, and may lower both answers; `preferred_reward` below 0 shows it.
- The rewards are told as measured, in the step's metrics. They need the reference, so no later version could be
  compared by them. A skill is tested by choices: on each held-out pair, which answer does a version find likelier, on
  average over the tokens (the grader `preferred`)? That needs no reference, and is the harder of the two: rewards may
  all be the right way round while an answer that was much the likelier at the start still is.
- Nothing is truncated: a pair of which an answer is too long is an error that names it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from holdfast.errors import NothingToLearnError
from holdfast.models.logprobs import row_logprobs
from holdfast.models.render import render_example
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence
from holdfast.training.method import Loss, PairTargets, Row, targets, token_rows, weighted_sum
from holdfast.training.preference_loss import PreferenceLoss, preference_loss

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter
    from transformers import PreTrainedTokenizerBase

    from holdfast.models.learner import Learner
    from holdfast.training.config import DpoConfig
    from holdfast.types import Example, Message

_CROSS_ENTROPY = Divergence("cross_entropy")


class Dpo:
    """The sigmoid loss on pairs of answers."""

    name = "dpo"
    steps_per_generation = 1
    stopped: str | None = None
    measured: dict[str, float] = {}  # noqa: RUF012 - none, and never filled

    def __init__(self, config: DpoConfig, learner: Learner, *, max_tokens: int | None = None) -> None:
        self.config = config
        self.packed = learner.can_pack
        self._max_tokens = max_tokens
        self._rows: dict[str, Row] = {}
        self._reference: dict[str, tuple[float, float]] = {}

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns all examples."""
        return list(examples)

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns one row per pair: the prompt with a branch for each answer; nothing is drawn."""
        rows = {example.id: self._render(learner, example) for example in examples}
        new = [row for name, row in rows.items() if name not in self._reference]
        for row, found in zip(
            new, row_logprobs(learner, token_rows(new), "current", packed=self.packed) if new else (), strict=True
        ):
            num_preferred = cast("PairTargets", row.pair).lengths[0]
            self._reference[row.example_id] = (sum(found.logprobs[:num_preferred]), sum(found.logprobs[num_preferred:]))
        return [self._weighted(rows[example.id], len(examples)) for example in examples]

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the weighted loss of the rows' pairs, in nats."""
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate", packed=self.packed)
        head, wanted = learner.head("candidate"), targets(rows, hidden.device)
        with torch.no_grad():
            blank = torch.zeros(len(wanted), device=hidden.device)
            seen = head_loss(hidden.detach(), head.weight, head.bias, blank, targets=wanted, divergence=_CROSS_ENTROPY)
        # The loss is a function of the log-probabilities; its gradient in them weighs the fused head's gradient.
        with torch.enable_grad():
            logp = cast("Tensor", seen.sampled_logprob).requires_grad_()
            found, preferred_mean = self._judged(logp, rows)
            per_row = found.per_pair - self.config.sft_weight * preferred_mean
            value = (per_row * torch.tensor([row.weight for row in rows]).to(logp)).sum()
            (slope,) = torch.autograd.grad(value, logp)
        carrier = head_loss(hidden, head.weight, head.bias, -slope, targets=wanted, divergence=_CROSS_ENTROPY).loss
        told = {
            "preferred_reward": found.preferred_reward,
            "rejected_reward": found.rejected_reward,
            "reward_margin": found.margin,
            "reward_accuracy": (found.margin > 0).to(logp.dtype),
            "cross_entropy": -preferred_mean.detach(),
        }
        metrics = {name: weighted_sum(values, rows) for name, values in told.items()}
        return Loss(value.detach() + carrier - carrier.detach(), per_row.detach(), metrics)

    def after_step(self, learner: Learner) -> None:
        """Does nothing."""

    def finish(self, learner: Learner) -> None:
        """Does nothing: the last weights are the result."""

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns nothing: the learner's weights are all there is."""
        return []

    def state_dict(self) -> dict[str, object]:
        """Returns the reference's log-probabilities: computed again in other company they may round otherwise."""
        return {"reference": {name: list(pair) for name, pair in self._reference.items()}}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the reference's log-probabilities up."""
        kept = cast("Mapping[str, Sequence[float]]", state["reference"])
        self._reference = {name: (pair[0], pair[1]) for name, pair in kept.items()}

    def _judged(self, logp: Tensor, rows: Sequence[Row]) -> tuple[PreferenceLoss, Tensor]:
        """Returns the loss of each pair, and [P] the mean log-probability of a preferred answer's tokens."""
        pairs = [cast("PairTargets", row.pair) for row in rows]
        lengths = torch.tensor([length for pair in pairs for length in pair.lengths])
        owner = torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(logp.device)
        sums = logp.new_zeros(len(lengths)).index_add(0, owner, logp)
        reference = torch.tensor([pair.reference for pair in pairs]).to(logp)
        found = preference_loss(
            sums[0::2],
            sums[1::2],
            (reference[:, 0], reference[:, 1]),
            beta=self.config.beta,
            label_smoothing=self.config.label_smoothing,
        )
        return found, sums[0::2] / lengths[0::2].to(logp.device)

    def _weighted(self, row: Row, num_pairs: int) -> Row:
        pair = replace(cast("PairTargets", row.pair), reference=self._reference[row.example_id])
        return replace(row, weight=1 / num_pairs, pair=pair)

    def _render(self, learner: Learner, example: Example) -> Row:
        """Returns the row of a pair, without the reference's part."""
        known = self._rows.get(example.id)
        if known is None:
            limit = min(self._max_tokens or learner.context_length, learner.context_length)
            known = pair_row(learner.tokenizer, example, max_tokens=limit)
            self._rows[example.id] = known
        return known


def pair_row(tokenizer: PreTrainedTokenizerBase, example: Example, *, max_tokens: int) -> Row:
    """Returns the tokens of both answers as branches behind what they share: the prompt.

    Raises:
        NothingToLearnError: there are no two answers.
        ContextLengthError: an answer after its prompt has more than `max_tokens` tokens.
    """
    answer, where = example.demonstration, example.source or example.id
    if answer is None or example.rejected is None:
        raise NothingToLearnError(
            f"{where}: has no rejected answer beside a preferred one. Add it, or train with another method."
        )
    read = replace(example, messages=(*_only_read(example.prompt), replace(answer, weight=1.0)))
    sides = [render_example(tokenizer, each, max_tokens=max_tokens) for each in (read, read.instead)]
    for side in sides:
        if not any(side.completion_mask):
            raise NothingToLearnError(f"{where}: an answer has no token to train. Look at it with `holdfast render`.")
    shared = min(side.completion_mask.index(True) for side in sides)
    while [side.input_ids[:shared] for side in sides] != [sides[0].input_ids[:shared]] * 2:
        shared -= 1
    tails = [side.input_ids[shared:] for side in sides]
    masks = [side.completion_mask[shared:] for side in sides]
    ids = [*sides[0].input_ids[:shared], *tails[0], *tails[1]]
    pair = PairTargets(lengths=(sum(masks[0]), sum(masks[1])))
    starts = (shared, shared + len(tails[0]))
    return Row(
        ids, [*[False] * shared, *masks[0], *masks[1]], weight=1.0, example_id=example.id, branches=starts, pair=pair
    )


def _only_read(turns: Sequence[Message]) -> tuple[Message, ...]:
    return tuple(replace(turn, weight=0.0) if turn.role == "assistant" else turn for turn in turns)
