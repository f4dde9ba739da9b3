"""Three skills in a row, every way of teaching them, and what each way forgot.

    python bench/forgetting.py            # sweep, then 3 seeds of each arm; goes on where it was stopped
    python bench/forgetting.py --table    # print the tables of what is there

The runs are rows of `bench/forgetting.jsonl`, the ones behind docs/forgetting.md; `--out` names another file. A row
counts for the settings and the base it was made with: after a change of either, the arm is run anew.

Every arm gets the same skills in the same order and its own sweep of learning rates (on a seed of its own, chosen by
the mean of what the new skills and what the base's abilities reach at the end). Arms that imitate or have no reminders
sweep the number of steps, too: some skills take them longer, and more steps make them forget more. "SFT +
self-rehearsal" and "SDFT alone" are Holdfast's settings but for the one thing they name. The abilities are measured
before and after; none of them is registered or stored, in any arm.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from holdfast.jobs.comparison import Arm, Lesson, Measured, measure_base, read_lesson, teach_sequence
from holdfast.jobs.demo import GRADERS, HOLDFAST, RATE, TEACHING, examples_folder
from holdfast.jobs.progress import Silent
from holdfast.jobs.side_by_side import end_with_parent
from holdfast.models.learner import Learner
from holdfast.models.load import TINY_FOLDER
from holdfast.models.load import load as load_model

SWEEP_SEED, SWEEP_ITEMS = 1000, 100
LORA = {"type": "lora", "rank": 16, "alpha": 32}
NO_REHEARSAL = {"rehearsal": {"enabled": False}}
SFT = {**TEACHING, "method": {"type": "sft"}}
STEPS = {
    "fewer": {"companies": 110, "routing": 70, "tools": 80},
    "all": {"companies": 200, "routing": 110, "tools": 120},
    "longer": {"companies": 200, "routing": 300, "tools": 120},
}
"""Who imitates `verdict: [baker] routed` learns thirteen tokens of which one decides, and needs longer for it."""


@dataclass(frozen=True)
class Way:
    """One way of teaching: settings, whether stored answers are replayed, and the rates and steps that are swept."""

    settings: dict
    rates: tuple[float, ...]
    replay: str = "none"
    steps: tuple[str, ...] = ("fewer",)


@dataclass(frozen=True, order=True)
class Option:
    """One point of an arm's sweep."""

    arm: str
    rate: float
    steps: str


def options_of(name: str) -> list[Option]:
    return [Option(name, rate, steps) for steps in ARMS[name].steps for rate in ARMS[name].rates]


REHEARSAL = {**HOLDFAST["rehearsal"], "num_reminders": 2500}
"""More than the demo takes, for it should be quick; what is rehearsed often is held better than its like."""
WHOLE = {**HOLDFAST, "optimizer": {**HOLDFAST["optimizer"], "l2_sp": 24.0}, "rehearsal": REHEARSAL}
"""Held more tightly than the demo, and taught in more steps for it."""

ARMS: dict[str, Way] = {
    "holdfast: SDFT + self-rehearsal": Way(WHOLE, (RATE, 1.4e-3), steps=("all",)),
    "SFT": Way({**SFT, **NO_REHEARSAL}, (1e-4, 2e-4, 4e-4), steps=("fewer", "all", "longer")),
    "SFT + replay of stored answers": Way(
        {**SFT, **NO_REHEARSAL}, (1e-4, 4e-4, 1e-3), "answers", steps=("fewer", "all", "longer")
    ),
    "SFT + self-rehearsal": Way({**WHOLE, "method": {"type": "sft"}}, (RATE, 1.4e-3), steps=("all", "longer")),
    "SDFT alone": Way({**WHOLE, **NO_REHEARSAL}, (1e-4, 4e-4, 1e-3), steps=("fewer", "all")),
    "SFT with LoRA": Way({**SFT, **NO_REHEARSAL, "adapter": LORA}, (1e-4, 3e-4, 1e-3, 3e-3), steps=("fewer", "longer")),
    "holdfast with LoRA": Way(
        {**WHOLE, "adapter": LORA, "optimizer": {**HOLDFAST["optimizer"], "l2_sp": 5.0}}, (3e-3, 1e-2), steps=("all",)
    ),
}
"""In the order in which they are run. What is not swept for Holdfast was tuned by hand: docs/forgetting.md; an adapter
held as tightly as all weights are learned too little of anything."""


def run_one(option: Option, seed: int, items: int, before: dict[str, Measured]) -> dict:
    """Teaches one arm's sequence and returns what it measured; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    way = ARMS[option.arm]
    optimizer = {**way.settings.get("optimizer", {}), "learning_rate": option.rate}
    distils = way.settings["method"]["type"] == "sdft"
    guards = {"guards": {"teacher_check": "off"}} if distils else {}
    settings = {**way.settings, "optimizer": optimizer, **guards}
    arm = Arm(option.arm, settings, way.replay, STEPS[option.steps])
    lessons = read_lessons()
    course = teach_sequence(
        arm,
        lessons,
        seed=seed,
        num_ability_items=items,
        progress=Silent(),
        before=before,
        with_teacher=distils,
        measure_every_stage=False,
    )
    return {
        "arm": option.arm,
        "made_with": made_with(option.arm, option.steps),
        "rate": option.rate,
        "seed": seed,
        "items": items,
        "before": {k: v.value for k, v in course.stages[0].items()},
        "after": {k: v.value for k, v in course.final.items()},
        "teacher": {k: v.value for k, v in course.teacher.items()},
        "seconds": course.seconds,
    }


@cache
def made_with(name: str, steps: str) -> str:
    """Returns a short hash of what an arm's rows depend on besides rate and seed: settings, examples, base."""
    way = ARMS[name]
    weights = (TINY_FOLDER / "model.safetensors").read_bytes()
    examples = [path.read_bytes() for path in sorted(examples_folder().glob("*.jsonl"))]
    settings = json.dumps([way.settings, way.replay, STEPS[steps]], sort_keys=True).encode()
    return hashlib.sha256(b"\0".join([settings, weights, *examples])).hexdigest()[:12]


def read_lessons() -> list[Lesson]:
    return [read_lesson(examples_folder(), lesson, grader) for lesson, grader in GRADERS.items()]


@cache
def base_scores(items: int) -> dict[str, Measured]:
    learner = Learner.create(load_model("holdfast:tiny", dtype="float32", device="cpu"), None)
    return measure_base(learner, read_lessons(), items, Silent())


def merit(row: dict) -> float:
    """Returns the mean of two means, over what was taught and over what the base could do before."""
    new = [value for name, value in row["after"].items() if name in GRADERS]
    old = [value for name, value in row["after"].items() if name not in GRADERS]
    return (statistics.mean(new) + statistics.mean(old)) / 2


def load(path: Path) -> list[tuple[Option, dict]]:
    """Returns the rows that were made with the arms as they are now."""
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(each.arm, made_with(each.arm, each.steps), each.rate): each for name in ARMS for each in options_of(name)}
    keys = [(row["arm"], row["made_with"], row["rate"]) for row in rows]
    return [(known[key], row) for key, row in zip(keys, rows, strict=True) if key in known]


def best_option(rows: list[tuple[Option, dict]], name: str) -> Option:
    """Returns what did best on the sweep's seed; of an arm with one point there is no sweep."""
    if len(options_of(name)) == 1:
        return options_of(name)[0]
    swept = [(option, row) for option, row in rows if option.arm == name and row["seed"] == SWEEP_SEED]
    return max(swept, key=lambda pair: merit(pair[1]))[0]


def run_all(jobs: list[tuple[Option, int]], out: Path, items: int, workers: int) -> None:
    known = {(option, row["seed"]) for option, row in load(out) if row["items"] == items}
    todo = [job for job in jobs if job not in known]
    if not todo:
        return
    before = base_scores(items)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=end_with_parent) as pool:
        futures = {pool.submit(run_one, *job, items, before): job for job in todo}
        for done, future in enumerate(as_completed(futures), 1):
            row = future.result()
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            option, seed = futures[future]
            print(
                f"[{done}/{len(todo)}] {option.arm} at {option.rate:g}, {option.steps} steps, seed {seed}: "
                f"{merit(row):.3f} in {row['seconds']:.0f} s"
            )


def spread(values: list[float], scale: float = 100.0, form: str = ".1f") -> str:
    """Returns the median with the range of the seeds."""
    low, high = min(values) * scale, max(values) * scale
    return f"{statistics.median(values) * scale:{form}} ({low:{form}} to {high:{form}})"


def tables(rows: list[tuple[Option, dict]]) -> str:
    """Returns the summary and the full table as Markdown: medians with the range over the seeds."""
    lines = [
        "| arm | rate | steps | new skills, mean | least, of its teacher | abilities, mean change | worst ability "
        "| seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    columns: dict[str, list[str]] = {}
    for name in ARMS:
        taken = [pair for pair in rows if pair[0].arm == name and pair[1]["seed"] != SWEEP_SEED]
        if not taken:
            continue
        chosen = best_option(rows, name)
        runs = [row for option, row in taken if option == chosen]
        if not runs:
            continue
        new = list(GRADERS)
        old = [key for key in runs[0]["before"] if key not in new]
        taught = [statistics.mean(run["after"][key] for key in new) for run in runs]
        change = [statistics.mean(run["after"][key] - run["before"][key] for key in old) for run in runs]
        worst = [min(run["after"][key] - run["before"][key] for key in old) for run in runs]
        seconds = [run["seconds"] for run in runs]
        share = "no teacher"
        if runs[0]["teacher"]:
            share = spread([min(run["after"][key] / max(run["teacher"][key], 1e-9) for key in new) for run in runs])
        lines.append(
            f"| {name} | {chosen.rate:g} | {sum(STEPS[chosen.steps].values())} | {spread(taught)} | {share} "
            f"| {spread(change)} | {spread(worst)} | {spread(seconds, 1.0, '.0f')} |"
        )
        columns.setdefault("", [*new, *old])
        columns.setdefault("base", [f"{runs[0]['before'][key] * 100:.1f}" for key in [*new, *old]])
        columns[name] = [spread([run["after"][key] for run in runs]) for key in [*new, *old]]
    if not columns:
        return "\n".join(lines)
    full = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    full += [f"| {' | '.join(cells)} |" for cells in zip(*columns.values(), strict=True)]
    return "\n".join([*lines, "", *full])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=600, help="held-out items of each ability")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    seeds = range(options.seeds)
    if not options.table:
        sweep = [each for name in options.arms for each in options_of(name) if len(options_of(name)) > 1]
        run_all([(each, SWEEP_SEED) for each in sweep], options.out, SWEEP_ITEMS, options.workers)
        best = [best_option(load(options.out), name) for name in options.arms]
        run_all([(each, seed) for each in best for seed in seeds], options.out, options.items, options.workers)
    print(tables(load(options.out)))


if __name__ == "__main__":
    main()
