"""Models that jobs made, by name, and who may ask them.

A job belongs to the project of the key that ordered it. Another project may ask what it made only if it was let: for
the model's name, which holds for all its checkpoints, or for one checkpoint. Whoever has no project may ask all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import NotFoundError
from holdfast.jobs.fine_tuning import model_name
from holdfast.jobs.workspace import current_version
from holdfast.store.key_ring import PROJECT
from holdfast.types import Version

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.store.job_queue import JobRecord
    from holdfast.store.permissions import PermissionRecord
    from holdfast.store.workspace import Workspace

CURRENT = "current"
"""The name of the version that answers by default."""
_CHECKPOINT = ":ckpt-step-"


def job_of(workspace: Workspace, name: str) -> JobRecord | None:
    """Returns the job that made a model, or a checkpoint, of this name; None if there is no such."""
    model, sign, step = name.partition(_CHECKPOINT)
    job = workspace.job_of_model(model)
    if not sign:
        return job
    if job is None:  # one that runs, or that the gate refused
        job = workspace.job_with_ending(model.rpartition(":")[2])
        if job is None or model_name(job, _base(workspace)) != model:
            return None
    return job if step in {str(one.step) for one in workspace.job_checkpoints(job.id)} else None


def checkpoint_name(workspace: Workspace, job: JobRecord, step: int) -> str:
    """Returns the name by which a job's checkpoint is asked, whatever became of the job."""
    return f"{model_name(job, _base(workspace))}{_CHECKPOINT}{step}"


def made_by(workspace: Workspace, job: JobRecord, name: str) -> Version | None:
    """Returns what a job made under a name: its accepted version, or one of its checkpoints.

    A checkpoint is weights that no gate has judged, or that it refused; it answers under its own name alone.
    """
    _, sign, step = name.partition(_CHECKPOINT)
    version = None if job.version is None else workspace.serving(job.version)
    if not sign:
        return version if version is not None and version.status == "accepted" else None
    weights = next(one.weights_hash for one in workspace.job_checkpoints(job.id) if str(one.step) == step)
    if version is not None and version.status == "accepted" and weights in (version.weights_hash, ""):
        return version
    run = workspace.run(job.run_id or "")
    recipe = {"adapter": run.details.get("checkpoint_adapter")}
    return Version(name, None, _base(workspace), weights, recipe, "candidate", skill=job.skill)


def is_checkpoint(version: Version) -> bool:
    """Tells whether a version is a checkpoint of a job, as `made_by` gives it."""
    return _CHECKPOINT in version.id


def _base(workspace: Workspace) -> str:
    return (workspace.serving(CURRENT) or current_version(workspace)).base


def who_may_ask(workspace: Workspace) -> Callable[[JobRecord, str], bool]:
    """Returns a function that tells whether whoever is acting may ask what a job made, by its name."""
    project = PROJECT.get()
    if project is None:
        return lambda job, name: True
    granted = workspace.granted_to(project)

    def may(job: JobRecord, name: str) -> bool:
        return job.project in (None, project) or name in granted or name.partition(_CHECKPOINT)[0] in granted

    return may


def grant(workspace: Workspace, checkpoint: str, projects: list[str]) -> list[PermissionRecord]:
    """Lets projects ask a fine-tuned model or checkpoint; raises NotFoundError where there is none of that name."""
    require_fine_tuned(workspace, checkpoint)
    return workspace.grant(checkpoint, projects)


def require_fine_tuned(workspace: Workspace, checkpoint: str) -> None:
    """Raises NotFoundError where no job made a model or a checkpoint of this name."""
    if job_of(workspace, checkpoint) is None:
        raise NotFoundError(
            f"There is no fine-tuned model or checkpoint {checkpoint!r}.", param="fine_tuned_model_checkpoint"
        )
