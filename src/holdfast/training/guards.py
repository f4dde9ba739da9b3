"""Checks before a run: does the context make the teacher better, and does the model know its own tokens?"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from holdfast.errors import TeacherNotBetterError, TrainingError
from holdfast.models.generate import Sampling
from holdfast.models.layout import TokenRow
from holdfast.models.render import TEACHER_TEMPLATE, render_example, render_prompt, render_teacher_prompt
from holdfast.seeds import derive_seed
from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.models.learner import Learner
    from holdfast.types import Completion, Example, Score

    Grade = Callable[[Sequence[tuple[Completion, Example]]], Sequence[Score]]

ALIGNMENT = 0.94
"""Least share of greedy tokens that the model must take again when it scores them; an off-by-one shows as ~0."""


@dataclass(frozen=True, slots=True)
class TeacherReport:
    """How much better the model answers with the context in view, on some examples.

    NLLs are nats per token of the demonstration; scores are greedy mean grades, None without a grader.
    """

    num_examples: int
    student_nll: float | None
    teacher_nll: float | None
    student_score: float | None
    teacher_score: float | None
    better: bool
    words: str


def check_teacher(
    learner: Learner,
    examples: Sequence[Example],
    *,
    num_examples: int = 32,
    template: str | None = None,
    grade: Grade | None = None,
    tested_alike: bool = False,
    max_new_tokens: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TeacherReport:
    """Returns whether the context makes `current` better on a sample of the examples.

    With a grader, greedy answers decide. Without one, or where it sees no difference, the likelihood of the
    demonstrations does, which is the weaker evidence: a teacher that only copies looks good by it, and one
    that restates the content in its own style looks bad. Where the skill is tested by references of the
    demonstrations' own form (`tested_alike`), a teacher of whose answers none gets anything cannot teach what would
    pass, however likely it finds the demonstrations. `progress(done, total)` counts the answers.
    """
    chosen = random.Random(derive_seed(seed, "teacher check")).sample(list(examples), min(num_examples, len(examples)))
    shown = [example for example in chosen if example.demonstration is not None]
    student_nll = teacher_nll = None
    if shown:
        student_nll, teacher_nll = _likelihoods(learner, shown, template or TEACHER_TEMPLATE)
    student_score = teacher_score = None
    graded = shown if grade is not None else []
    if graded and grade is not None:
        asked = _Asked(learner, graded, grade, max_new_tokens, progress)
        bare = [list(render_prompt(learner.tokenizer, example.prompt, example.tools)) for example in graded]
        full = [_teacher_prompt(learner, example, template) for example in graded]
        student_score, teacher_score = asked.score(bare, 0), asked.score(full, 1)
    better, words = True, "not measured: the examples have no demonstration to compare with"
    if student_nll is not None and teacher_nll is not None:
        better = teacher_nll < student_nll
        words = f"the demonstrations cost {student_nll:.2f} nats a token bare, {teacher_nll:.2f} with the context"
    if student_score is not None and teacher_score is not None:
        scores = f"graded answers: {student_score:.0%} bare, {teacher_score:.0%} with the context"
        words = f"{scores}; {words}"
        if teacher_score != student_score or (tested_alike and not teacher_score):
            better = teacher_score > student_score
    return TeacherReport(
        len(chosen), student_nll, teacher_nll, student_score, teacher_score, better, f"{words} ({len(chosen)} examples)"
    )


def require_better_teacher(report: TeacherReport) -> None:
    """Raises TeacherNotBetterError when the context does not help."""
    if not report.better:
        raise TeacherNotBetterError(
            f"the context does not make the teacher better, so there is nothing to distil: {report.words}. Look at "
            "the teacher's prompt with `holdfast render --method sdft`, use method = sft, or set "
            "guards.teacher_check = warn.",
            param="guards.teacher_check",
        )


def check_alignment(learner: Learner, prompts: Sequence[Sequence[int]], *, max_new_tokens: int = 32) -> float:
    """Returns the share of greedy tokens of `current` that are also its likeliest when they are scored.

    Raises TrainingError below 94 %: then the positions, masks or adapters of generation and training differ.
    """
    groups = learner.generate(prompts, Sampling(max_new_tokens=max_new_tokens, temperature=0.0), which="current")
    rows = [
        TokenRow([*prompt, *group[0].token_ids], [False] * len(prompt) + [True] * len(group[0].token_ids))
        for prompt, group in zip(prompts, groups, strict=True)
    ]
    wanted = torch.tensor([token for group in groups for token in group[0].token_ids], device=learner.device)
    head = learner.head("current")
    with torch.no_grad():
        hidden = learner.hidden(rows, "current").to(head.weight.dtype)
        taken = torch.cat([torch.nn.functional.linear(h, head.weight, head.bias).argmax(-1) for h in hidden.split(256)])
    share = float((taken == wanted).float().mean())
    if share < ALIGNMENT:
        raise TrainingError(
            f"alignment self-test: the model recognises only {share:.0%} of its own greedy tokens when they are scored "
            f"(at least {ALIGNMENT:.0%} are needed), so generation and training do not see the same model. "
            "Try precision = float32; if that changes nothing, please report it with the model's name."
        )
    return share


def _likelihoods(learner: Learner, examples: Sequence[Example], template: str) -> tuple[float, float]:
    """Returns the demonstrations' mean NLL per token after the bare and after the teacher's prompt."""
    bare_rows: list[TokenRow] = []
    full_rows: list[TokenRow] = []
    for example in examples:
        turns = [replace(turn, weight=float(turn is example.demonstration)) for turn in example.messages]
        only_last = replace(example, messages=tuple(turns))
        rendered = render_example(learner.tokenizer, only_last, max_tokens=learner.context_length)
        bare_rows.append(TokenRow(rendered.input_ids, rendered.completion_mask))
        answer = [t for t, used in zip(rendered.input_ids, rendered.completion_mask, strict=True) if used]
        full = _teacher_prompt(learner, example, template)
        full_rows.append(TokenRow(full + answer, [False] * len(full) + [True] * len(answer)))
    return mean_nll(learner, bare_rows), mean_nll(learner, full_rows)


def mean_nll(learner: Learner, rows: Sequence[TokenRow], *, batch: int = 8) -> float:
    """Returns the mean over rows of `current`'s mean NLL of the masked tokens, in nats."""
    head = learner.head("current")
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            ids = [token for row in part for token, used in zip(row.input_ids, row.mask, strict=True) if used]
            counts = torch.tensor([sum(row.mask) for row in part])
            weights = torch.repeat_interleave(1 / counts, counts).to(learner.device)
            result = head_loss(
                learner.hidden(part, "current"),
                head.weight,
                head.bias,
                weights,
                targets=torch.tensor(ids, device=learner.device),
                divergence=Divergence("cross_entropy"),
            )
            total += float(result.loss)
    mean = total / len(rows)
    if not math.isfinite(mean):
        raise TrainingError("the model gives its demonstrations no finite likelihood. Use precision = float32.")
    return mean


def _teacher_prompt(learner: Learner, example: Example, template: str | None) -> list[int]:
    return list(render_teacher_prompt(learner.tokenizer, example, template=template or TEACHER_TEMPLATE))


@dataclass(frozen=True, slots=True)
class _Asked:
    """Examples to be answered twice, bare and with the context, and who judges the answers."""

    learner: Learner
    examples: Sequence[Example]
    grade: Grade
    max_new_tokens: int
    progress: Callable[[int, int], None] | None

    def score(self, prompts: Sequence[Sequence[int]], half: int) -> float:
        """Returns the mean grade of greedy answers to `prompts`; `half` is 0 or 1 for the progress."""
        num, told = len(prompts), self.progress
        groups = self.learner.generate(
            prompts,
            Sampling(max_new_tokens=self.max_new_tokens, temperature=0.0),
            which="current",
            progress=None if told is None else lambda done, _: told(half * num + done, 2 * num),
        )
        answers = [group[0] for group in groups]
        scores = self.grade(list(zip(answers, self.examples, strict=True)))
        graded = [score.value for score in scores if score.error_type is None]
        return sum(graded) / len(graded) if graded else 0.0
