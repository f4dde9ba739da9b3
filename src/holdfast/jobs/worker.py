"""The worker: one process that takes one order after the other from the queue and carries it out.

It holds a job by a lease that it renews every second. A worker that was killed renews nothing: the next one takes the
job up and goes on from its last checkpoint, to the same weights. A pause or a cancel is read at each renewal and acts
at the next step.
"""

from __future__ import annotations

import csv
import io
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

from holdfast.errors import HoldfastError, StoreError
from holdfast.jobs import full_disk
from holdfast.jobs.fine_tuning import model_name
from holdfast.jobs.full_disk import Reserve, is_full
from holdfast.jobs.holder import has_died, holder_name
from holdfast.jobs.interrupt import StopRequested, StopSwitch
from holdfast.jobs.learn import learn
from holdfast.jobs.tracking import tracked
from holdfast.store.part import to_text
from holdfast.training.config import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from holdfast.jobs.progress import Bar
    from holdfast.jobs.result import LearnResult
    from holdfast.jobs.tracking import Log
    from holdfast.store.job_queue import JobRecord
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

LEASE_SECONDS = 20.0
RENEW_SECONDS = 1.0
IDLE_SECONDS = 0.5
COLUMNS = ("train_loss", "train_mean_token_accuracy", "valid_loss", "valid_mean_token_accuracy", "full_valid_loss",
           "full_valid_mean_token_accuracy")  # fmt: skip
"""What checkpoints and the result file tell of a step, in the hosted services' names."""
MOST_DEATHS = 3
"""A job whose worker died so often at the same place is not taken up again."""
EVENT_SECONDS = 1.0
"""At most one event of a step in so many seconds, besides the first and the last step."""


class Worker:
    """Takes jobs until its switch is turned."""

    def __init__(self, workspace: Workspace, stop: StopSwitch) -> None:
        self.workspace, self.stop = workspace, stop
        self.name = holder_name()
        self._reserve = Reserve(workspace.root)

    def run(self, *, once: bool = False) -> list[str]:
        """Carries out jobs as they come, with `once` those that are there, and returns which."""
        done: list[str] = []
        while not self.stop.turned:
            self._release_the_dead()
            self._reserve.fill()
            job = self.workspace.take_job(self.name, seconds=LEASE_SECONDS)
            if job is not None:
                self._carry_out(job)
                done.append(job.id)
            elif once:
                break
            else:
                time.sleep(IDLE_SECONDS)
        return done

    def _release_the_dead(self) -> None:
        """Frees the jobs of workers of this machine that are no more, so that nobody waits for their lease to end."""
        for job in self.workspace.held_jobs():
            if job.leased_by is not None and has_died(job.leased_by):
                self._died(job)

    def _died(self, job: JobRecord) -> None:
        """Lets a job go on whose worker died, unless it dies at the same place again and again.

        It is taken over first: of several workers that see the death one counts it, and none takes the job from another
        that goes on with it already.
        """
        if self.workspace.change_job(job.id, {"leased_by": self.name}, held_by=job.leased_by) is None:
            return
        run = None if job.run_id is None else self.workspace.run(job.run_id)
        place: JSONValue = None if run is None else [run.state, len(self.workspace.steps(run.id))]
        before = self.workspace.job_events(job.id, limit=1000, type="message")
        deaths = 1 + sum(event.data == {"died_at": place} for event in before)
        told = "The worker died: it was killed, or the machine had no memory left"
        self.workspace.add_job_event(job.id, told, level="warn", data={"died_at": place})
        if deaths < MOST_DEATHS:
            self.workspace.change_job(job.id, {"leased_by": None, "leased_until": None}, held_by=self.name)
            return
        message = (
            f"The worker died {deaths} times at the same place. If the machine ran out of memory, lower "
            "batch.micro_batch_tokens (it changes no result) or use an adapter. What was finished is kept."
        )
        self._failed(job, "worker_died", message, None)

    def _carry_out(self, job: JobRecord) -> None:
        workspace = self.workspace
        again = job.attempts > 1
        workspace.add_job_event(job.id, "Fine-tuning job is taken up again" if again else "Fine-tuning job started")
        stop = StopSwitch()
        try:
            with self._holding(job.id, stop), tracked(workspace, job) as logs:
                result = self._learn(job, stop, logs)
            self._decided(job, result)
        except StopRequested:
            self._stopped(job)
        except (HoldfastError, OSError, MemoryError, RuntimeError) as error:
            if is_full(error):
                self._reserve.give_up()
                self._failed(job, "disk_full", full_disk.MESSAGE, None)
            elif isinstance(error, HoldfastError):
                self._failed(job, error.code, error.message, error.param)
            else:
                self._failed(job, "server_error", f"{type(error).__name__}: {error}", None)

    def _learn(self, job: JobRecord, stop: StopSwitch, logs: Sequence[Log]) -> LearnResult:
        workspace = self.workspace
        recipe = Recipe.from_mapping(job.recipe, where=job.id)
        validation = job.request.get("validation_file")
        return learn(
            workspace,
            str(workspace.upload_path(str(job.request["training_file"]))),
            skill=job.skill,
            recipe=recipe,
            progress=JobReporter(workspace, job.id, logs),
            test_source=str(workspace.upload_path(str(validation))) if validation else None,
            stop=stop,
            started=lambda run_id: self._started(job, run_id),
            checkpointed=lambda *told: self._checkpointed(job, *told),
        )

    def _started(self, job: JobRecord, run_id: str) -> None:
        self.workspace.change_job(job.id, {"run_id": run_id})

    def _checkpointed(
        self, job: JobRecord, step: int, metrics: Mapping[str, float], weights: str, adapter: JSONValue
    ) -> None:
        """Stores the weights after an epoch as the job's checkpoint, which can be asked by its own name."""
        run_id = str(self.workspace.job(job.id).run_id)
        self.workspace.update_run(run_id, details={"checkpoint_adapter": adapter})
        self._note_checkpoint(job, step, metrics, weights)

    def _note_checkpoint(self, job: JobRecord, step: int, metrics: Mapping[str, float], weights: str) -> None:
        told: dict[str, JSONValue] = {"step": step}
        told |= {name: metrics[name] for name in COLUMNS if name in metrics}
        self.workspace.add_job_checkpoint(job.id, step, told, weights)
        self.workspace.add_job_event(job.id, f"Checkpoint created at step {step}", data=told)

    @contextmanager
    def _holding(self, name: str, stop: StopSwitch) -> Iterator[None]:
        """Renews the lease while the block runs, and turns `stop` when the job or this worker is to stop."""
        done = Event()

        def renew() -> None:
            while not done.wait(RENEW_SECONDS):
                try:
                    wanted = self.workspace.renew_lease(name, self.name, seconds=LEASE_SECONDS)
                except StoreError:
                    continue  # the database is busy: the lease lasts for some more tries
                if wanted != "run" or self.stop.turned:
                    stop.turn()

        thread = Thread(target=renew, name=f"lease of {name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _stopped(self, job: JobRecord) -> None:
        """Leaves a job that was asked to stop, or that this worker has no time for any more."""
        now = self.workspace.job(job.id)
        if now.leased_by != self.name:
            return  # another worker has it
        if now.wanted == "run":  # this worker ends: the next one goes on
            self.workspace.change_job(job.id, {"leased_by": None, "leased_until": None})
            self.workspace.add_job_event(job.id, "The worker stops; the job goes on when it is back")
            return
        status = {"pause": "paused", "cancel": "cancelled"}[now.wanted]
        ended = self.workspace.now() if status == "cancelled" else None
        self.workspace.change_job(job.id, {**self._ended(status), "finished_at": ended})
        self.workspace.add_job_event(job.id, f"The job is {status}")

    def _failed(self, job: JobRecord, code: str, message: str, param: str | None) -> None:
        error: dict[str, JSONValue] = {"code": code, "message": message, "param": param}
        values = {"error": to_text(error), **self._ended("failed")}
        if self.workspace.change_job(job.id, values, held_by=self.name) is None:
            return  # another worker has it
        self.workspace.add_job_event(job.id, f"The job failed: {message}", level="error", data=error)

    def _ended(self, status: str) -> dict[str, str | int | None]:
        return {"status": status, "leased_by": None, "leased_until": None, "finished_at": self.workspace.now()}

    def _decided(self, job: JobRecord, result: LearnResult) -> None:
        """Stores what came out: a model that can be asked, or why the gate refused it."""
        workspace = self.workspace
        told = result.to_json()
        kept: dict[str, JSONValue] = {
            name: told[name]
            for name in ("status", "version", "parent", "scores", "scores_before", "verdict", "words", "matrix", "data")
        }
        kept |= {"attempts": told["attempts"], "reflection": told["reflection"]}
        kept["result_files"] = [self._result_file(job, result)]
        for sentence in result.words:
            workspace.add_job_event(job.id, sentence)
        shown = {"verdict": told["verdict"], "matrix": told["matrix"]}
        workspace.add_job_event(job.id, "The gate's verdict", data=shown)
        values: dict[str, str | int | None] = {"result": to_text(kept), "run_id": result.run_id}
        values |= {"version": result.version.id, "trained_tokens": self._trained_tokens(result.run_id)}
        if result.status == "accepted":
            name = model_name(job, result.version.base)
            workspace.change_job(job.id, {"fine_tuned_model": name, **values, **self._ended("succeeded")})
            self._note_accepted(job, result)
            workspace.add_job_event(job.id, f"New fine-tuned model created: {name}")
            workspace.add_job_event(job.id, "The job has successfully completed")
            return
        message = f"The gate refused the result, and the model stays as it was. {' '.join(result.words)}"
        error: dict[str, JSONValue] = {"code": "gate_refused", "message": message, "param": None}
        workspace.change_job(job.id, {"error": to_text(error), **values, **self._ended("failed")})
        workspace.add_job_event(job.id, message, level="error", data=error)

    def _note_accepted(self, job: JobRecord, result: LearnResult) -> None:
        """Stores the accepted weights as the job's checkpoint where the training left none, as that of classes."""
        steps = self.workspace.steps(result.run_id)
        if not steps or self.workspace.job_checkpoints(job.id):
            return
        self._note_checkpoint(job, steps[-1].step, {"train_loss": steps[-1].loss}, result.version.weights_hash)

    def _trained_tokens(self, run_id: str) -> int:
        return int(sum(step.metrics.get("tokens", 0) for step in self.workspace.steps(run_id)))

    def _result_file(self, job: JobRecord, result: LearnResult) -> str:
        """Returns the id of a CSV with what every step measured; numbers only, the step first."""
        text = io.StringIO()
        write = csv.writer(text, lineterminator="\n")
        write.writerow(["step", *COLUMNS])
        for step in self.workspace.steps(result.run_id):
            measured = {**step.metrics, "train_loss": step.loss}
            write.writerow([step.step, *(measured.get(name, "") for name in COLUMNS)])
        with self.workspace.receiving(1 << 30) as given:
            given.write(text.getvalue().encode())
            name = f"{job.id}-results.csv"
            record = self.workspace.keep_upload(given, filename=name, purpose="fine-tune-results", expires_at=None)
        self.workspace.judge_upload(record.id, "processed")
        return record.id


class JobReporter:
    """Tells a job's story in its events: every sentence, and the training's steps with their loss."""

    def __init__(self, workspace: Workspace, name: str, logs: Sequence[Log] = ()) -> None:
        self._workspace, self._name, self._logs = workspace, name, logs

    def say(self, text: str) -> None:
        """Stores one sentence."""
        self._workspace.add_job_event(self._name, text)

    def warn(self, text: str) -> None:
        """Stores one sentence that the reader should not miss."""
        self._workspace.add_job_event(self._name, text, level="warn")

    @contextmanager
    def bar(self, title: str, total: int, *, unit: str, done: int = 0) -> Iterator[Bar]:
        """Yields a bar of which the steps of a training become events."""
        yield _StepEvents(self._workspace, self._name, self._logs, total, done)


class _StepEvents:
    def __init__(self, workspace: Workspace, name: str, logs: Sequence[Log], total: int, done: int) -> None:
        self._workspace, self._name, self._logs, self._total, self._before = workspace, name, logs, total, done
        self._last, self._begin = 0.0, time.monotonic()

    def update(
        self, done: int, total: int | None = None, note: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """Stores a step with its metrics, not more often than `EVENT_SECONDS` unless it tells more than its loss."""
        if metrics is None:
            return
        total = total if total is not None else self._total
        data: dict[str, JSONValue] = {"step": done, "total_steps": total, "train_loss": metrics["loss"]}
        data |= {name: value for name, value in metrics.items() if name != "loss"}
        for log in self._logs:
            log(done, data)
        now = time.monotonic()
        if 1 < done < total and now - self._last < EVENT_SECONDS and "valid_loss" not in metrics:
            return
        self._last = now
        left = (total - done) * (now - self._begin) / max(1, done - self._before)
        data["training_seconds_left"] = round(left, 1)
        text = f"Step {done}/{total}: training loss={metrics['loss']:.2f}"
        if "valid_loss" in metrics:
            text += f", validation loss={metrics['valid_loss']:.2f}"
        self._workspace.add_job_event(self._name, text, type="metrics", data=data)
