"""Whether reflections can be learned from: what a retry gains by its own reflection, and by every control.

Controls (Reflect, Retry, Reward, arXiv:2505.24726, reports none of them). A retry may succeed without any
reflection being read: because another sample is another chance (`blind`), because being asked again is enough
(`bare`), because any words help (`generic`), or because of what a reflection on another task says (`donor`).
Only what the own reflection gains over these is a gain by reflecting.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.seeds import derive_seed
from holdfast.training.advantages import has_signal
from holdfast.training.reflection import (
    GENERIC,
    Conversation,
    attempt_all,
    graded_answers,
    not_graded,
    obedience,
    reflect_and_retry,
    share_with_answer,
)
from holdfast.types import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.graders import Grader
    from holdfast.models.learner import Learner, Which
    from holdfast.training.config import ReflectConfig
    from holdfast.training.reflection import Tried
    from holdfast.types import Example, Score


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of so many."""

    passed: int
    total: int

    @property
    def share(self) -> float:
        """The share that passed; 0 where there is nothing."""
        return self.passed / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class ReflectionReport:
    """What first tries, retries and controls reach on some tasks.

    `recovery` counts failed tasks whose retry after the own reflection succeeds; each control counts the same tasks.
    `second` counts tasks solved at the first or second try. `informative` counts groups whose retries differ.
    `gains` has for each control but gold the success of the own retry less that of the control, task by task.
    `lengths` (in tokens), `ended` and `leaks` (the share that holds the answer, of tasks that have one) are means over
    the reflections of one task: those are not independent of each other, the tasks are.
    `unique` is the share of different texts among all reflections. It describes these and no others: the more there
    are, the more repeat each other, so it estimates nothing that an interval could hold.
    """

    first: Counted
    second: Counted
    recovery: Counted
    controls: dict[str, Counted]
    informative: Counted
    gains: dict[str, list[float]]
    lengths: list[float]
    ended: list[float]
    leaks: list[float]
    unique: float
    not_graded: int
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    reasons_after: dict[str, int] = field(default_factory=dict[str, int])
    why_not_graded: str = ""
    """How many first tries and retries could not be graded, with the most common reason; empty where all could."""

    @property
    def gain(self) -> float:
        """Recovery less that of the best control but gold: what reading the own reflection is worth."""
        return min((_mean(differences) for differences in self.gains.values()), default=0.0)

    @property
    def length(self) -> float:
        """The mean length of a reflection, in tokens."""
        return _mean(self.lengths)


def check_reflection(
    learner: Learner,
    examples: Sequence[Example],
    grader: Grader,
    config: ReflectConfig,
    *,
    which: Which,
    seed: int,
    attempt_temperature: float = 0.0,
    attempts_by: Which | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ReflectionReport:
    """Returns what reflections are worth on `examples`: one first try each, then retries of those that failed.

    Every failed task gets `group_size` reflections at the recipe's temperature; recovery is that of the first of
    them, and the whole group says whether it could teach. `attempts_by` has another version make the first tries, so
    that two versions can be asked about the same failures.
    """
    talk = Conversation(learner, config)
    tried = attempt_all(
        talk,
        examples,
        grader,
        which=attempts_by or which,
        num_samples=1,
        temperature=attempt_temperature,
        seed=seed,
        progress=progress,
    )
    firsts = [(example, attempt.text, score) for example, ((attempt, score),) in zip(examples, tried, strict=True)]
    graded = [each for each in firsts if each[2].error_type is None]
    failed = [(example, text, score) for example, text, score in graded if not score.passed]
    tasks = [(example, text) for example, text, _ in failed]
    items = [example for example, _ in tasks]
    groups = _groups(talk, tasks, grader, which, seed) if tasks else []
    own = [group[0].score for group in groups]
    said = [[one.reflection for one in group] for group in groups]
    texts = [reflection.text.strip() for group in said for reflection in group]
    recovered = _count(own)
    controls = _controls(talk, tasks, groups, grader, which, seed) if tasks else {}
    held = [share_with_answer([item], [[one.text for one in group]]) for item, group in zip(items, said, strict=True)]
    return ReflectionReport(
        first=_count([score for _, _, score in graded]),
        second=Counted(len(graded) - len(failed) + recovered.passed, len(graded)),
        recovery=recovered,
        controls={name: _count(scores) for name, scores in controls.items()},
        informative=Counted(sum(has_signal([one.reward for one in group]) for group in groups), len(groups)),
        gains=_gains(own, {name: scores for name, scores in controls.items() if name != "gold"}),
        lengths=[_mean([len(one.token_ids) for one in group]) for group in said],
        ended=[_mean([one.finish_reason == "stop" for one in group]) for group in said],
        leaks=[share for share in held if share is not None],
        unique=len(set(texts)) / len(texts) if texts else 0.0,
        not_graded=len(firsts) - len(graded) + sum(score.error_type is not None for score in own),
        why_not_graded=not_graded([*(score for _, _, score in firsts), *own]) or "",
        reasons=_reasons([score for _, _, score in failed]),
        reasons_after=_reasons([score for score in own if score.error_type is None and not score.passed]),
    )


def _groups(
    talk: Conversation, tasks: Sequence[tuple[Example, str]], grader: Grader, which: Which, seed: int
) -> list[list[Tried]]:
    config = talk.config
    return reflect_and_retry(
        talk, tasks, grader, which=which, num_samples=config.group_size, temperature=config.temperature,
        retry_temperature=config.retry_temperature, seed=derive_seed(seed, "check"),
    )  # fmt: skip


def _controls(
    talk: Conversation,
    tasks: Sequence[tuple[Example, str]],
    groups: Sequence[Sequence[Tried]],
    grader: Grader,
    which: Which,
    seed: int,
) -> dict[str, list[Score]]:
    """Returns the scores of one retry of each failed attempt under every control; of gold, where there are answers."""
    config = talk.config
    donors = [group[0].reflection.text for group in [*groups[1:], *groups[:1]]]
    asked = {
        "bare": [
            (*talk.task(example), Message("assistant", attempt), talk.again(example)) for example, attempt in tasks
        ],
        "blind": [talk.task(example) for example, _ in tasks],
        "generic": [talk.retry(example, attempt, GENERIC) for example, attempt in tasks],
    }
    if len(tasks) > 1:
        asked["donor"] = [
            talk.retry(example, attempt, donor) for (example, attempt), donor in zip(tasks, donors, strict=True)
        ]
    items = [example for example, _ in tasks]
    found: dict[str, list[Score]] = {}
    for name, prompts in asked.items():
        # Another sample of the bare task must be one: greedily it would be the failed attempt again.
        temperature = config.temperature if name == "blind" else config.retry_temperature
        found[name] = graded_answers(
            talk, list(zip(items, prompts, strict=True)), grader, which=which, temperature=temperature,
            seed=derive_seed(seed, f"control {name}"),
        )  # fmt: skip
    gold = obedience(
        talk, tasks, grader, which=which, temperature=config.retry_temperature, seed=derive_seed(seed, "control gold")
    )
    return {**found, "gold": gold} if gold else found


def _gains(own: Sequence[Score], controls: Mapping[str, Sequence[Score]]) -> dict[str, list[float]]:
    """Returns what the own retry has over each control's, on every task where both could be graded."""
    found = {
        name: [
            float(mine.passed) - float(theirs.passed)
            for mine, theirs in zip(own, scores, strict=True)
            if mine.error_type is None and theirs.error_type is None
        ]
        for name, scores in controls.items()
    }
    return {name: differences for name, differences in found.items() if differences}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _count(scores: Sequence[Score]) -> Counted:
    graded = [score for score in scores if score.error_type is None]
    return Counted(sum(score.passed for score in graded), len(graded))


def _reasons(scores: Sequence[Score]) -> dict[str, int]:
    """Returns how often each kind of mistake was made: what an explanation says before its first colon or quotation."""
    kinds = (re.split(r'[:"]', score.explanation, maxsplit=1)[0].strip()[:60] for score in scores)
    return dict(Counter(kinds).most_common(8))


LEAST_INFORMATIVE = 0.1
"""With fewer groups whose retries differ, most of the sampling teaches nothing."""
LEAST_OBEDIENCE = 0.5
"""Where fewer retries succeed after a reflection that gives the answer, reflections are not read."""
LEAST_GAIN = 0.02
"""Below it, the own reflection recovers no more than a control does. No doubt: reflections that say nothing useful yet
can be learned from as long as useful ones are read."""


def doubts(report: ReflectionReport) -> list[str]:
    """Returns why nothing may be learned from these tasks, the gravest first; empty if nothing speaks against it."""
    found: list[str] = []
    if report.why_not_graded and not report.first.total:
        return [f"whether any task fails is not known, for {report.why_not_graded}"]
    if report.why_not_graded and not report.recovery.total:
        return [f"no retry could be graded, or no task fails: {report.why_not_graded}"]
    if not report.recovery.total:
        return ["no task fails at the first try, so there is nothing to reflect on"]
    if report.informative.share < LEAST_INFORMATIVE:
        found.append(
            f"only {report.informative.share:.0%} of the groups have retries that differ (at least "
            f"{LEAST_INFORMATIVE:.0%} are needed)"
        )
    gold = report.controls.get("gold")
    if gold is not None and gold.share < LEAST_OBEDIENCE:
        found.append(
            f"only {gold.share:.0%} of the retries succeed after a reflection that gives the answer, so this model "
            "does not read reflections"
        )
    return found


def words(report: ReflectionReport) -> list[str]:
    """Returns the report as sentences."""
    controls = ", ".join(f"{name} {counted.share:.0%}" for name, counted in report.controls.items())
    worth = f"Reading the own reflection is worth {100 * report.gain:+.0f} points over the best of the other controls"
    if report.gain < LEAST_GAIN:
        worth += ": so far a retry is hardly more than another try"
    return [
        f"First try {report.first.share:.0%} of {report.first.total}, second try {report.second.share:.0%}.",
        f"Of {report.recovery.total} failed tasks {report.recovery.share:.0%} recover after their own reflection; "
        f"controls: {controls or 'none'}.",
        f"{report.informative.share:.0%} of the groups have retries that differ; {report.unique:.0%} of the "
        f"reflections are different texts, of {report.length:.0f} tokens on average.",
        f"{worth}.",
        *([f"{report.why_not_graded}."] if report.why_not_graded else []),
    ]
