"""Drives the training loop of one attempt: a bar, the stored steps, checkpoints, a polite stop, an exact resume."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
    back: int = 0,
    after_step: Callable[[], None] | None = None,
    measure: Callable[[Step], Mapping[str, float]] | None = None,
    at_epoch: tuple[set[int], Callable[[Step], None]] | None = None,
) -> None:
    """Runs `run` to its end from its newest checkpoint in `folder`.

    A checkpoint is written after every `every` steps, at the steps in `keep`, at the last step, and when a stop
    is asked for; those that `go_back` may need after a collapse that shows `back` steps late stay. Steps are
    recorded just before the checkpoint that holds them: a step that a crash undid may be there already, and the
    resumed run takes it again with the same numbers. `after_step` is called after every step, before its checkpoint:
    a run that is resumed there never makes again what the step made known. `measure` adds to the metrics of the steps
    with a regular checkpoint, or that end an epoch; at these steps, `at_epoch` is called.
    """
    from holdfast.models.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

    newest = latest_checkpoint(folder)
    if newest is not None:
        run.load_state_dict(load_checkpoint(newest))
        progress.say(f"Resuming at step {run.done} of {run.num_steps} from the last checkpoint.")
    pending: list[Step] = []

    def save() -> None:
        record(pending)
        save_checkpoint(folder, run.state_dict())
        pending.clear()
        _prune(folder, every=every, keep=keep, back=back)

    with progress.bar(title, run.num_steps, unit="steps", done=run.done) as bar:
        for step in run:
            ends = step.index == step.of or run.stopped is not None
            regular = ends or _regular(step.index, every, keep)
            ends_epoch = at_epoch is not None and step.index in at_epoch[0]
            if measure is not None and (regular or ends_epoch):
                step = replace(step, metrics={**step.metrics, **measure(step)})
            pending.append(step)
            bar.update(step.index, note=_note(step), metrics={"loss": step.loss, **step.metrics})
            if after_step is not None:
                after_step()
            if at_epoch is not None and ends_epoch:
                at_epoch[1](step)
            if regular or stop.turned:
                save()
            stop.check()
        if pending:  # the method had nothing to make another step of
            save()


def go_back(folder: Path, step: int, *, every: int, keep: set[int]) -> int | None:
    """Deletes the checkpoints after the newest regular one up to `step` and returns its step; None if there is none.

    Regular are those that every run writes, wherever it was stopped: so a run that was stopped goes back as far
    as one that was not. Where there is none, nothing is deleted.
    """
    from holdfast.models.checkpoint import checkpoints

    found = checkpoints(folder)
    good = max((at for at in found if at <= step and _regular(at, every, keep)), default=None)
    if good is not None:
        for at in sorted(found, reverse=True):
            if at > good:
                _retire(found[at])
    return good


def _prune(folder: Path, *, every: int, keep: set[int], back: int) -> None:
    """Deletes all checkpoints but the newest two, those that a remedy may look at, and those to go back to."""
    from holdfast.models.checkpoint import checkpoints

    found = checkpoints(folder)
    newest = max(found)
    safe = max((at for at in found if at <= newest - back and _regular(at, every, keep)), default=0)
    for at in sorted(found)[:-2]:
        if at < safe and at not in keep:
            _retire(found[at])


def _regular(step: int, every: int, keep: set[int]) -> bool:
    return step % every == 0 or step in keep


def _retire(path: Path) -> None:
    """Deletes a checkpoint so that no half of one is ever found."""
    gone = path.with_name(f".{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def epoch_ends(num_examples: int, per_step: int, num_steps: int, *, last: int = 3) -> set[int]:
    """Returns the steps with which the `last` epochs of a training end; its last step ends one.

    >>> sorted(epoch_ends(100, 8, 60))
    [38, 50, 60]
    """
    per_epoch = num_examples / per_step
    whole = {math.ceil(number * per_epoch) for number in range(1, math.floor(num_steps / per_epoch) + 1)}
    return set(sorted({*whole, num_steps})[-last:])


def _note(step: Step) -> str:
    parts = [f"loss {step.loss:.3f}"]
    parts += [
        f"{name.replace('_', ' ')} {step.metrics[name]:.3f}"
        for name in ("valid_loss", "kl", "reward", "reward_margin")
        if name in step.metrics
    ]
    return " ".join(parts)
