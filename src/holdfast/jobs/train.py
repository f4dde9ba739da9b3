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
    back: int = 0,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Runs `run` to its end from its newest checkpoint in `folder`.

    A checkpoint is written after every `every` steps, at the steps in `keep`, at the last step, and when a stop
    is asked for; those that `go_back` may need after a collapse that shows `back` steps late stay. Steps are
    recorded together with the checkpoint that holds them: a step that a crash undid was never recorded, and the
    resumed run takes it again with the same numbers. `after_step` is called after every step, before its checkpoint:
    a run that is resumed there never makes again what the step made known.
    """
    from holdfast.models.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint

    newest = latest_checkpoint(folder)
    if newest is not None:
        run.load_state_dict(load_checkpoint(newest))
        progress.say(f"Resuming at step {run.done} of {run.num_steps} from the last checkpoint.")
    pending: list[Step] = []

    def save() -> None:
        save_checkpoint(folder, run.state_dict())
        record(pending)
        pending.clear()
        _prune(folder, every=every, keep=keep, back=back)

    with progress.bar(title, run.num_steps, unit="steps", done=run.done) as bar:
        for step in run:
            pending.append(step)
            bar.update(step.index, note=_note(step), metrics={"loss": step.loss, **step.metrics})
            if after_step is not None:
                after_step()
            ends = step.index == step.of or run.stopped is not None
            if ends or step.index % every == 0 or step.index in keep or stop.turned:
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


def _note(step: Step) -> str:
    parts = [f"loss {step.loss:.3f}"]
    parts += [f"{name} {step.metrics[name]:.3f}" for name in ("kl", "reward", "reward_margin") if name in step.metrics]
    return " ".join(parts)
