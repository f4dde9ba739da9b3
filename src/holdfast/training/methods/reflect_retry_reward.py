"""Reflect, Retry, Reward: learn to write reflections after which a failed task succeeds.

Paper: Bensal, Jamil, Bryant, Russak, Kamble, Mozolevskyi, Ali & AlShikh 2025, "Reflect, Retry, Reward:
Self-Improving LLMs via Reinforcement Learning" (arXiv:2505.24726).

    c = task, failed attempt, "reflect"           r_1..r_G ~ pi(. | c)       the reflections: all that is trained
    y_i ~ pi(. | c, r_i, "try again")             R_i = grader(y_i)          the retries: sampled, graded, not trained
    A_i = (R_i - mean R) / (std R + eps)          over the reflections of one task and one failed attempt
    loss = clipped policy gradient of A on r + beta KL(pi || current) on r   (`policy_loss`)

Choices made here
- The KL's reference is the frozen promoted version, as everywhere in Holdfast.
- Preset `paper`: GRPO (mean of each sequence, then of all), advantages divided by the group's spread, beta 0.001.
  What the paper leaves open (group size, temperature, clipping) has the values of its time: 8, 1.0, 0.2.
  Preset `modern`: DAPO's token mean and wider upper clip (0.28), beta 0.01. `loss = "dr_grpo"` divides by neither
  length nor spread; `ratio = "sequence"` is GSPO.
- Groups whose retries are all alike teach nothing: they are dropped before any forward pass and others are sampled
  in their place, up to `refill` times. Where that does not fill the step, it is smaller.
- A retry that could not be graded has no part in its group's mean and the advantage 0.
- The reflections of a group are one row with branches: their prompt is prefilled once when they are sampled and
  computed once when they are trained on, under the candidate as under the frozen version. Their retries, too, read
  once what they have in common, which is all up to the reflection.
- Failures are mined from the candidate before the run and anew every `remine_every` steps, or sampled online, one
  attempt a task. A failed attempt goes into the conversation as text, so that every template allows it.
- Thinking before a reflection is trained like the reflection, and left out of what the retry reads.
- In every round the tasks that have answers are also retried after a reflection that gives the answer (`obedience`):
  the reward reaches reflections only, so nothing else would show that the model unlearns to read them. It is measured
  and drawn, and changes nothing.
- With rollouts used at once (`steps_per_generation` 1) the ratio is exactly 1; for more, the log-probabilities of
  sampling are kept.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, cast

import torch

from holdfast.errors import CollapseError, NothingToLearnError
from holdfast.models.logprobs import row_logprobs
from holdfast.seeds import derive_seed
from holdfast.training.advantages import group_advantages, has_signal
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence
from holdfast.training.method import Loss, PolicyTargets, Row, row_means, targets, token_rows, weighted_sum
from holdfast.training.policy_loss import PolicyObjective, policy_loss, spread, token_shares
from holdfast.training.reflection import (
    Conversation,
    Failure,
    attempt_all,
    failures_in,
    nothing_failed,
    nothing_left,
    obedience,
    reflect_and_retry,
    share_with_answer,
    shuffled,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor
    from torch.nn import Parameter

    from holdfast.graders import Grader
    from holdfast.models.learner import Learner
    from holdfast.training.config import ReflectConfig
    from holdfast.training.reflection import Tried
    from holdfast.types import Completion, Example, Score

    Group = tuple[Example, str, Sequence[Tried]]

_CROSS_ENTROPY = Divergence("cross_entropy")
SAME_WINDOW = 5
"""Rounds of sampling in a row in which nearly all reflections are one text before the run is stopped."""


class ReflectRetryReward:
    """Policy gradient on the reflections that make a retry succeed."""

    name = "reflect"
    stopped: str | None = None

    def __init__(self, config: ReflectConfig, learner: Learner, examples: Sequence[Example], grader: Grader) -> None:
        self.config, self.grader = config, grader
        self.packed = learner.can_pack
        self.steps_per_generation = config.steps_per_generation
        self.objective = PolicyObjective.of(config.policy)
        self.measured: dict[str, float] = {}
        self.failures: list[Failure] = []
        self._tasks = {example.id: example for example in examples}
        self._talk = Conversation(learner, config)
        self._mined_at: int | None = None
        self._rounds = 0
        self._round: tuple[int, list[Row]] | None = None
        self._same = 0

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns all tasks."""
        return list(examples)

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns one row per task and failed attempt: the prompt, and a branch for each reflection."""
        if self._round is None or self._round[0] != seed:
            self._mine_if_due(learner, seed)
            self._rounds += 1
            self._round = (seed, self._groups(examples, seed))
        rows = self._round[1]
        first, last = (len(rows) * at // self.steps_per_generation for at in (part, part + 1))
        return self._with_shares(rows[first:last])

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the policy loss of the rows' reflections, in nats."""
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate", packed=self.packed)
        head, wanted = learner.head("candidate"), targets(rows, hidden.device)
        policies = [cast("PolicyTargets", row.policy) for row in rows]
        lengths = [length for policy in policies for length in policy.lengths]
        with torch.no_grad():
            blank = torch.zeros(len(wanted), device=hidden.device)
            seen = head_loss(
                hidden.detach(),
                head.weight,
                head.bias,
                blank,
                targets=wanted,
                divergence=_CROSS_ENTROPY,
                want_entropy=True,
            )
        logp = cast("Tensor", seen.sampled_logprob).requires_grad_()
        old = (
            logp.detach() if self.steps_per_generation == 1 else torch.cat([policy.old for policy in policies]).to(logp)
        )
        advantage = spread([value for policy in policies for value in policy.advantages], lengths, logp)
        reference = (
            torch.cat([cast("Tensor", policy.reference) for policy in policies]).to(logp)
            if self.objective.beta
            else None
        )
        found = policy_loss(logp, old, advantage, lengths, self.objective, reference)
        value = found.total([share for policy in policies for share in policy.shares], lengths)
        # The loss is a function of the log-probabilities; its gradient in them weighs the fused head's gradient.
        (slope,) = torch.autograd.grad(value, logp)
        carrier = head_loss(hidden, head.weight, head.bias, -slope, targets=wanted, divergence=_CROSS_ENTROPY).loss
        per_row = row_means(found.per_token.detach(), rows)
        entropy = cast("Tensor", seen.entropy)
        metrics = {
            "kl": weighted_sum(row_means(found.kl, rows), rows),
            "clipped": weighted_sum(row_means(found.clipped.to(logp.dtype), rows), rows),
            "entropy": weighted_sum(row_means(entropy, rows), rows),
        }
        return Loss(value.detach() + carrier - carrier.detach(), per_row, metrics)

    def after_step(self, learner: Learner) -> None:
        """Does nothing."""

    def finish(self, learner: Learner) -> None:
        """Does nothing: the last weights are the result."""

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns nothing: the learner's weights are all there is."""
        return []

    def state_dict(self) -> dict[str, object]:
        """Returns the failures, and the rollouts still in use."""
        state: dict[str, object] = {
            "stopped": self.stopped,
            "failures": [asdict(failure) for failure in self.failures],
            "mined_at": self._mined_at,
            "rounds": self._rounds,
            "same": self._same,
        }
        if self._round is not None and self.steps_per_generation > 1:
            seed, rows = self._round
            state["round"] = {"seed": seed, "rows": [_to_state(row) for row in rows]}
        return state

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the failures and the rollouts up."""
        self.failures = [Failure(**failure) for failure in cast("list[dict]", state["failures"])]
        self.stopped = cast("str | None", state["stopped"])
        self._mined_at = cast("int | None", state["mined_at"])
        self._rounds, self._same = cast("int", state["rounds"]), cast("int", state["same"])
        kept = cast("Mapping[str, object] | None", state.get("round"))
        self._round = None
        if kept is not None:
            rows = [_from_state(row) for row in cast("list[Mapping[str, object]]", kept["rows"])]
            self._round = (cast("int", kept["seed"]), rows)

    def _mine_if_due(self, learner: Learner, seed: int) -> None:
        """Samples the failures that the run learns from, before the first round and again when they are old."""
        every = self.config.attempts.remine_every
        done = self._rounds * self.steps_per_generation
        first = self._mined_at is None
        if self.config.attempts.source == "online" or not (
            first or (every and done - cast("int", self._mined_at) >= every)
        ):
            return
        tasks = list(self._tasks.values())
        tried = attempt_all(
            self._talk, tasks, self.grader, which="candidate", num_samples=self.config.attempts.per_task,
            temperature=self.config.temperature, seed=derive_seed(seed, "mine"),
        )  # fmt: skip
        found = failures_in(self.config, tasks, tried, step=done)
        self._mined_at = done
        if found:
            self.failures += found
        elif first:
            scores = [score for attempts in tried for _, score in attempts]
            raise NothingToLearnError(nothing_failed(self.config, len(tasks), scores))

    def _groups(self, examples: Sequence[Example], seed: int) -> list[Row]:
        """Returns the groups that teach, at most as many as there are examples; none where no task fails any more."""
        wanted, seen = len(examples), list["Score"]()
        queue = self._candidates(examples, seed, seen)
        taught, spare = list["Group"](), list["Group"]()
        for turn in range(1 + self.config.refill):
            tasks = [next(queue, None) for _ in range(wanted - len(taught))]
            batch = [task for task in tasks if task is not None]
            if not batch:
                break
            found = self.sample(batch, derive_seed(seed, "reflect", turn))
            for (example, attempt), group in zip(batch, found, strict=True):
                signal = has_signal([one.reward for one in group])
                (taught if signal else spare).append((example, attempt, group))
        if not taught and not spare:
            if self._rounds == 1:
                raise NothingToLearnError(nothing_failed(self.config, len(self._tasks), seen))
            self.stopped = nothing_left(len(self._tasks), seen)
            return []
        self._measure([*taught, *spare], len(taught), derive_seed(seed, "obey"))
        # A step is never empty: where too few groups teach, others stand in, with advantage 0.
        chosen = [*taught[:wanted], *spare[: max(0, self.steps_per_generation - len(taught))]]
        return self._with_reference([row for group in chosen for row in self.rows_of(*group)])

    def sample(self, tasks: Sequence[tuple[Example, str]], seed: int) -> list[list[Tried]]:
        """Returns the reflections on each task's failed attempt, with the retries that followed and their scores."""
        config = self.config
        return reflect_and_retry(
            self._talk, tasks, self.grader, num_samples=config.group_size, temperature=config.temperature,
            retry_temperature=config.retry_temperature, seed=seed,
        )  # fmt: skip

    def rows_of(self, example: Example, attempt: str, group: Sequence[Tried]) -> list[Row]:
        """Returns what is trained of one group: one row, the prompt with a branch for each reflection."""
        prompt = self._talk.ids(self._talk.reflect(example, attempt), example)
        return [self.row(example, prompt, [one.reflection for one in group], self.advantages(group))]

    def advantages(self, group: Sequence[Tried]) -> list[float]:
        """Returns the advantage of each reflection of a group; 0 for what could not be graded."""
        return group_advantages([one.reward for one in group], self.objective.scale)

    def row(self, example: Example, prompt: Sequence[int], said: Sequence[Completion], advantages: list[float]) -> Row:
        """Returns a row with a branch for each completion of one prompt."""
        lengths = [len(one.token_ids) for one in said]
        starts = [len(prompt) + sum(lengths[:place]) for place in range(len(said))]
        old = torch.tensor([value for one in said for value in one.logprobs], dtype=torch.float32)
        ids = [*prompt, *(token for one in said for token in one.token_ids)]
        mask = [False] * len(prompt) + [True] * (len(ids) - len(prompt))
        policy = PolicyTargets(lengths=lengths, advantages=advantages, old=old)
        return Row(ids, mask, weight=1.0, example_id=example.id, branches=tuple(starts), policy=policy)

    def _candidates(self, examples: Sequence[Example], seed: int, seen: list[Score]) -> Iterator[tuple[Example, str]]:
        """Yields tasks with a failed attempt: those of the step first, then others, in the seed's order.

        New attempts are made as often as the step may be refilled, and beyond that until one fails; `seen` gets their
        scores.
        """
        first = {example.id for example in examples}
        if self.config.attempts.source == "online":
            others = shuffled([task for name, task in self._tasks.items() if name not in first], seed)
            waiting, size, failed = [*examples, *others], len(examples), False
            for turn in range(math.ceil(len(waiting) / size)):
                if failed and turn > self.config.refill:
                    return
                for task in self._fresh(
                    waiting[turn * size : (turn + 1) * size], derive_seed(seed, "attempt", turn), seen
                ):
                    failed = True
                    yield task
            return
        newest = self.failures[-1].step
        order = shuffled([failure for failure in self.failures if failure.step == newest], seed)
        leading = {failure.example_id: failure for failure in order if failure.example_id in first}
        for failure in [*leading.values(), *(f for f in order if leading.get(f.example_id) is not f)]:
            yield self._tasks[failure.example_id], failure.attempt

    def _fresh(self, examples: Sequence[Example], seed: int, seen: list[Score]) -> Iterator[tuple[Example, str]]:
        tried = attempt_all(
            self._talk, examples, self.grader, which="candidate", num_samples=1,
            temperature=self.config.temperature, seed=seed,
        )  # fmt: skip
        seen += [score for ((_, score),) in tried]
        for example, ((attempt, score),) in zip(examples, tried, strict=True):
            if score.error_type is None and not score.passed:
                yield example, attempt.text

    def _with_reference(self, rows: list[Row]) -> list[Row]:
        """Returns the rows with the log-probabilities of their tokens under the frozen version."""
        if not self.objective.beta:
            return rows
        known = row_logprobs(self._talk.learner, token_rows(rows), "current", packed=self.packed)
        return [
            replace(row, policy=replace(cast("PolicyTargets", row.policy), reference=torch.tensor(found.logprobs)))
            for row, found in zip(rows, known, strict=True)
        ]

    def _with_shares(self, rows: Sequence[Row]) -> list[Row]:
        """Returns the rows of one step with the share of each token in its loss, normalised over the whole step."""
        policies = [cast("PolicyTargets", row.policy) for row in rows]
        lengths = [length for policy in policies for length in policy.lengths]
        shares = iter(token_shares(lengths, self.objective.shares, self.config.max_tokens.reflection))
        total = max(1, sum(lengths))
        return [
            replace(
                row,
                weight=sum(policy.lengths) / total,
                policy=replace(policy, shares=[next(shares) for _ in policy.lengths]),
            )
            for row, policy in zip(rows, policies, strict=True)
        ]

    def _measure(self, groups: Sequence[Group], num_signal: int, seed: int) -> None:
        """Keeps what is told about a round, and stops a run whose reflections have become one text."""
        flat = [one for _, _, group in groups for one in group]
        texts = [one.reflection.text.strip() for one in flat]
        rewards = [one.reward for one in flat if one.reward is not None]
        most = max(Counter(texts).values()) / len(texts)
        self.measured = {
            "reward": sum(rewards) / max(1, len(rewards)),
            "groups_with_signal": num_signal / len(groups),
            "unique_reflections": len(set(texts)) / len(texts),
            "most_common_reflection": most,
            "reflection_tokens": sum(len(one.reflection.token_ids) for one in flat) / len(flat),
            "reflections_ended": sum(one.reflection.finish_reason == "stop" for one in flat) / len(flat),
            "not_graded": 1 - len(rewards) / len(flat),
        }
        tasks = [(example, attempt) for example, attempt, _ in groups]
        said = [[one.reflection.text for one in group] for _, _, group in groups]
        leaks = share_with_answer([example for example, _ in tasks], said)
        obeyed = obedience(
            self._talk, tasks, self.grader, which="candidate", temperature=self.config.retry_temperature, seed=seed
        )
        if leaks is not None:
            self.measured["reflections_with_answer"] = leaks
        if obeyed:
            self.measured["obedience"] = sum(score.passed for score in obeyed) / len(obeyed)
        self._same = self._same + 1 if most >= self.config.max_same_reflection and len(groups) > 1 else 0
        if self._same >= SAME_WINDOW:
            num_steps = SAME_WINDOW * self.steps_per_generation
            raise CollapseError(
                f"The run was stopped: for {num_steps} steps, {most:.0%} of all reflections were one text: "
                f'"{texts[0][:80]}". Lower optimizer.learning_rate, raise method.policy.beta, or look at the task: '
                "where a reflection that says nothing succeeds as often as one that does, there is nothing to learn.",
                param="method.max_same_reflection",
            )


def _to_state(row: Row) -> dict[str, object]:
    policy = cast("PolicyTargets", row.policy)
    kept = {
        "lengths": policy.lengths,
        "advantages": policy.advantages,
        "old": policy.old,
        "reference": policy.reference,
    }
    return {"ids": row.input_ids, "mask": row.mask, "example": row.example_id, "branches": list(row.branches), **kept}


def _from_state(state: Mapping[str, object]) -> Row:
    policy = PolicyTargets(
        lengths=list(cast("list[int]", state["lengths"])),
        advantages=list(cast("list[float]", state["advantages"])),
        old=cast("Tensor", state["old"]),
        reference=cast("Tensor | None", state["reference"]),
    )
    return Row(
        list(cast("list[int]", state["ids"])),
        list(cast("list[bool]", state["mask"])),
        weight=1.0,
        example_id=cast("str", state["example"]),
        branches=tuple(cast("list[int]", state["branches"])),
        policy=policy,
    )
