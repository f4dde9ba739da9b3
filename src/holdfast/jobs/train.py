"""Drives the training loop of one attempt: a bar, the stored steps, checkpoints, a polite stop, an exact resume."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.training.loop import Run, Step


def marks(shares: Sequence[float], num_steps: int) -> set[int]:
    """Returns the steps after which a checkpoint is kept for the remedies.

    >>> sorted(marks([0.6, 0.35], 100))
    [35, 60]
    """
    return {max(1, math.floor(share * num_steps)) for share in shares}


def drive(
    run: Run,
    folder: Path,
    *,
    every: int,
    keep: set[int],
    record: Callable[[Sequence[Step]], None],
    progress: Reporter,
    stop: StopSwitch,
    title: str,
) -> None:
    """Runs `run` to its end from its newest checkpoint in `folder`.

    A checkpoint is written after every `every` steps, at the steps in `keep`, at the last step, and when a stop
    is asked for. Steps are recorded together with the checkpoint that holds them: a step that a crash
    undid was never recorded, and the resumed run takes it again with the same numbers.
    """
    from holdfast.models.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

    newest = latest_checkpoint(folder)
    if newest is not None:
        run.load_state_dict(load_checkpoint(newest))
        progress.say(f"Resuming at step {run.done} of {run.num_steps} from the last checkpoint.")
    pending: list[Step] = []
    with progress.bar(title, run.num_steps, unit="steps", done=run.done) as bar:
        for step in run:
            pending.append(step)
            bar.update(step.index, note=_note(step))
            ends = step.index == step.of or run.stopped is not None
            if ends or step.index % every == 0 or step.index in keep or stop.turned:
                save_checkpoint(folder, run.state_dict())
                record(pending)
                pending.clear()
                _prune(folder, keep)
            stop.check()


def go_back(folder: Path, step: int) -> int | None:
    """Deletes the checkpoints after `step` and returns the step of the newest that is left; None if none is left."""
    from holdfast.models.checkpoint import latest_checkpoint, step_of

    while (newest := latest_checkpoint(folder)) is not None and step_of(newest) > step:
        shutil.rmtree(newest)
    return None if newest is None else step_of(newest)


def _note(step: Step) -> str:
    parts = [f"loss {step.loss:.3f}"]
    if "kl" in step.metrics:
        parts.append(f"kl {step.metrics['kl']:.3f}")
    return " ".join(parts)


def _prune(folder: Path, keep: set[int]) -> None:
    """Deletes all checkpoints but the newest two and those that a remedy may look at."""
    found = sorted(path for path in folder.iterdir() if path.name.startswith("step-"))
    for path in found[:-2]:
        if int(path.name.removeprefix("step-")) not in keep:
            shutil.rmtree(path)
