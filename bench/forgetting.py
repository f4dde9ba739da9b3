"""Three skills in a row, every way of teaching them, and what each way forgot.

    python bench/forgetting.py --out results.jsonl            # sweep, then 3 seeds of each arm; resumable
    python bench/forgetting.py --out results.jsonl --table    # print the tables of what is there

Every arm gets the same skills in the same order, the same number of optimizer steps and new examples per step,
and its own learning-rate sweep (on a seed of its own, chosen by the mean over everything measured at the end).
The base's own abilities are measured before and after; none of them is registered or stored, in any arm.
"""

from __future__ import annotations

import argparse
import json
import statistics
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from holdfast.jobs.comparison import Arm, read_lesson, teach_sequence
from holdfast.jobs.demo import GRADERS, HOLDFAST, TEACHING, examples_folder
from holdfast.jobs.progress import Silent

SWEEP_SEED = 1000
LORA = {"type": "lora", "rank": 16, "alpha": 32}
NO_REHEARSAL = {"rehearsal": {"enabled": False}}
SFT = {**TEACHING, "method": {"type": "sft"}}

ARMS: dict[str, tuple[dict, str, tuple[float, ...]]] = {
    "holdfast: SDFT + self-rehearsal": ({**HOLDFAST}, "none", (4e-4, 1e-3)),
    "holdfast with LoRA": ({**HOLDFAST, "adapter": LORA}, "none", (3e-3, 6e-3)),
    "SFT + self-rehearsal": ({**SFT, "rehearsal": HOLDFAST["rehearsal"]}, "none", (4e-4, 1e-3)),
    "SDFT alone": ({**HOLDFAST, **NO_REHEARSAL}, "none", (1e-4, 4e-4, 1e-3)),
    "SFT": ({**SFT, **NO_REHEARSAL}, "none", (5e-5, 1e-4, 4e-4, 1e-3)),
    "SFT with LoRA": ({**SFT, **NO_REHEARSAL, "adapter": LORA}, "none", (1e-3, 3e-3)),
    "SFT + replay of stored answers": ({**SFT, **NO_REHEARSAL}, "answers", (1e-4, 4e-4, 1e-3)),
}
"""name -> (settings, replay, learning rates swept)."""


def run_one(name: str, rate: float, seed: int, items: int) -> dict:
    """Teaches one arm's sequence and returns what it measured; runs in a process of its own."""
    import torch

    torch.set_num_threads(1)
    settings, replay, _ = ARMS[name]
    optimizer = {**settings.get("optimizer", {}), "learning_rate": rate}
    arm = Arm(name, {**settings, "optimizer": optimizer, "guards": {"teacher_check": "off"}}, replay)
    lessons = [read_lesson(examples_folder(), lesson, grader) for lesson, grader in GRADERS.items()]
    course = teach_sequence(
        arm, lessons, seed=seed, num_ability_items=items, progress=Silent(), measure_every_stage=False
    )
    return {
        "arm": name,
        "rate": rate,
        "seed": seed,
        "before": {k: v.value for k, v in course.stages[0].items()},
        "after": {k: v.value for k, v in course.final.items()},
        "teacher": {k: v.value for k, v in course.teacher.items()},
        "seconds": course.seconds,
    }


def mean_after(row: dict) -> float:
    return statistics.mean(row["after"].values())


def load(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def best_rate(rows: list[dict], name: str) -> float:
    swept = [row for row in rows if row["arm"] == name and row["seed"] == SWEEP_SEED]
    return max(swept, key=mean_after)["rate"]


def run_all(jobs: list[tuple[str, float, int]], out: Path, items: int, workers: int) -> None:
    known = {(row["arm"], row["rate"], row["seed"]) for row in load(out)}
    todo = [job for job in jobs if job not in known]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run_one, *job, items): job for job in todo}
        for done, future in enumerate(as_completed(futures), 1):
            row = future.result()
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            name, rate, seed = futures[future]
            print(
                f"[{done}/{len(todo)}] {name} at {rate:g}, seed {seed}: {mean_after(row):.3f} in {row['seconds']:.0f} s"
            )


def spread(values: list[float], scale: float = 100.0, form: str = ".1f") -> str:
    """Returns the median with the range of the seeds."""
    low, high = min(values) * scale, max(values) * scale
    return f"{statistics.median(values) * scale:{form}} ({low:{form}}-{high:{form}})"


def tables(rows: list[dict]) -> str:
    """Returns the summary and the full table as Markdown: medians with the range over the seeds."""
    lines = [
        "| arm | rate | new skills, mean | of the teacher's | abilities, mean change | worst ability | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    full: list[str] = []
    for name in ARMS:
        runs = [row for row in rows if row["arm"] == name and row["seed"] != SWEEP_SEED]
        if not runs:
            continue
        new = list(runs[0]["teacher"])
        old = [key for key in runs[0]["before"] if key not in new]
        taught = [statistics.mean(run["after"][key] for key in new) for run in runs]
        ratio = [min(run["after"][key] / max(run["teacher"][key], 1e-9) for key in new) for run in runs]
        change = [statistics.mean(run["after"][key] - run["before"][key] for key in old) for run in runs]
        worst = [min(run["after"][key] - run["before"][key] for key in old) for run in runs]
        seconds = [run["seconds"] for run in runs]
        lines.append(
            f"| {name} | {runs[0]['rate']:g} | {spread(taught)} | {spread(ratio)} | {spread(change)} | {spread(worst)} "
            f"| {spread(seconds, 1.0, '.0f')} |"
        )
        if not full:
            full += [f"| arm | {' | '.join([*new, *old])} |", "|---" * (1 + len(new) + len(old)) + "|"]
            cells = [spread([run["before"][key] for run in runs]) for key in [*new, *old]]
            full.append(f"| base | {' | '.join(cells)} |")
        cells = [spread([run["after"][key] for run in runs]) for key in [*new, *old]]
        full.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *full])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("forgetting.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=100, help="held-out items of each ability")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        sweep = [(name, rate, SWEEP_SEED) for name in options.arms for rate in ARMS[name][2]]
        run_all(sweep, options.out, options.items, options.workers)
        rows = load(options.out)
        chosen = [(name, best_rate(rows, name), seed) for seed in range(options.seeds) for name in options.arms]
        run_all(chosen, options.out, options.items, options.workers)
    print(tables(load(options.out)))


if __name__ == "__main__":
    main()
