"""What Reflect, Retry, Reward teaches the embedded base, beside the controls that could explain it away.

    python bench/reflect.py               # both tasks, every arm, 3 seeds; goes on where it was stopped
    python bench/reflect.py --sweep       # how the rates were chosen: each arm at each rate, on other items
    python bench/reflect.py --table       # print the tables of what is there

Two tasks, as in the paper (arXiv:2505.24726), of a size that the base can do:

- `calls`: a request that is taken back half-way ("find the mail, no, book the seat in oslo") with four tools in view,
  those of both halves among them. What counts is what is said last.
- `countdown`: two numbers and a target, and which sign makes it. How large the target is tells.

No request or problem of a test is trained on. A short fine-tuning first gives the base the form of a task and a gap:
attempts are random, reflections name another tool or sign in six cases of ten, which is right hardly more often than
chance, and retries obey. What is right is for the reward to teach.

Arms, all with the same tasks, steps, groups and self-rehearsal: `reflect` (ours); `shuffled`, whose rewards are dealt
anew among the retries of a step; `retry tokens`, which trains the retry instead of the reflection; `first try`, GRPO
on first attempts, as many sampled tokens of them as `reflect` takes for reflections and retries together.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from beside import write_between_markers
from holdfast.errors import CollapseError
from holdfast.graders import grader
from holdfast.graders.parametrised import Grader
from holdfast.jobs.comparison import measure_abilities
from holdfast.jobs.progress import Silent
from holdfast.jobs.side_by_side import end_with_parent
from holdfast.models.curriculum.tools import REFLECT, RETRY, informative
from holdfast.models.learner import Learner
from holdfast.models.load import load as load_model
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.methods import build
from holdfast.training.methods.reflect_retry_reward import ReflectRetryReward
from holdfast.training.reflection import Conversation, Tried, attempt_all, graded_answers
from holdfast.training.reflection_check import check_reflection
from holdfast.training.rehearsal import make_reminders
from reflect_tasks import TEST, dialogues, task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.types import Example

ABILITY_ITEMS, SWEEP_SEED, REPEATS = 60, 1000, 12
COMMON = [
    "method=reflect",
    "batch.examples=10",
    "optimizer.warmup_steps=3",
    "method.refill=0",
    "method.retry_temperature=0",
    "method.max_tokens.attempt=32",
    "method.max_tokens.reflection=24",
    "method.max_tokens.retry=32",
    f"method.templates.reflect={REFLECT}",
    f"method.templates.retry={RETRY}",
    "rehearsal.num_reminders=300",
    "rehearsal.max_new_tokens=64",
    "rehearsal.per_step=8",
]
DIALOGUE_STEPS = {"calls": 120, "countdown": 240}
STEPS = {"calls": 24, "countdown": 120}
RATES = {"calls": (3e-4, 6e-4), "countdown": (1.5e-4, 3e-4, 6e-4)}
CHOSEN = {
    ("calls", "reflect"): 6e-4,
    ("calls", "retry tokens"): 6e-4,
    ("calls", "first try"): 6e-4,
    ("countdown", "reflect"): 1.5e-4,
    ("countdown", "retry tokens"): 1.5e-4,
    ("countdown", "first try"): 6e-4,
}
"""The rate of each arm, the best of its sweep; `shuffled` has that of `reflect`."""


class Shuffled(Grader, frozen=True):
    """Deals the scores of all answers anew among them, but for the first call, which finds the failures."""

    type: str = "shuffled"

    def judge(self, completion, example, view):
        raise NotImplementedError

    def many(self, answers):
        scores = self._own.many(answers)
        self._calls.append(len(answers))
        if len(self._calls) == 1:
            return scores
        order = list(range(len(scores)))
        random.Random(len(self._calls)).shuffle(order)
        return [scores[place] for place in order]


def shuffled(own: Grader) -> Shuffled:
    found = Shuffled()
    object.__setattr__(found, "_own", own)
    object.__setattr__(found, "_calls", [])
    return found


class RetryTokens(ReflectRetryReward):
    """Trains the retries; the reflections are read and not trained."""

    def rows_of(self, example, attempt, group):
        rows = []
        for one, advantage in zip(group, self.advantages(group), strict=True):
            turns = self._talk.retry(example, attempt, one.reflection.text)
            rows.append(self.row(example, self._talk.ids(turns, example), [one.retry], [advantage]))
        return rows


class FirstTry(ReflectRetryReward):
    """GRPO on first attempts at the same tasks, as many tokens of them as reflections and retries have together."""

    samples = 0

    def sample(self, tasks, seed):
        examples = [example for example, _ in tasks]
        found = attempt_all(
            self._talk, examples, self.grader, which="candidate", num_samples=self.samples,
            temperature=self.config.temperature, seed=seed,
        )  # fmt: skip
        return [[Tried(attempt, attempt, score) for attempt, score in group] for group in found]

    def rows_of(self, example, attempt, group):
        prompt = self._talk.ids(self._talk.task(example), example)
        return [self.row(example, prompt, [one.retry for one in group], self.advantages(group))]


ARMS = {
    "reflect": ReflectRetryReward,
    "shuffled": ReflectRetryReward,
    "retry tokens": RetryTokens,
    "first try": FirstTry,
}


@dataclass(frozen=True)
class Start:
    """What every run of a task begins with: the base after its dialogues, reminders of it, and what it can do."""

    folder: Path
    reminders: list
    before: dict
    on_dev: dict


def base(folder: Path | None) -> Learner:
    return Learner.create(load_model("holdfast:tiny", dtype="float32", device="cpu"), None, start=folder)


def recipe_of(name: str, *more: str) -> Recipe:
    return Recipe.from_overrides([*COMMON, f"steps={STEPS[name]}", *more])


def prepare(name: str, folder: Path) -> Start:
    """Gives the base the dialogues of a task, and measures it; runs in a process of its own."""
    import torch

    known = folder / "start.pickle"
    if known.exists():
        return pickle.loads(known.read_bytes())
    torch.set_num_threads(1)
    learner, found = base(None), task(name)
    recipe = Recipe.from_overrides(
        ["method=sft", f"steps={DIALOGUE_STEPS[name]}", "batch.examples=24", "optimizer.learning_rate=1e-3",
         "rehearsal.num_reminders=300", "rehearsal.max_new_tokens=64", "rehearsal.per_step=8"]
    )  # fmt: skip
    examples = dialogues(found.train * REPEATS, found.options)
    reminders = make_reminders(learner, recipe.rehearsal, registered_prompts={}, seed=5).items
    for _ in Run(learner, build(recipe, learner, examples), examples, recipe, reminders=reminders):
        pass
    learner.save(folder)
    learner, rehearsal = base(folder), recipe_of(name).rehearsal
    start = Start(
        folder,
        make_reminders(learner, rehearsal, registered_prompts={}, seed=6).items,
        measure(learner, name, "current", found.test, ABILITY_ITEMS),
        measure(learner, name, "current", found.dev, 0),
    )
    known.write_bytes(pickle.dumps(start))
    return start


def measure(learner: Learner, name: str, which: str, items: Sequence[Example], ability_items: int) -> dict:
    """Returns first and second tries of a version, and what it makes of the failures of the version before."""
    judge, config = grader(task(name).grader), recipe_of(name).method.model_copy(update={"group_size": 4})
    same = check_reflection(learner, items, judge, config, which=which, seed=17, attempts_by="current")
    two = config.model_copy(update={"group_size": 2})
    own = same if which == "current" else check_reflection(learner, items, judge, two, which=which, seed=17)
    shares = {"first": own.first, "second": own.second, "recovery": same.recovery, **same.controls}
    abilities = measure_abilities(learner, which, ability_items, Silent()) if ability_items else {}
    return {
        **{key: count.share for key, count in shares.items()},
        "gold": told(learner, name, which, items),
        "length": same.length,
        "unique": same.unique,
        "informative": same.informative.share,
        "mistakes": own.reasons,
        "mistakes after": same.reasons_after,
        "abilities": {key: value.value for key, value in abilities.items()},
    }


def told(learner: Learner, name: str, which: str, items: Sequence[Example]) -> float:
    """Returns how many retries of the failures before succeed after the reflection that names what is right."""
    found, talk = task(name), Conversation(learner, recipe_of(name).method)
    judge = grader(found.grader)
    tried = attempt_all(talk, items, judge, which="current", num_samples=1, temperature=0.0, seed=17)
    asked = []
    for example, ((attempt, score),) in zip(items, tried, strict=True):
        if not score.passed:
            names = dict(found.options(example))
            right = names[example.messages[-1].content]
            gold = informative(names.get(attempt.text, attempt.text), right)
            asked.append((example, talk.retry(example, attempt.text, gold)))
    scores = graded_answers(talk, asked, judge, which=which, temperature=0.0, seed=17)
    return statistics.mean(score.passed for score in scores)


def samples_of_equal_tokens(learner: Learner, name: str, start: Start) -> int:
    """Returns how many first attempts have the tokens of a group's reflections and retries."""
    answers = [example.messages[-1].content for example in task(name).train]
    one = statistics.mean(len(learner.tokenizer.encode(text, add_special_tokens=False)) + 1 for text in answers)
    return round(recipe_of(name).method.group_size * (start.before["length"] + one) / one)


def run_one(name: str, arm: str, rate: float, seed: int, start: Start) -> dict:
    """Trains one arm and returns what it measured afterwards; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    recipe = recipe_of(name, f"optimizer.learning_rate={rate}", f"seed={seed}")
    learner, found = base(start.folder), task(name)
    judge = grader(found.grader)
    began = time.monotonic()
    method = ARMS[arm](recipe.method, learner, found.train, shuffled(judge) if arm == "shuffled" else judge)
    if isinstance(method, FirstTry):
        method.samples = samples_of_equal_tokens(learner, name, start)
    try:
        steps = Run(learner, method, found.train, recipe, reminders=start.reminders)
        rewards, stopped = [step.metrics["reward"] for step in steps], None
    except CollapseError as error:
        rewards, stopped = [], str(error)
    seconds = time.monotonic() - began
    sweep = seed == SWEEP_SEED
    after = measure(learner, name, "candidate", *((found.dev, 0) if sweep else (found.test, ABILITY_ITEMS)))
    return {
        "task": name, "arm": arm, "rate": rate, "seed": seed, "before": start.on_dev if sweep else start.before,
        "after": after, "rewards": rewards, "stopped": stopped, "seconds": seconds,
    }  # fmt: skip


def rows_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(jobs: Sequence[tuple], out: Path, work: Path, workers: int) -> None:
    """Does what is not done yet, and adds a line for each run as it ends."""
    known = {(row["task"], row["arm"], row["rate"], row["seed"]) for row in rows_in(out)}
    todo = [job for job in jobs if job not in known]
    if not todo:
        return
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        names = list(dict.fromkeys(job[0] for job in todo))
        started = {name: pool.submit(prepare, name, work / name) for name in names}
        starts = {name: future.result() for name, future in started.items()}
        print(f"{', '.join(names)}: prepared after {time.monotonic() - began:.0f} s")
        running = [pool.submit(run_one, *job, starts[job[0]]) for job in todo]
        for done, future in enumerate(as_completed(running), 1):
            row = future.result()
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            told = {key: round(100 * row["after"][key], 1) for key in ("first", "second", "recovery", "gold")}
            print(
                f"[{done}/{len(todo)}, {time.monotonic() - began:.0f} s] {row['task']}, {row['arm']}, "
                f"{row['rate']:g}, seed {row['seed']}: {told}", flush=True,
            )  # fmt: skip


COLUMNS = ("first", "second", "recovery", "bare", "blind", "generic", "donor", "gold")


def tables(rows: list[dict]) -> str:
    """Returns a table for each task: medians with the range of the seeds."""
    lines = []
    for name in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == name]
        lines += [
            f"`{name}`:\n",
            "| arm | rate | first try | second try | recovery | bare | blind | generic | donor | gold | own - donor | "
            "reflection tokens | abilities |",
            f"|{'---|' * 13}",
            _line("before", "-", [mine[0]["before"]], None),
        ]
        for arm in ARMS:
            runs = [row for row in mine if row["arm"] == arm]
            if runs:
                after, before = [row["after"] for row in runs], [row["before"] for row in runs]
                lines.append(_line(arm, f"{runs[0]['rate']:g}", after, before))
        lines += ["", _mistakes(mine), ""]
    return "\n".join(lines)


def _line(arm: str, rate: str, after: list[dict], before: list[dict] | None) -> str:
    shares = [_spread([one[key] for one in after]) for key in COLUMNS]
    own = _spread([one["recovery"] - one["donor"] for one in after])
    length = _spread([one["length"] for one in after], 1.0)
    change = "-"
    if before is not None and after[0]["abilities"]:
        change = _spread(
            [
                statistics.mean(one["abilities"][key] - was["abilities"][key] for key in one["abilities"])
                for one, was in zip(after, before, strict=True)
            ]
        )
    return f"| {' | '.join([arm, rate, *shares, own, length, change])} |"


def _mistakes(rows: list[dict]) -> str:
    """Returns how often each mistake is made at the first try, before and after `reflect`, all seeds together."""
    after: Counter[str] = Counter()
    for row in rows:
        if row["arm"] == "reflect":
            after.update(row["after"]["mistakes"])
    told = [
        ", ".join(f"{kind} {num}" for kind, num in kinds.items()) for kinds in (rows[0]["before"]["mistakes"], after)
    ]
    seeds = len({row["seed"] for row in rows})
    return (
        f"Mistakes at the first try, of {TEST} tasks before: {told[0]}; of {seeds * TEST} after `reflect`: {told[1]}."
    )


def _spread(values: list[float], scale: float = 100.0) -> str:
    """Returns the median, and the least and the greatest where there is more than one."""
    median = f"{statistics.median(values) * scale:.1f}"
    return median if len(values) == 1 else f"{median} ({min(values) * scale:.1f} to {max(values) * scale:.1f})"


def swept(rows: list[dict]) -> str:
    """Returns what every rate led to on the sweep's own items."""
    lines = ["| task | arm | rate | second try | recovery | gold |", f"|{'---|' * 6}"]
    for row in sorted(rows, key=lambda row: (row["task"], row["arm"], row["rate"])):
        after = (f"{100 * row['after'][key]:.1f}" for key in ("second", "recovery", "gold"))
        lines.append(f"| {row['task']} | {row['arm']} | {row['rate']:g} | {' | '.join(after)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the runs are kept (beside this script)")
    parser.add_argument("--work", type=Path, help="where the bases that runs begin with are kept (nowhere)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", nargs="*", default=list(STEPS))
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--sweep", action="store_true", help="try every rate instead")
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    options = parser.parse_args()
    out = options.out or Path(__file__).with_name("reflect.sweep.jsonl" if options.sweep else "reflect.jsonl")
    if not options.table:
        pairs = [(name, arm) for name in options.tasks for arm in options.arms]
        if options.sweep:
            jobs = [(*pair, rate, SWEEP_SEED) for pair in pairs if pair in CHOSEN for rate in RATES[pair[0]]]
        else:
            rates = {(name, arm): CHOSEN.get((name, arm), CHOSEN[name, "reflect"]) for name, arm in pairs}
            jobs = [(*pair, rates[pair], seed) for seed in range(options.seeds) for pair in pairs]
        with tempfile.TemporaryDirectory(prefix="holdfast-reflect-") as scratch:
            run_all(jobs, out, options.work or Path(scratch), options.workers)
    text = (swept if options.sweep else tables)(rows_in(out)).strip()
    print(text)
    if options.write:
        write_between_markers(options.write, "bench-reflect-sweep" if options.sweep else "bench-reflect", text)


if __name__ == "__main__":
    main()
