"""A job's `integrations`: its figures go to Weights & Biases while it runs, step by step.

A run there is named as the job, so a job that is taken up again goes on in the same run. Without WANDB_API_KEY (or
WANDB_MODE) it is kept in the workspace's folder `wandb`, to be sent later by `wandb sync`. Nothing that goes wrong
there stops the job.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeAlias

    from holdfast.store.job_queue import JobRecord
    from holdfast.store.workspace import Workspace
    from holdfast.types import JSONValue

    Log: TypeAlias = Callable[[int, Mapping[str, JSONValue]], None]
    """Takes a step's number and its figures."""

KNOWN = ("project", "name", "entity", "tags")


def require_known(integrations: JSONValue) -> None:
    """Raises ConfigError for an integration that is not there, or is not described as it must be."""
    for number, each in enumerate(cast("list[dict[str, JSONValue]]", integrations or [])):
        where = f"integrations[{number}]"
        if each.get("type") != "wandb":
            raise ConfigError(f"{where}.type: {each.get('type')!r} is not known here, only 'wandb'.", param=where)
        told = each.get("wandb")
        if not isinstance(told, dict) or not told.get("project") or not isinstance(told["project"], str):
            raise ConfigError(f'{where}.wandb: say at least the project: {{"project": "my-project"}}.', param=where)
        odd = [name for name in told if name not in KNOWN]
        if odd:
            raise ConfigError(f"{where}.wandb.{odd[0]} is not one of {', '.join(KNOWN)}.", param=where)
        if find_spec("wandb") is None:
            raise ConfigError(
                f"{where}: this server lacks Weights & Biases: pip install 'holdfast[track]'.", param=where
            )


@contextmanager
def tracked(workspace: Workspace, job: JobRecord) -> Iterator[list[Log]]:
    """Yields where the figures of a job's steps go besides its events."""
    logs: list[Log] = []
    runs: list[_Run] = []
    for each in cast("list[dict[str, JSONValue]]", job.request.get("integrations") or []):
        try:
            run = _Run(workspace, job, cast("dict[str, JSONValue]", each["wandb"]))
        except Exception as error:  # noqa: BLE001 - whatever another service does, the job goes on
            _warn(workspace, job, error)
            continue
        runs.append(run)
        logs.append(run.log)
    try:
        yield logs
    finally:
        for run in runs:
            run.close()


class _Run:
    """A run of Weights & Biases; the first thing that goes wrong is said, and ends it."""

    def __init__(self, workspace: Workspace, job: JobRecord, told: Mapping[str, JSONValue]) -> None:
        import wandb

        self._workspace, self._job, self._is_broken = workspace, job, False
        online = bool(os.environ.get("WANDB_API_KEY"))
        mode = os.environ.get("WANDB_MODE") or ("online" if online else "offline")
        folder = workspace.root / "wandb"
        folder.mkdir(exist_ok=True)
        self._run = wandb.init(
            project=str(told["project"]),
            entity=cast("str | None", told.get("entity")),
            name=cast("str | None", told.get("name")) or job.id,
            tags=cast("list[str] | None", told.get("tags")),
            id=job.id,
            resume="allow",
            dir=str(folder),
            mode=mode,  # pyright: ignore[reportArgumentType] - checked by wandb
            config={"recipe": job.recipe, "skill": job.skill, "training_file": job.request.get("training_file")},
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
        )
        self._run.define_metric("*", step_metric="step")  # a job that is taken up again may make a step again
        where = f"{folder} (send it with `wandb sync`)" if mode == "offline" else "its project"
        workspace.add_job_event(job.id, f"Weights & Biases: the run {job.id} is kept in {where}")

    def log(self, step: int, figures: Mapping[str, JSONValue]) -> None:
        """Hands a step's figures on."""
        if self._is_broken:
            return
        try:
            self._run.log({**figures, "step": step})
        except Exception as error:  # noqa: BLE001 - whatever another service does, the job goes on
            self._is_broken = True
            _warn(self._workspace, self._job, error)

    def close(self) -> None:
        """Ends the run."""
        try:
            self._run.finish()
        except Exception as error:  # noqa: BLE001 - whatever another service does, the job goes on
            _warn(self._workspace, self._job, error)


def _warn(workspace: Workspace, job: JobRecord, error: Exception) -> None:
    workspace.add_job_event(job.id, f"Weights & Biases failed, and the job goes on without: {error}", level="warn")
