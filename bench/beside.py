"""Two libraries side by side: every measurement a fresh process, the arms in turn, ratios of neighbours in time.

A script names its settings and arms and says how one of them is measured; everything else is here.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.models.load import TINY_FOLDER
from meter import Meter


@dataclass(frozen=True)
class Comparison:
    """What is compared: `measure(arm, setting, folder)` in a process of its own, `models` by the setting's name."""

    script: str
    description: str
    settings: Sequence[str]
    arms: Sequence[str]
    measure: Callable[[str, str, str], Mapping[str, float]]
    models: Mapping[str, str]
    tokens: Sequence[str]
    """Which counts of tokens a measurement reports."""
    marker: str
    make_model: Callable[[str], None] | None = None
    """Writes the model that is called `made` into a folder."""


def main(comparison: Comparison) -> None:
    """Reads the command line, measures, prints the tables, and writes them into a page."""
    parser = argparse.ArgumentParser(
        description=comparison.description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=comparison.settings, default=list(comparison.settings))
    parser.add_argument("--arms", nargs="+", choices=comparison.arms, default=list(comparison.arms))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--base", default="", help="folder of a model to use in place of the embedded base")
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    parser.add_argument("--measure", nargs=3, metavar=("ARM", "SETTING", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(comparison.measure(*given.measure)))
        return
    if given.write and not all(mark in given.write.read_text() for mark in markers(comparison.marker)):
        parser.error(f"{given.write} has no block to replace: {' … '.join(markers(comparison.marker))}")
    text = table(comparison, collect(comparison, given))
    print(text)
    if given.write:
        write_between_markers(given.write, comparison.marker, text)


def collect(comparison: Comparison, given: argparse.Namespace) -> dict[str, dict[str, list[dict[str, float]]]]:
    results: dict[str, Any] = {name: {arm: [] for arm in given.arms} for name in given.settings}
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"embedded": given.base or str(TINY_FOLDER), "made": scratch}
        if comparison.make_model and any(comparison.models[name] == "made" for name in given.settings):
            comparison.make_model(scratch)
        for name in given.settings:
            for repeat in range(given.repeats):
                for arm in given.arms:
                    result = spawn(comparison.script, arm, name, folders[comparison.models[name]], given.threads)
                    results[name][arm].append(result)
                    shown = ", ".join(f"{key} {value:.4g}" for key, value in result.items())
                    print(f"{name}, repeat {repeat + 1}, {arm}: {shown}", flush=True)
    return results


def spawn(script: str, arm: str, name: str, folder: str, threads: int) -> dict[str, float]:
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    command = [sys.executable, script, "--measure", arm, name, folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arm} on {name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def trl_arguments(*, sequences: int, steps: int, learning_rate: float, lean: bool) -> dict[str, Any]:
    """Returns what a trainer of TRL is told in every comparison: float32, AdamW, clip 1.0, one step to warm up.

    `sequences` is the batch of a step, in one micro-batch, or if `lean` one by one and with activation checkpointing.
    """
    return {
        "output_dir": tempfile.mkdtemp(),
        "model_init_kwargs": {"dtype": "float32"},
        "shuffle_dataset": False,
        "per_device_train_batch_size": 1 if lean else sequences,
        "gradient_accumulation_steps": sequences if lean else 1,
        "gradient_checkpointing": lean,
        "max_steps": steps + 1,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "bf16": False,
        "use_cpu": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def metered(meter: Meter) -> type:
    """Returns the class of a trainer's callback that starts the meter and marks every step."""
    from transformers import TrainerCallback

    class Metered(TrainerCallback):
        def on_train_begin(self, *args, **kwargs):
            meter.start()

        def on_step_end(self, *args, **kwargs):
            meter.step()

    return Metered


def spread(values: Sequence[float], form: str) -> str:
    """Returns the median with the range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} ({low:{form}} to {high:{form}})"


def table(comparison: Comparison, results: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """Returns two Markdown tables: ratios to Holdfast, and what was measured."""
    lines = [
        "| setting | against | time, wall | time, processor | peak memory of the process | memory added by training |",
        "|---|---|---|---|---|---|",
    ]
    for name, arms in results.items():
        for arm in [arm for arm in arms if arm != "holdfast"]:
            ratios = [
                spread([t[key] / h[key] for h, t in zip(arms["holdfast"], arms[arm], strict=True)], ".2f")
                for key in ("wall", "cpu", "peak_mib", "added_mib")
            ]
            lines.append(f"| {name} | {arm} | " + " | ".join(ratios) + " |")
    counts = ", ".join(key.removesuffix("_tokens").replace("_", " ") for key in comparison.tokens)
    lines += [
        "",
        f"| setting | arm | seconds a step | processor seconds | peak MiB | added MiB | loss, nats "
        f"| tokens a step: {counts} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, arms in results.items():
        for arm, runs in arms.items():
            cells = [spread([run[key] for run in runs], ".2f") for key in ("wall", "cpu")]
            cells += [spread([run[key] for run in runs], ".0f") for key in ("peak_mib", "added_mib")]
            cells.append(spread([run["loss"] for run in runs], ".3f"))
            cells.append(", ".join(f"{statistics.median([run[key] for run in runs]):.0f}" for key in comparison.tokens))
            lines.append(f"| {name} | {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def markers(name: str) -> tuple[str, str]:
    """Returns the comments between which a page holds what was measured."""
    return f"<!-- {name}: measured -->", f"<!-- {name}: end -->"


def write_between_markers(path: Path, marker: str, text: str) -> None:
    """Replaces what stands between the page's two markers."""
    start, end = markers(marker)
    page = path.read_text()
    before, rest = page.split(start)
    path.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.split(end)[1]}")
