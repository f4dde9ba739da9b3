"""The training loop: a generator that yields one Step per optimizer update and writes nothing.

Whoever reads the steps decides to log, evaluate, checkpoint, pause or cancel; pausing is to stop
reading. The loop never knows which method runs. Every draw derives from the recipe's seed and the
step's number, so a resumed run sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch

from holdfast.errors import NonFiniteLossError, NothingToLearnError, TrainingError
from holdfast.models.load import choose_dtype
from holdfast.seeds import derive_seed
from holdfast.training.defaults import choose_l2_sp, choose_learning_rate, count_steps
from holdfast.training.method import Loss, call_cost, token_rows
from holdfast.training.mixing import ReminderMix
from holdfast.training.monitors import Monitors
from holdfast.training.packing import least_padding_batches, pack
from holdfast.training.schedule import warmup_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from accelerate import Accelerator
    from torch import Tensor

    from holdfast.models.learner import Learner
    from holdfast.training.config import Recipe
    from holdfast.training.method import Method, Row
    from holdfast.training.rehearsal import Reminder
    from holdfast.types import Example


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer update, counted from 1; `loss` in nats, `tokens` read by the student."""

    index: int
    of: int
    loss: float
    metrics: dict[str, float]
    learning_rate: float
    grad_norm: float
    tokens: int
    num_new: int
    num_reminders: int
    seconds: float


class Run:
    """A run from its first step, or from where `load_state_dict` puts it, to its last; iterate over it."""

    def __init__(
        self,
        learner: Learner,
        method: Method,
        examples: Sequence[Example],
        recipe: Recipe,
        *,
        reminders: Sequence[Reminder] = (),
        clock: Callable[[], float] = time.monotonic,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Prepares a run; `progress(done, total)` counts the reminders that the teacher has read for it."""
        self.learner, self.method, self.recipe = learner, method, recipe
        self.examples = method.select(examples)
        if not self.examples:
            raise NothingToLearnError("there is no example to train on. Look at rejected.jsonl for the reasons.")
        self.num_steps = count_steps(recipe, len(self.examples))
        self.parameters = [*learner.trainable(), *method.trainable()]
        self.rate = choose_learning_rate(recipe, learner.num_parameters, full=learner.adapter is None)
        self.l2_sp = choose_l2_sp(recipe)
        self.mix = ReminderMix(
            learner,
            reminders if recipe.rehearsal.enabled else (),
            recipe.rehearsal,
            num_steps=self.num_steps,
            seed=recipe.seed,
            micro_batch_tokens=recipe.batch.micro_batch_tokens,
            progress=progress,
        )
        self.monitors = Monitors(recipe.guards, moving_teacher=getattr(recipe.method, "teacher", "") == "ema")
        self.accelerator = make_accelerator(learner, recipe)
        self.optimizer = self.accelerator.prepare(make_optimizer(self.parameters, recipe, self.rate.learning_rate))
        self.fingerprint = fingerprint(recipe, self.examples, reminders)
        self._clock = clock
        self._done = 0
        self._orders: dict[int, list[int]] = {}
        self._finished = False

    def __iter__(self) -> Iterator[Step]:
        """Yields a Step after each update, until the last one or until the method stops the run."""
        while self._done < self.num_steps and self.method.stopped is None:
            step = self._update()
            if step is not None:
                yield step
        if not self._finished:
            self._finished = True
            self.method.finish(self.learner)

    @property
    def done(self) -> int:
        """Number of updates made."""
        return self._done

    @property
    def stopped(self) -> str | None:
        """Why the run ended before its last step, or None."""
        return self.method.stopped

    def state_dict(self) -> dict[str, object]:
        """Returns a copy of all that a resumed run needs: weights, optimizer, RNG, method, position."""
        return {
            "step": self._done,
            "fingerprint": self.fingerprint,
            "candidate": self.learner.candidate_state(),
            "optimizer": _copy(self.optimizer.state_dict()),
            "method": _copy(self.method.state_dict()),
            "monitors": self.monitors.state_dict(),
            "rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Goes on from a state; raises TrainingError when it belongs to another run."""
        if state["fingerprint"] != self.fingerprint:
            raise TrainingError(
                "the checkpoint belongs to a run with another recipe, other data or other reminders. "
                "Resume with what it was started with, or start anew."
            )
        self._done = cast("int", state["step"])
        self.learner.load_candidate_state(cast("Mapping[str, Tensor]", state["candidate"]))
        self.optimizer.load_state_dict(_copy(state["optimizer"]))
        self.method.load_state_dict(cast("Mapping[str, object]", state["method"]))
        self.monitors.load_state_dict(cast("Mapping[str, object]", state["monitors"]))
        torch.set_rng_state(cast("Tensor", state["rng"]))

    def batch_of(self, step: int) -> list[Example]:
        """Returns the new examples of a step's round (counted from 0): whole epochs in new orders, end to end."""
        size, total = self.recipe.batch.examples * self.method.steps_per_generation, len(self.examples)
        start = step // self.method.steps_per_generation * size
        return [self._example_at(*divmod(position, total)) for position in range(start, start + size)]

    def _example_at(self, epoch: int, index: int) -> Example:
        if epoch not in self._orders:
            order = list(range(len(self.examples)))
            random.Random(derive_seed(self.recipe.seed, "order", epoch)).shuffle(order)
            self._orders[epoch] = order
        return self.examples[self._orders[epoch][index]]

    def _update(self) -> Step | None:
        """Makes one update; None if the method has nothing to make it of and stops the run."""
        started, index, seed = self._clock(), self._done, self.recipe.seed
        number, part = divmod(index, self.method.steps_per_generation)
        batch = derive_seed(seed, "batch", number)
        new = self.method.make_batch(self.learner, self.batch_of(index), batch, part)
        if self.method.stopped is not None:
            return None
        reminders = self.mix.rows(index)
        torch.manual_seed(derive_seed(seed, "torch", index))
        value, metrics = self._accumulate([*new, *reminders])
        norm = self.accelerator.clip_grad_norm_([p for _, p in self.parameters], self.recipe.optimizer.clip_norm)
        grad_norm = float(cast("Tensor", norm))
        if not torch.isfinite(torch.tensor(grad_norm)):
            self._refuse(new + reminders, "gradient", index)
        rate = self.rate.learning_rate * self._rate_factor(index)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.l2_sp:
            self.learner.interpolate(min(1.0, rate * self.l2_sp))
        self.method.after_step(self.learner)
        self._done += 1
        metrics |= self.method.measured | self.monitors.observe(self._done, new, metrics.get("kl"))
        tokens = sum(len(row.input_ids) for row in [*new, *reminders])
        seconds = self._clock() - started
        return Step(
            self._done, self.num_steps, value, metrics, rate, grad_norm, tokens, len(new), len(reminders), seconds
        )

    def _accumulate(self, rows: Sequence[Row]) -> tuple[float, dict[str, float]]:
        """Adds up gradients over micro-batches; returns the step's loss and metrics."""
        total, metrics = 0.0, dict[str, float]()
        for indices in self._micro_batches(rows):
            part = sorted((rows[index] for index in indices), key=lambda row: row.kind == "reminder")
            with self.accelerator.autocast():
                losses = self._losses(part)
            for loss, loss_rows in losses:
                if not bool(torch.isfinite(loss.per_row).all()):
                    bad = [
                        row for row, ok in zip(loss_rows, torch.isfinite(loss.per_row).tolist(), strict=True) if not ok
                    ]
                    self._refuse(bad, "loss", self._done)
                for name, value in loss.metrics.items():
                    metrics[name] = metrics.get(name, 0.0) + value
            value = torch.stack([loss.value for loss, _ in losses]).sum()
            total += float(value.detach())
            self.accelerator.backward(value)
        return total, metrics

    def _losses(self, rows: Sequence[Row]) -> list[tuple[Loss, Sequence[Row]]]:
        """Returns the method's and the reminders' loss after one forward pass of the student for both."""
        hidden = self.learner.hidden(token_rows(rows), "candidate", packed=self.method.packed)
        new = [row for row in rows if row.kind == "new"]
        reminders = rows[len(new) :]
        border = sum(row.num_targets for row in new)
        losses: list[tuple[Loss, Sequence[Row]]] = []
        if new:
            losses.append((self.method.loss(self.learner, new, hidden[:border]), new))
        if reminders:
            losses.append((self.mix.loss(self.learner, reminders, hidden[border:]), reminders))
        return losses

    def _micro_batches(self, rows: Sequence[Row]) -> list[list[int]]:
        budget = self.recipe.batch.micro_batch_tokens
        lengths = [len(row.input_ids) for row in rows]
        if self.method.packed:
            return pack(lengths, max([budget, *lengths]))
        return least_padding_batches(lengths, budget, call_cost(self.learner))

    def _rate_factor(self, index: int) -> float:
        settings = self.recipe.optimizer
        final_share = 1.0 if settings.schedule == "constant" else 0.0
        return warmup_cosine(index, self.num_steps, settings.warmup_steps, final_share=final_share)

    def _refuse(self, rows: Sequence[Row], what: str, index: int) -> None:
        self.optimizer.zero_grad()
        names = list(dict.fromkeys(row.example_id or "a reminder" for row in rows))
        known = {example.id: example.source or example.id for example in self.examples}
        shown = ", ".join(known.get(name, name) for name in names[:8]) + (" ..." if len(names) > 8 else "")
        raise NonFiniteLossError(
            f"step {index + 1}: the {what} is not a finite number, on {shown}. Nothing was updated. "
            "Look at these examples, lower optimizer.learning_rate, or use precision = float32."
        )


def make_accelerator(learner: Learner, recipe: Recipe) -> Accelerator:
    """Returns the accelerator that fits the learner's device and the recipe's precision."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    cpu = learner.device.type == "cpu"
    wanted = "bf16" if choose_dtype(recipe.precision, learner.device.type)[0] is torch.bfloat16 else "no"
    # accelerate keeps one state a process and refuses a second precision or device; a process may do run after run.
    if AcceleratorState._shared_state:
        state = AcceleratorState()
        if (state.mixed_precision, state.device.type) != (wanted, learner.device.type):
            AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(cpu=cpu, mixed_precision=wanted)


def make_optimizer(
    parameters: Sequence[tuple[str, Tensor]], recipe: Recipe, learning_rate: float
) -> torch.optim.Optimizer:
    """Returns AdamW over the parameters, in one fused kernel."""
    settings = recipe.optimizer
    return torch.optim.AdamW(
        [parameter for _, parameter in parameters],
        lr=learning_rate,
        betas=(0.9, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )


def fingerprint(recipe: Recipe, examples: Sequence[Example], reminders: Sequence[Reminder]) -> str:
    """Returns a hash of everything that decides the weights a run ends with."""
    parts = recipe.model_dump(mode="json", exclude={"evaluation", "gate", "checkpoint_every"})
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for example in examples:
        digest.update(example.id.encode())
    for reminder in reminders:
        digest.update(json.dumps([list(reminder.prompt_ids), list(reminder.completion_ids)]).encode())
    return digest.hexdigest()


def _copy(value: object) -> object:
    """Returns a copy whose tensors are not those of the running optimizer."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner) for inner in value]
    return value
