"""Mixes reminders into the steps of any method, and what is minimised on them.

    loss = weight(step) * mean over reminders of  1/2 K(prompt) + 1/2 K(completion)
    K(z) = 1/|z| sum_t KL( current(. | z_<t) || candidate(. | z_<t) )

Prompt and completion are what the frozen `current` wrote before the run. A prompt that it did not write
itself carries no loss; the completion then counts whole. Written prompts are most of a reminder's tokens
and pass through the model anyway, so they hold it in more places at no further cost, and they keep what
the next stage depends on: that it still writes such prompts. The weight grows over the run: while it is
small the skill is learned fast, and while it is large the skill settles where it disturbs least.

The teacher's side of the KL is a constant, so its final hidden states are computed once per reminder
and kept: that is exact (the head is applied to them as before), takes 1/vocabulary of what
log-probabilities would, and saves the teacher's forward pass in every step.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import torch

from holdfast.seeds import derive_seed
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence
from holdfast.training.method import (
    Loss,
    Row,
    remember_teacher,
    row_sums,
    teacher_rows,
    token_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from holdfast.models.layout import TokenRow
    from holdfast.models.learner import Learner
    from holdfast.training.config import RehearsalConfig
    from holdfast.training.rehearsal import Reminder

Pool: TypeAlias = tuple[str, str, int]
"""Origin, registered skill, kind."""
KIND_POWER = 0.75
"""Kinds are rehearsed by this power of their size: between as often as they are written (1) and evenly (0)."""
_FORWARD_KL = Divergence("forward_kl")


class ReminderMix:
    """The reminders of every step of a run, planned from the seed alone."""

    def __init__(
        self,
        learner: Learner,
        reminders: Sequence[Reminder],
        settings: RehearsalConfig,
        *,
        num_steps: int,
        seed: int,
        micro_batch_tokens: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.settings = settings
        self._rows = [_row(reminder, settings) for reminder in reminders]
        self.plan = plan_reminders(reminders, settings, num_steps=num_steps, seed=seed) if reminders else []
        if reminders and settings.cache == "hidden":
            used = sorted({index for step in self.plan for index in step})
            self._remember(learner, used, micro_batch_tokens, progress)

    def rows(self, step: int) -> list[Row]:
        """Returns the reminders of a step, counted from 0."""
        if not self.plan:
            return []
        weight = weight_at(step, len(self.plan), self.settings) / self.settings.per_step
        return [replace(self._rows[index], weight=weight) for index in self.plan[step]]

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the weighted per-sequence mean of forward KL(current || candidate)."""
        known = [row.teacher_hidden for row in rows if row.teacher_hidden is not None]
        if len(known) == len(rows):
            teacher_hidden = torch.cat(known).to(learner.device)
        else:
            teacher_hidden = learner.hidden(teacher_rows(rows), "current")
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate")
        head, teacher = learner.head("candidate"), learner.head("current")
        weights = reminder_weights(rows).to(hidden.device)
        result = head_loss(
            hidden,
            head.weight,
            head.bias,
            weights,
            teacher_hidden=teacher_hidden,
            teacher_weight=teacher.weight,
            teacher_bias=teacher.bias,
            divergence=_FORWARD_KL,
        )
        row_weights = torch.tensor([row.weight for row in rows], device=hidden.device)
        per_row = row_sums(result.per_row * weights, rows) / row_weights
        return Loss(result.loss, per_row, {"reminder_kl": float(per_row.sum()) / self.settings.per_step})

    def _remember(
        self,
        learner: Learner,
        used: Sequence[int],
        tokens: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Computes the teacher's hidden states, in batches that depend on the reminders alone."""
        rows, done = [self._rows[index] for index in used], 0

        def states(read: Sequence[TokenRow]) -> Tensor:
            nonlocal done
            found = learner.hidden(read, "current").cpu()
            done += len(read)
            if progress is not None:
                progress(done, len(rows))
            return found

        known = remember_teacher(learner, rows, states, budget=tokens)
        for index, row in zip(used, known, strict=True):
            self._rows[index] = row


def reminder_weights(rows: Sequence[Row]) -> Tensor:
    """Returns [N] the share of each masked token in the step's loss: a written prompt counts as much as its answer."""
    shares: list[float] = []
    for row in rows:
        start = row.completion_start or 0
        counts = [count for count in (sum(row.mask[:start]), sum(row.mask[start:])) if count]
        for count in counts:
            shares += [row.weight / (len(counts) * count)] * count
    return torch.tensor(shares, dtype=torch.float32)


def weight_at(step: int, num_steps: int, settings: RehearsalConfig) -> float:
    """Returns the weight of the reminders at a step, counted from 0: evenly from the first weight to the last.

    >>> from holdfast.training.config import RehearsalConfig
    >>> [weight_at(step, 3, RehearsalConfig(first_weight=1.0, weight=8.0)) for step in range(3)]
    [1.0, 4.5, 8.0]
    """
    share = step / (num_steps - 1) if num_steps > 1 else 1.0
    return settings.first_weight + (settings.weight - settings.first_weight) * share


def plan_reminders(
    reminders: Sequence[Reminder], settings: RehearsalConfig, *, num_steps: int, seed: int
) -> list[list[int]]:
    """Returns for each step which reminders it holds.

    Every step holds the sources in their shares (to within one reminder), the registered part evenly
    over the skills and the self-written part over its kinds by the power 3/4 of their sizes; each pool is
    gone through in a new random order before anything in it repeats.
    """
    pools: dict[Pool, list[int]] = {}
    for index, reminder in enumerate(reminders):
        pools.setdefault((reminder.origin, reminder.skill, reminder.kind), []).append(index)
    keys = sorted(pools)
    shares = pool_shares({key: len(pools[key]) for key in keys}, settings)
    keys = [key for key in keys if shares[key] > 0]
    queues: dict[Pool, list[int]] = {key: [] for key in keys}
    rounds = dict.fromkeys(keys, 0)
    plan: list[list[int]] = []
    for step in range(num_steps):
        offset = random.Random(derive_seed(seed, "mix", step)).random()
        chosen: list[int] = []
        for slot in range(settings.per_step):
            key = _at(keys, shares, (slot + offset) / settings.per_step)
            if not queues[key]:
                queues[key] = list(pools[key])
                random.Random(derive_seed(seed, f"mix {key}", rounds[key])).shuffle(queues[key])
                rounds[key] += 1
            chosen.append(queues[key].pop())
        plan.append(chosen)
    return plan


def pool_shares(sizes: Mapping[Pool, int], settings: RehearsalConfig) -> dict[Pool, float]:
    """Returns the share of each (origin, skill, kind) pool of this size, scaled to one over the pools that exist.

    >>> from holdfast.training.config import RehearsalConfig
    >>> sizes = {("self", "", 0): 81, ("self", "", 1): 16, ("registered", "s", 0): 50}
    >>> {key: round(share, 3) for key, share in pool_shares(sizes, RehearsalConfig()).items()}
    {('self', '', 0): 0.386, ('self', '', 1): 0.114, ('registered', 's', 0): 0.5}
    """
    by_origin = {
        "self": settings.self_written_share,
        "registered": settings.registered_share,
        "given": settings.given_share,
    }
    parts = {key: size**KIND_POWER if key[0] == "self" else 1.0 for key, size in sizes.items()}
    wholes: defaultdict[str, float] = defaultdict(float)
    for key, part in parts.items():
        wholes[key[0]] += part
    raw = {key: by_origin[key[0]] * part / wholes[key[0]] for key, part in parts.items()}
    total = sum(raw.values())
    return {key: share / total for key, share in raw.items()} if total else {key: 1 / len(raw) for key in raw}


def _at(keys: Sequence[Pool], shares: dict[Pool, float], point: float) -> Pool:
    reached = 0.0
    for key in keys:
        reached += shares[key]
        if point < reached:
            return key
    return keys[-1]


def _row(reminder: Reminder, settings: RehearsalConfig) -> Row:
    """Returns a reminder as a row; nothing stands before its first token, so that one is never a target."""
    ids = [*reminder.prompt_ids, *reminder.completion_ids]
    start = 1 if reminder.origin == "self" else len(reminder.prompt_ids)
    mask = [False] * start + [True] * (len(ids) - start)
    return Row(ids, mask, 1 / settings.per_step, kind="reminder", completion_start=len(reminder.prompt_ids))
