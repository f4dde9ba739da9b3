"""What was ordered, and whether it is new, under way or decided already: the same order is never worked on twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError
from holdfast.jobs.folder import RunFolder
from holdfast.jobs.job import Job
from holdfast.jobs.overview import lineage

if TYPE_CHECKING:
    from holdfast.jobs.interrupt import StopSwitch
    from holdfast.jobs.progress import Reporter
    from holdfast.store.records import RunRecord
    from holdfast.store.workspace import Workspace
    from holdfast.training.config import Recipe

KIND = "learn"


def require_name(skill: str) -> None:
    """Raises ConfigError for what is no name of a skill."""
    if not skill.strip() or len(skill) > 80 or not skill.isprintable():
        raise ConfigError("skill: give the skill a name of 1 to 80 printable characters.", param="skill")


@dataclass(frozen=True, slots=True)
class Order:
    """A skill to learn from data (by content hash) with a recipe."""

    skill: str
    data_key: str
    recipe: Recipe

    @property
    def key(self) -> str:
        """The name of this work: equal for equal orders, whatever the files are called."""
        parts = [KIND, self.skill, self.data_key, self.recipe.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def decided_run(workspace: Workspace, order: Order) -> RunRecord | None:
    """Returns the finished run of this very order whose outcome still holds, or None.

    A promoted version holds while it is part of the current line; a refusal holds while the version that
    the candidate was compared with is still the current one.
    """
    current = workspace.current()
    assert current is not None
    line = {version.id for version in lineage(workspace, current)}
    for run in reversed(workspace.runs()):
        if run.kind != KIND or run.key != order.key:
            continue
        if run.state == "succeeded" and run.details.get("version") in line:
            return run
        if run.state == "refused" and run.details.get("parent") == current.id:
            return run
    return None


def open_job(workspace: Workspace, order: Order, *, progress: Reporter, stop: StopSwitch, resume: bool) -> Job:
    """Returns the job of an unfinished run of this order, taken up where it is, or of a new run."""
    current = workspace.current()
    assert current is not None
    run = workspace.unfinished_run(order.key)
    if run is not None:
        promoted = run.details.get("version") == current.id
        if resume and (run.details.get("parent") == current.id or promoted):
            progress.say(f"Taking up {run.id}, which {_stop_words(run.state)}.")
        else:
            why = "a new start was asked for" if not resume else f"the current version is {current.id} by now"
            workspace.finish_run(run.id, "cancelled", error=why)
            progress.say(f"{run.id} is not taken up: {why}.")
            run = None
    if run is None:
        recipe = order.recipe.model_dump(mode="json")
        run = workspace.start_run(kind=KIND, skill=order.skill, recipe=recipe, key=order.key)
    if "parent" not in run.details:
        run = workspace.update_run(run.id, state="validating_files", details={"parent": current.id})
    parent = workspace.version(str(run.details["parent"]))
    folder = RunFolder(workspace.run_folder(run.id))
    job = Job(workspace, order.skill, order.recipe, parent, run.id, folder, progress, stop)
    workspace.update_run(run.id, state=job.stage)
    return job


def _stop_words(state: str) -> str:
    """Returns how a run in this state came to stand still."""
    known = {"cancelled": "was stopped", "failed": "failed"}
    return known.get(state, f"was cut off while it was {state.replace('_', ' ')}")
