"""What Reflect, Retry, Reward teaches the embedded base, beside the controls that could explain it away.

    python bench/reflect.py               # both tasks, every arm, 3 seeds; goes on where it was stopped
    python bench/reflect.py --table       # print the tables of what is there

Two tasks, as in the paper (arXiv:2505.24726), of a size that the base can do:

- `calls`: a topic, a place and four tools in view; which tool a topic needs is written nowhere. The pairs of topic
  and place of the test are never trained on.
- `countdown`: two numbers and a target. Problems of the test are never trained on.

A short fine-tuning first gives the base the form of both and a gap: attempts use a random tool or sign, reflections
name another one, a random one, in four cases of ten, and retries obey. Nothing in it depends on what is right: that
is for the reward to teach.

Arms, all with the same tasks, steps, groups and self-rehearsal: `reflect` (ours); `shuffled`, whose rewards are dealt
anew among the retries of a step; `retry tokens`, which trains the retry instead of the reflection; `first try`, GRPO
on first attempts, as many samples of them as `reflect` takes of reflections and retries together. Each arm's rate is
swept on a seed of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.graders import grader
from holdfast.graders.parametrised import Grader
from holdfast.jobs.comparison import measure_abilities
from holdfast.jobs.progress import Silent
from holdfast.jobs.side_by_side import end_with_parent
from holdfast.models.curriculum.item import call_text, tool
from holdfast.models.curriculum.tools import INFORMATIVE_SHARE, REFLECT, RETRY, VAGUE, informative
from holdfast.models.learner import Learner
from holdfast.models.load import load as load_model
from holdfast.seeds import derive_seed
from holdfast.training.config import Recipe
from holdfast.training.loop import Run
from holdfast.training.methods import build
from holdfast.training.methods.reflect_retry_reward import ReflectRetryReward
from holdfast.training.reflection import Tried, attempt_all
from holdfast.training.reflection_check import check_reflection
from holdfast.training.rehearsal import make_reminders
from holdfast.types import Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TRAIN, TEST, HELD_OUT, ABILITY_ITEMS, SWEEP_SEED = 256, 200, 48, 100, 1000
COMMON = [
    "method=reflect",
    "steps=60",
    "batch.examples=8",
    "optimizer.warmup_steps=3",
    "method.max_tokens.attempt=48",
    "method.max_tokens.reflection=40",
    "method.max_tokens.retry=48",
    f"method.templates.reflect={REFLECT}",
    f"method.templates.retry={RETRY}",
    f"method.templates.gold={informative('{attempt}', '{answer}')}",
    "rehearsal.num_reminders=400",
    "rehearsal.max_new_tokens=64",
    "rehearsal.per_step=16",
]
RATES = (1e-4, 3e-4)


TOOLS = ("find_mail", "book_seat", "play_song", "rent_room")
TOPICS = ("story", "photo", "bus", "table", "door", "light", "page", "file", "train", "sale", "task")
PLACES = ("paris", "oslo", "rome", "cairo", "lima", "tokyo", "bern", "quito", "delhi", "kyiv", "riga", "bonn")


@cache
def calls() -> list[Example]:
    """Returns every topic in every place, in an order of their own; which tool a topic needs is nowhere written."""
    tools = tuple(tool(name, name.replace("_", " a "), ["place"]) for name in TOOLS)
    found: list[Example] = []
    for number, topic in enumerate(TOPICS):
        for place in PLACES:
            asked = Message("user", f"tell me the {topic} in {place}")
            answer = Message("assistant", call_text(TOOLS[number % len(TOOLS)], {"place": place}))
            found.append(Example(f"{topic} {place}", (asked, answer), tools, columns={"place": place}))
    random.Random(3).shuffle(found)
    return found


SIGNS = {
    "{a} + {b}": lambda a, b: a + b,
    "{a} - {b}": lambda a, b: a - b,
    "{b} - {a}": lambda a, b: b - a,
    "{a} * {b}": lambda a, b: a * b,
}


def countdown(part: int, num: int) -> list[Example]:
    """Returns problems of two numbers: `part` 0 to train on, 1 to test, 2 for the fine-tuning; none is shared."""
    problems = [
        (a, b, form) for a in range(2, 30) for b in range(2, 30) if a != b for form in SIGNS if SIGNS[form](a, b) >= 0
    ]
    random.Random(7).shuffle(problems)
    share = len(problems) // 3
    found: list[Example] = []
    for a, b, form in problems[part * share : (part + 1) * share][:num]:
        target = SIGNS[form](a, b)
        asked = Message("user", f"make {target} from {a} and {b}.")
        answer = Message("assistant", form.format(a=a, b=b))
        found.append(
            Example(f"countdown {part} {len(found)}", (asked, answer), columns={"nums": [a, b], "target": target})
        )
    return found


def dialogues(
    tasks: Sequence[Example], answers: Callable[[Example], list[str]], names: Sequence[str] = ()
) -> list[Example]:
    """Returns what gives the base the form of a task, and a gap: nothing in it depends on what is right.

    `answers` gives the text of every answer that a task could have; a reflection says it, or its name.
    """
    rng = random.Random(11)
    found: list[Example] = []
    for example in tasks:
        texts = answers(example)
        failed, other = rng.sample(range(len(texts)), 2)
        useful = rng.random() < INFORMATIVE_SHARE
        said = names or texts
        reflection = informative(said[failed], said[other]) if useful else rng.choice(VAGUE)
        turns = (
            example.prompt[-1],
            Message("assistant", texts[failed]),
            Message("user", REFLECT),
            Message("assistant", reflection),
            Message("user", RETRY),
            Message("assistant", texts[other if useful else failed]),
        )
        found.append(Example(f"dialogue {len(found)}", turns, example.tools))
    return found


def all_dialogues() -> list[Example]:
    def named(example: Example) -> list[str]:
        return [call_text(name, {"place": example.columns["place"]}) for name in TOOLS]

    def signed(example: Example) -> list[str]:
        a, b = example.columns["nums"]
        return [form.format(a=a, b=b) for form in SIGNS]

    return [
        *dialogues(calls() * 5, named, TOOLS),
        *dialogues(countdown(2, 600), signed),
    ]


@dataclass(frozen=True)
class Task:
    """Examples to learn from, a held-out test, and what judges both."""

    train: list[Example]
    test: list[Example]
    grader: str


@cache
def task(name: str) -> Task:
    if name == "calls":
        return Task(calls()[:-HELD_OUT], calls()[-HELD_OUT:], "tool_call_match")
    return Task(countdown(0, TRAIN), countdown(1, TEST), "countdown")


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
    """GRPO on first attempts at the same tasks: twice as many samples, for there is no retry to sample."""

    def sample(self, tasks, seed):
        examples = [example for example, _ in tasks]
        found = attempt_all(
            self._talk, examples, self.grader, which="candidate", num_samples=2 * self.config.group_size,
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


def base(start: Path | None) -> Learner:
    return Learner.create(load_model("holdfast:tiny", dtype="float32", device="cpu"), None, start=start)


def warmed(folder: Path) -> Path:
    """Returns the folder of the base after the dialogues, made where it is not there yet."""
    if not (folder / "model.safetensors").exists():
        learner = base(None)
        recipe = Recipe.from_overrides(
            ["method=sft", "steps=150", "batch.examples=32", "optimizer.learning_rate=5e-4",
             "rehearsal.num_reminders=400", "rehearsal.max_new_tokens=64", "rehearsal.per_step=16"]
        )  # fmt: skip
        examples = all_dialogues()
        reminders = make_reminders(learner, recipe.rehearsal, registered_prompts={}, seed=5).items
        for _ in Run(learner, build(recipe, learner, examples), examples, recipe, reminders=reminders):
            pass
        learner.save(folder)
    return folder


def measure(learner: Learner, name: str, recipe: Recipe, which: str, items: int) -> dict:
    found = task(name)
    report = check_reflection(learner, found.test, grader(found.grader), recipe.method, which=which, seed=17)
    shares = {"first": report.first, "second": report.second, "recovery": report.recovery, **report.controls}
    abilities = measure_abilities(learner, which, items, Silent()) if items else {}
    return {
        **{key: count.share for key, count in shares.items()},
        "length": report.length,
        "unique": report.unique,
        "informative": report.informative.share,
        "mistakes": report.reasons,
        "abilities": {key: value.value for key, value in abilities.items()},
    }


def run_one(arm: str, name: str, rate: float, seed: int, start: Path | None, items: int) -> dict:
    """Trains one arm and returns what it measured before and after; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    recipe = Recipe.from_overrides([*COMMON, f"optimizer.learning_rate={rate}", f"seed={seed}"])
    learner, found = base(start), task(name)
    before = measure(learner, name, recipe, "current", items)
    judge = grader(found.grader)
    began = time.monotonic()
    reminders = make_reminders(learner, recipe.rehearsal, registered_prompts={}, seed=derive_seed(seed, "remind")).items
    method = ARMS[arm](recipe.method, learner, found.train, shuffled(judge) if arm == "shuffled" else judge)
    rewards = [step.metrics["reward"] for step in Run(learner, method, found.train, recipe, reminders=reminders)]
    seconds = time.monotonic() - began
    after = measure(learner, name, recipe, "candidate", items)
    return {
        "arm": arm, "task": name, "rate": rate, "seed": seed, "items": items, "before": before, "after": after,
        "rewards": rewards, "seconds": seconds,
    }  # fmt: skip


def merit(row: dict) -> float:
    return row["after"]["second"]


def rows_in(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run_all(jobs: Sequence[tuple], out: Path, start: Path, workers: int) -> None:
    known = {(row["arm"], row["task"], row["rate"], row["seed"]) for row in rows_in(out)}
    todo = [job for job in jobs if job[:4] not in known]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        running = {pool.submit(run_one, *job[:4], start, job[4]): job for job in todo}
        for done, future in enumerate(as_completed(running), 1):
            row = future.result()
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            told = {key: round(100 * row["after"][key], 1) for key in ("first", "second", "recovery")}
            print(f"[{done}/{len(todo)}] {row['task']}, {row['arm']}, {row['rate']:g}, seed {row['seed']}: {told}")


def spread(values: list[float], scale: float = 100.0) -> str:
    return f"{statistics.median(values) * scale:.1f} ({min(values) * scale:.1f} to {max(values) * scale:.1f})"


def tables(rows: list[dict]) -> str:
    """Returns a table for each task: medians with the range of the seeds."""
    lines = []
    for name in dict.fromkeys(row["task"] for row in rows):
        lines += [
            f"### {name}\n",
            "| arm | rate | first try | second try | recovery | donor | blind | reflection tokens | abilities |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        mine = [row for row in rows if row["task"] == name and row["seed"] != SWEEP_SEED]
        if mine:
            lines.append(_line("before", "-", [row["before"] for row in mine[:1]], None))
        for arm in ARMS:
            runs = [row for row in mine if row["arm"] == arm]
            if runs:
                lines.append(
                    _line(arm, f"{runs[0]['rate']:g}", [r["after"] for r in runs], [r["before"] for r in runs])
                )
        lines.append("")
    return "\n".join(lines)


def _line(arm: str, rate: str, after: list[dict], before: list[dict] | None) -> str:
    shares = [spread([one.get(key, 0.0) for one in after]) for key in ("first", "second", "recovery", "donor", "blind")]
    length = spread([one["length"] for one in after], 1.0)
    change = "-"
    if before is not None and after[0]["abilities"]:
        change = spread(
            [
                statistics.mean(one["abilities"][key] - was["abilities"][key] for key in one["abilities"])
                for one, was in zip(after, before, strict=True)
            ]
        )
    return f"| {arm} | {rate} | {' | '.join(shares)} | {length} | {change} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", nargs="*", default=["calls", "countdown"])
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        with tempfile.TemporaryDirectory(prefix="holdfast-reflect-") as scratch:
            start = warmed(Path(scratch) / "base")
            pairs = [(arm, name) for name in options.tasks for arm in options.arms]
            sweep = [(arm, name, rate, SWEEP_SEED, 0) for arm, name in pairs for rate in RATES]
            run_all(sweep, options.out, start, options.workers)
            swept = [row for row in rows_in(options.out) if row["seed"] == SWEEP_SEED]
            best = {
                (arm, name): max((r for r in swept if (r["arm"], r["task"]) == (arm, name)), key=merit)["rate"]
                for arm, name in pairs
            }
            jobs = [(a, n, best[a, n], seed, ABILITY_ITEMS) for a, n in pairs for seed in range(options.seeds)]
            run_all(jobs, options.out, start, options.workers)
    print(tables(rows_in(options.out)))


if __name__ == "__main__":
    main()
