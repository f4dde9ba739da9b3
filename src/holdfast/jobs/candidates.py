"""Makes the candidate of each attempt: by training, or from what an earlier training left behind."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from holdfast.errors import CollapseError, StoreError
from holdfast.jobs.failures import FailureFile
from holdfast.jobs.held_out import HeldOut
from holdfast.jobs.progress import SilentBar, counting
from holdfast.jobs.remedies import CHECKPOINT_SHARES
from holdfast.jobs.train import drive, epoch_ends, go_back, marks
from holdfast.types import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from holdfast.jobs.job import Job
    from holdfast.jobs.remedies import Attempt
    from holdfast.models.learner import Learner
    from holdfast.training.config import Recipe
    from holdfast.training.loop import Run, Step
    from holdfast.training.rehearsal import Reminder
    from holdfast.types import Example, JSONValue


@dataclass(slots=True)
class Candidates:
    """The candidates of one job. Every one is made once; what is on disk already is only loaded."""

    job: Job
    learner: Learner
    examples: Sequence[Example]
    test: Sequence[Example]
    remind: Callable[[Recipe], Sequence[Reminder]]
    facts: Mapping[str, JSONValue]
    _holds: int | None = field(default=None, init=False)

    def make(self, attempt: Attempt) -> Version:
        """Returns the attempt's version; the learner's candidate holds its weights afterwards."""
        name = f"attempt-{attempt.index}"
        known = self.job.folder.read(name)
        if known is None:
            self._weigh(attempt)
            version = self._add(attempt)
            self.job.folder.write(name, {"version": version.id})
            return version
        version = self.job.workspace.version(str(cast("dict[str, JSONValue]", known)["version"]))
        return version

    def is_new(self, attempt: Attempt) -> bool:
        """Tells whether the attempt has weights of its own: a short training may have no earlier checkpoint."""
        if attempt.at_share == 1.0 or self.job.folder.read(f"attempt-{attempt.index}") is not None:
            return True
        newest, chosen = self._paths(attempt.training, attempt.at_share)
        return newest != chosen

    def load(self, attempt: Attempt) -> None:
        """Puts the attempt's weights into the learner's candidate, if they are not there."""
        if self._holds == attempt.index:
            return
        self.learner.load_candidate_state(self._checkpoint(attempt.training, attempt.at_share))
        if attempt.towards_current:
            self.learner.interpolate(attempt.towards_current)
        self._holds = attempt.index

    def _weigh(self, attempt: Attempt) -> None:
        self._holds = None
        if not attempt.trains:
            self.load(attempt)
            return
        self.learner.reset_candidate()
        self._train(attempt)
        self._holds = attempt.index

    def recipe_of(self, attempt: Attempt) -> Recipe:
        """Returns the recipe that the attempt trains with."""
        recipe = self.job.recipe
        rehearsal, optimizer = recipe.rehearsal, recipe.optimizer
        if attempt.rehearsal_factor != 1.0 and rehearsal.enabled:
            more = {
                "per_step": round(rehearsal.per_step * attempt.rehearsal_factor),
                "num_reminders": round(rehearsal.num_reminders * attempt.rehearsal_factor),
            }
            rehearsal = rehearsal.model_copy(update=more)
        rate = cast("float", optimizer.learning_rate) * attempt.rate_factor
        optimizer = optimizer.model_copy(update={"learning_rate": rate})
        return recipe.model_copy(update={"rehearsal": rehearsal, "optimizer": optimizer})

    def _folder(self, index: int) -> Path:
        folder = self.job.folder.path / f"training-{index}"
        folder.mkdir(exist_ok=True)
        return folder

    def _train(self, attempt: Attempt) -> None:
        from holdfast.training.loop import Run
        from holdfast.training.methods import build
        from holdfast.training.methods.reflect_retry_reward import SAME_WINDOW

        job, recipe = self.job, self.recipe_of(attempt)
        method = build(recipe, self.learner, self.examples)
        reminders = self.remind(recipe)
        reads = bool(reminders) and recipe.rehearsal.cache == "hidden"
        bars = job.progress.bar("reading reminders", len(reminders), unit="reminders")
        with bars if reads else nullcontext(SilentBar()) as bar:
            read = counting(bar, job.stop.check)
            run = Run(self.learner, method, self.examples, recipe, reminders=reminders, progress=read)
        before = attempt.index * run.num_steps  # steps of a remedy's training follow those of the attempts before it

        def record(steps: Sequence[Step]) -> None:
            for step in steps:
                metrics = {**step.metrics, "learning_rate": step.learning_rate, "grad_norm": step.grad_norm}
                metrics["tokens"] = step.tokens
                job.workspace.record_step(job.run_id, before + step.index, step.loss, metrics)

        mined = FailureFile(job, method, attempt.index)
        held_out = HeldOut(self.learner, self.examples, self.test)
        keep = marks(CHECKPOINT_SHARES, run.num_steps)
        # A collapse shows only after a window: of steps, or of rounds of sampling.
        windows = {"sdft": recipe.guards.window, "reflect": SAME_WINDOW * method.steps_per_generation}
        back = windows.get(recipe.method.type, 0)
        try:
            drive(
                run,
                self._folder(attempt.index),
                every=recipe.checkpoint_every,
                keep=keep,
                back=back,
                record=record,
                after_step=mined.keep,
                measure=lambda step: held_out.measure(last=step.index == step.of),
                at_epoch=self._at_epoch(run, before),
                progress=job.progress,
                stop=job.stop,
                title="training" if attempt.index == 0 else f"training again ({attempt.index})",
            )
            if run.stopped is not None:
                job.note(f"Stopped early at step {run.done} of {run.num_steps}: {run.stopped}.")
        except CollapseError as error:
            folder, every = self._folder(attempt.index), recipe.checkpoint_every
            good = go_back(folder, run.done - back, every=every, keep=keep)
            if good is None:
                text = f"{error.message} There is no checkpoint from before, so there is no candidate."
                raise CollapseError(text, param=error.param) from error
            text = f"{error.message} Going on with the last good checkpoint, of step {good}: the gate judges it."
            job.note(text, warning=True)
            self.learner.load_candidate_state(self._checkpoint(attempt.index, 1.0))
        finally:
            # A step that was not finished may have mined too.
            mined.keep()

    def _at_epoch(self, run: Run, before: int) -> tuple[set[int], Callable[[Step], None]] | None:
        """Returns the last steps of the last epochs and what is done there, if somebody wants the weights."""
        job = self.job
        tell = job.checkpointed
        if tell is None:
            return None

        def store(step: Step) -> None:
            folder = job.folder.path / "epoch"
            self.learner.save(folder)
            metrics = {"train_loss": step.loss, **step.metrics}
            adapter = job.recipe.model_dump(mode="json")["adapter"]
            tell(before + step.index, metrics, job.workspace.files.put_folder(folder), adapter)

        return epoch_ends(len(run.examples), job.recipe.batch.examples, run.num_steps), store

    def _checkpoint(self, training: int, share: float) -> Mapping[str, Tensor]:
        """Returns the candidate's weights at a share of a training."""
        from holdfast.models.checkpoint import load_checkpoint

        return cast("Mapping[str, Tensor]", load_checkpoint(self._paths(training, share)[1])["candidate"])

    def _paths(self, training: int, share: float) -> tuple[Path, Path]:
        """Returns a training's newest checkpoint, and the one nearest to a share of its steps."""
        from holdfast.models.checkpoint import checkpoints

        folder = self._folder(training)
        found = checkpoints(folder)
        if not found:
            raise StoreError(f"{folder}: the training's checkpoints are gone. Run with --again to train anew.")
        newest = max(found)
        wanted = newest if share == 1.0 else max(marks([share], newest))
        return found[newest], found[min(found, key=lambda step: (abs(step - wanted), step))]

    def _add(self, attempt: Attempt) -> Version:
        job = self.job
        folder = job.folder.path / "weights"
        self.learner.save(folder)
        weights = job.workspace.files.put_folder(folder)
        twin = next(
            (v for v in job.workspace.versions() if v.weights_hash == weights and v.parent == job.parent.id), None
        )
        if twin is not None and twin.skill == job.skill and twin.status == "candidate":
            return twin  # stored just before the process was killed
        recipe = self.recipe_of(attempt).model_dump(mode="json")
        version = Version("", job.parent.id, job.parent.base, weights, recipe, "candidate", skill=job.skill)
        facts = {**self.facts, "run": job.run_id, "attempt": attempt.kind, "how": attempt.words}
        return job.workspace.add_version(version, facts=facts)
