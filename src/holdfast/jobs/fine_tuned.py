"""Models that jobs made, by name, and who may ask them.

A job belongs to the project of the key that ordered it. Another project may ask what it made only if it was let: for
the model's name, which holds for all its checkpoints, or for one checkpoint. Whoever has no project may ask all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import NotFoundError
from holdfast.store.key_ring import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.store.job_queue import JobRecord
    from holdfast.store.permissions import PermissionRecord
    from holdfast.store.workspace import Workspace

_CHECKPOINT = ":ckpt-step-"


def job_of(workspace: Workspace, name: str) -> JobRecord | None:
    """Returns the job that made a model, or a checkpoint, of this name; None if there is no such."""
    model, sign, step = name.partition(_CHECKPOINT)
    job = workspace.job_of_model(model)
    if job is None or not sign:
        return job
    steps = {str(number) for _, number, _, _ in workspace.job_checkpoints(job.id)}
    return job if step in steps else None


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
