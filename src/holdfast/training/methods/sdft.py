"""Self-distillation fine-tuning: the model that reads the demonstration teaches the one that does not.

Paper: Shenfeld, Damani, Huebotter & Agrawal 2026, "Self-Distillation Enables Continual Learning"
(arXiv:2601.19897).

    y ~ student(. | x) at temperature T
    loss = mean over prompts of  1/|y'| sum_{t in y'} KL( teacher(. | c, x, y_<t) || student(. | x, y_<t) )

where c is the demonstration, read by the teacher only, and y' leaves out the first N tokens.

Choices made here
- Forward KL over the full vocabulary, although the paper's Eq. 1 writes the reverse KL: forward is what
  produced the paper's numbers (its authors, second version and released code).
- The teacher is the frozen promoted version, anchored anew at every stage; an averaged teacher (ema) is
  kept in float32 and checkpointed, because in bfloat16 most of its motion is lost to rounding.
- The gradient through the sampling distribution is dropped, as in the paper.
- The first 3 tokens carry no loss (the heuristic against "Based on the text ..."), counted after
  </think> where there is one; a completion of 3 tokens or fewer keeps its last token.
- Per-sequence mean, then batch mean, as in the reference code (other implementations sum).
- Rollouts come from the same weights in the same precision, so no importance weights are needed;
  `steps_per_generation` > 1 trains on slightly stale ones, which forward KL tolerates. No rollout is used twice.
- The temperature divides the logits of both models and nothing is multiplied by its square.
- Nothing is truncated: an example whose prompt leaves no room is an error that names it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch

from holdfast.errors import ContextLengthError, TrainingError
from holdfast.models.generate import Sampling
from holdfast.models.render import TEACHER_TEMPLATE, render_prompt, render_teacher_prompt
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence
from holdfast.training.method import (
    Loss,
    Row,
    remember_teacher,
    row_means,
    targets,
    token_rows,
    token_weights,
    weighted_sum,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter
    from transformers import PreTrainedTokenizerBase

    from holdfast.models.learner import Learner
    from holdfast.training.config import SdftConfig
    from holdfast.types import Completion, Example

_FORWARD_KL = Divergence("forward_kl")
TEACHER_TOKENS = 16_384
"""Padded tokens that the teacher reads at once; it keeps no activations, so this is little memory."""


@dataclass(frozen=True, slots=True)
class _Prompts:
    student: list[int]
    teacher: list[int]


class Sdft:
    """On-policy distillation from the model that reads the demonstration."""

    name = "sdft"
    packed = False
    stopped: str | None = None
    measured: dict[str, float] = {}  # noqa: RUF012 - none, and never filled

    def __init__(self, config: SdftConfig, *, skip_tokens: int) -> None:
        self.config = config
        self.skip_tokens = skip_tokens
        self.steps_per_generation = config.steps_per_generation
        self.divergence = Divergence(
            config.divergence,
            temperature=config.temperature,
            alpha=config.jsd_alpha,
            top_k=config.top_k,
            clip=config.kl_clip,
        )
        self._prompts: dict[str, _Prompts] = {}
        self._rollouts: tuple[int, list[list[int]], list[bool]] | None = None
        self._average: dict[str, Tensor] | None = None

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns all examples."""
        return list(examples)

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns one row per rollout of the step, sampled from the candidate on the bare prompts.

        The rollouts of all steps of a round are sampled in one call, at its first step. The teacher reads those
        of the step here as well, all in one go, and its hidden states stay with the rows.
        """
        if self.config.teacher == "ema" and self._average is None:
            self._average = {name: tensor.float() for name, tensor in learner.candidate_state().items()}
        prompts = [self.prompts_of(learner, example) for example in examples]
        num_samples = self.config.samples_per_prompt
        completions, ended = self._roll_out(learner, prompts, seed)
        size = len(completions) // self.steps_per_generation
        rows: list[Row] = []
        for index in range(part * size, (part + 1) * size):
            ids, stopped = completions[index], ended[index]
            example, prompt = examples[index // num_samples], prompts[index // num_samples]
            used = loss_mask(learner.tokenizer, ids, self.skip_tokens, self.config.skip_after)
            rows.append(
                Row(
                    input_ids=prompt.student + ids,
                    mask=[False] * len(prompt.student) + used,
                    weight=1 / size,
                    example_id=example.id,
                    teacher_ids=prompt.teacher + ids,
                    teacher_mask=[False] * len(prompt.teacher) + used,
                    completion_start=len(prompt.student),
                    ended=stopped,
                )
            )
        with self._as_teacher(learner) as which:
            return remember_teacher(learner, rows, lambda read: learner.hidden(read, which), budget=TEACHER_TOKENS)

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the weighted per-sequence mean divergence to the teacher (plus the anchor, if any)."""
        with self._as_teacher(learner) as which:
            teacher = learner.head(which)
            teacher_weight = teacher.weight.detach()
            teacher_bias = None if teacher.bias is None else teacher.bias.detach()
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate")
        head = learner.head("candidate")
        weights = token_weights(rows, hidden.device)
        result = head_loss(
            hidden,
            head.weight,
            head.bias,
            weights,
            targets=targets(rows, hidden.device),
            teacher_hidden=torch.cat([cast("Tensor", row.teacher_hidden) for row in rows]),
            teacher_weight=teacher_weight,
            teacher_bias=teacher_bias,
            divergence=self.divergence,
        )
        per_row = row_means(result.per_row, rows)
        metrics = {"kl": weighted_sum(per_row, rows)}
        if result.sampled_logprob is not None:
            metrics["sampled_logprob"] = weighted_sum(row_means(result.sampled_logprob, rows), rows)
        if not self.config.anchor_weight:
            return Loss(result.loss, per_row, metrics)
        base = learner.head("base")
        anchor = head_loss(
            hidden,
            head.weight,
            head.bias,
            weights,
            teacher_hidden=learner.hidden(token_rows(rows), "base"),
            teacher_weight=base.weight,
            teacher_bias=base.bias,
            divergence=_FORWARD_KL,
        )
        metrics["anchor_kl"] = weighted_sum(row_means(anchor.per_row, rows), rows)
        return Loss(result.loss + self.config.anchor_weight * anchor.loss, per_row, metrics)

    def after_step(self, learner: Learner) -> None:
        """Moves the averaged teacher, in float32."""
        if self._average is None:
            return
        with torch.no_grad():
            for name, parameter in learner.trainable():
                self._average[name].lerp_(parameter.detach().float(), self.config.ema_rate)

    def finish(self, learner: Learner) -> None:
        """Does nothing: the last weights are the result."""

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns nothing: the learner's weights are all there is."""
        return []

    def state_dict(self) -> dict[str, object]:
        """Returns the averaged teacher and the rollouts still in use."""
        state: dict[str, object] = {}
        if self._average is not None:
            state["average"] = {name: tensor.clone() for name, tensor in self._average.items()}
        if self._rollouts is not None and self.steps_per_generation > 1:
            seed, ids, ended = self._rollouts
            state["rollouts"] = {"seed": seed, "ids": ids, "ended": ended}
        return state

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the averaged teacher and the rollouts up."""
        average = cast("Mapping[str, Tensor] | None", state.get("average"))
        if average is not None and self.config.teacher != "ema":
            raise TrainingError(
                'the checkpoint has an averaged teacher, but teacher = "frozen". '
                "Resume with the recipe that the run was started with."
            )
        self._average = None if average is None else {name: tensor.clone() for name, tensor in average.items()}
        rollouts = cast("Mapping[str, object] | None", state.get("rollouts"))
        self._rollouts = None
        if rollouts is not None:
            ids, ended = cast("list[list[int]]", rollouts["ids"]), cast("list[bool]", rollouts["ended"])
            self._rollouts = (cast("int", rollouts["seed"]), [list(row) for row in ids], list(ended))

    def prompts_of(self, learner: Learner, example: Example) -> _Prompts:
        """Returns the token ids of the bare and of the teacher's prompt; raises when either leaves no room."""
        known = self._prompts.get(example.id)
        if known is not None:
            return known
        template = self.config.teacher_template or TEACHER_TEMPLATE
        prompts = _Prompts(
            list(render_prompt(learner.tokenizer, example.prompt, example.tools)),
            list(render_teacher_prompt(learner.tokenizer, example, template=template)),
        )
        longest = max(len(prompts.student), len(prompts.teacher))
        if longest + self.config.max_new_tokens > learner.context_length:
            raise ContextLengthError(
                f"{example.source or example.id}: the teacher's prompt has {len(prompts.teacher)} tokens and the bare "
                f"one {len(prompts.student)}; with max_new_tokens = {self.config.max_new_tokens} they do not fit the "
                f"model's {learner.context_length}. Shorten the example, or lower method.max_new_tokens."
            )
        self._prompts[example.id] = prompts
        return prompts

    def _roll_out(self, learner: Learner, prompts: Sequence[_Prompts], seed: int) -> tuple[list[list[int]], list[bool]]:
        """Returns token ids and whether each ended its turn; the same seed gives those of the round again."""
        if self._rollouts is None or self._rollouts[0] != seed:
            config = self.config
            sampling = Sampling(
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                num_samples=config.samples_per_prompt,
                seed=seed,
            )
            groups = learner.generate([prompt.student for prompt in prompts], sampling)
            flat: list[Completion] = [completion for group in groups for completion in group]
            ended = [completion.finish_reason == "stop" for completion in flat]
            self._rollouts = (seed, [list(completion.token_ids) for completion in flat], ended)
        return self._rollouts[1], self._rollouts[2]

    @contextmanager
    def _as_teacher(self, learner: Learner) -> Iterator[Literal["candidate", "current"]]:
        """Yields which weights are the teacher; an averaged one stands in the candidate's place meanwhile."""
        if self._average is None:
            yield "current"
            return
        parameters = dict(learner.trainable())
        student = {name: parameter.data for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                parameter.data = self._average[name].to(parameter.dtype)
            with torch.no_grad():
                yield "candidate"
        finally:
            for name, parameter in parameters.items():
                parameter.data = student[name]


def loss_mask(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], skip: int, after: str) -> list[bool]:
    """Returns for each token of a completion whether it carries loss: all but the first `skip` after `after`.

    At least the last token does, however short the completion is.
    """
    start = _end_of(tokenizer, ids, after) if skip and after else 0
    first = min(start + skip, len(ids) - 1)
    return [index >= first for index in range(len(ids))]


def _end_of(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str) -> int:
    """Returns the number of tokens up to and including the first occurrence of `text`, 0 without one."""
    if text not in tokenizer.decode(list(ids)):
        return 0
    low, high = 1, len(ids)
    while low < high:
        middle = (low + high) // 2
        if text in tokenizer.decode(list(ids[:middle])):
            high = middle
        else:
            low = middle + 1
    return low
