"""What has to be there before a model can learn: checked data, a registered skill, the model of the current version."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Literal, cast

from holdfast.data.folder import load_prepared
from holdfast.errors import ConfigError
from holdfast.jobs.admission import item_problem, reader_of, train_problem
from holdfast.jobs.material import prepare_all, put_items
from holdfast.jobs.model import adapter_of_recipe, weights_of
from holdfast.types import Skill

if TYPE_CHECKING:
    from holdfast.data.folder import LoadedData
    from holdfast.jobs.job import Job
    from holdfast.jobs.material import Raw
    from holdfast.models.learner import Learner
    from holdfast.models.load import Loaded
    from holdfast.types import JSONValue


def prepared(job: Job, raw: Raw, loaded: Loaded) -> LoadedData:
    """Returns the run's checked and split data, prepared at its first start and read back afterwards."""
    folder, recipe = job.folder.path / "prepared", job.recipe
    if (folder / "report.json").exists():
        return load_prepared(folder)
    reader = reader_of(loaded)
    return prepare_all(
        folder,
        raw,
        recipe,
        check=lambda example: train_problem(reader, example, recipe),
        check_test=lambda example: item_problem(reader, example, recipe),
        progress=job.progress,
    )


def made_from(skill: Skill) -> dict[str, JSONValue]:
    """Returns what a version records besides its recipe: the data by content, and the environment."""
    import torch

    packages = {name: metadata.version(name) for name in ("holdfast", "torch", "transformers", "peft")}
    on = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    made: dict[str, JSONValue] = {"python": platform.python_version(), **packages, "machine": on}
    made["threads"] = torch.get_num_threads()
    return {"train_hash": skill.train_hash, "test_hash": skill.test_hash, "environment": made}


def use_threads(threads: int) -> None:
    """Sets the number of threads that a resumed run must keep, since sums in another order have other last bits."""
    import torch

    torch.set_num_threads(threads)


def register(job: Job, data: LoadedData, grader: str, kind: Literal["chat", "classify"]) -> Skill:
    """Stores the data and registers the skill; a skill taught before gets the new data and test."""
    workspace = job.workspace
    train, test = put_items(workspace, data.train), put_items(workspace, data.test)
    skill = Skill(job.skill, train, test, grader, kind)
    known = {each.name: each for each in workspace.skills()}.get(job.skill)
    if known is not None and known.kind != skill.kind:
        text = f"'{job.skill}' is a skill of kind {known.kind}; a skill of kind {skill.kind} needs another name."
        raise ConfigError(text, param="skill")
    if known is not None and known != skill and any(v.skill == job.skill for v in workspace.versions()):
        job.note(f"{job.skill} was taught before from other data; its test is replaced by the new one.", warning=True)
    workspace.add_skill(skill, replace=True)
    return skill


def open_learner(job: Job, loaded: Loaded) -> Learner:
    """Returns the model whose candidate and current are both the version that the run starts from."""
    from holdfast.models.learner import Learner

    checkpointing = cast("dict[str, bool] | None", job.folder.read("memory"))
    learner = Learner.create(
        loaded,
        adapter_of_recipe(job.recipe),
        start=weights_of(job.workspace, job.parent),
        gradient_checkpointing=checkpointing["checkpointing"] if checkpointing else "auto",
        tokens_per_batch=job.recipe.batch.micro_batch_tokens,
        seed=job.recipe.seed,
    )
    job.folder.write("memory", {"checkpointing": learner.gradient_checkpointing})
    return learner
