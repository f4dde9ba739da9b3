"""What has to be there before a model can learn: checked data, a registered skill, the model of the current version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from holdfast.data.folder import load_prepared
from holdfast.errors import ConfigError
from holdfast.jobs.material import prepare_all, put_items
from holdfast.jobs.model import adapter_of_recipe, context_of, teacher_problem, weights_of
from holdfast.training.config import SdftConfig
from holdfast.types import Skill

if TYPE_CHECKING:
    from holdfast.data.folder import LoadedData
    from holdfast.jobs.job import Job
    from holdfast.jobs.material import Raw
    from holdfast.models.learner import Learner
    from holdfast.models.load import Loaded
    from holdfast.training.config import MethodConfig
    from holdfast.types import Example


def prepared(job: Job, raw: Raw, loaded: Loaded) -> LoadedData:
    """Returns the run's checked and split data, prepared at its first start and read back afterwards."""
    folder, recipe = job.folder.path / "prepared", job.recipe
    if (folder / "report.json").exists():
        return load_prepared(folder)
    most = min(recipe.batch.max_tokens or context_of(loaded), context_of(loaded))
    answer = recipe.evaluation.max_new_tokens
    return prepare_all(
        folder,
        raw,
        recipe,
        check=lambda example: train_problem(loaded, example, recipe.method, most),
        check_test=lambda example: item_problem(loaded, example, most, answer),
        progress=job.progress,
    )


def train_problem(loaded: Loaded, example: Example, config: MethodConfig, most: int) -> str | None:
    """Returns why the method cannot learn from an example of at most `most` tokens, or None."""
    from holdfast.models.render import problem_of

    if example.demonstration is not None:
        problem = problem_of(loaded.tokenizer, example, most)
    elif example.label is not None and config.type in ("auto", "classify"):
        problem = _text_problem(loaded, example, most)
    elif example.label is not None:
        problem = f"has a label and no answer, from which {config.type} learns nothing; use method = classify"
    elif (example.privileged_context or example.document) and config.type in ("auto", "sdft"):
        problem = None
    else:
        problem = "has no answer to learn from"
    if problem is None and isinstance(config, SdftConfig):
        return teacher_problem(loaded, example, config)
    return problem


def item_problem(loaded: Loaded, example: Example, most: int, answer: int) -> str | None:
    """Returns why the model cannot be asked a test item, with `answer` tokens to answer it, or None."""
    from holdfast.models.render import render_prompt

    if example.label is not None and example.demonstration is None:
        return _text_problem(loaded, example, most)
    num_tokens, context = len(render_prompt(loaded.tokenizer, example.prompt, example.tools)), context_of(loaded)
    if num_tokens + answer <= context:
        return None
    return f"its prompt has {num_tokens} tokens; the model reads {context}, of which {answer} are kept for the answer"


def _text_problem(loaded: Loaded, example: Example, most: int) -> str | None:
    """Returns why a text cannot be classified, or None."""
    from holdfast.training.methods.classify import text_of

    num_tokens = len(loaded.tokenizer(text_of(example))["input_ids"]) + 1
    if num_tokens <= most:
        return None
    return f"its text has {num_tokens} tokens; at most {most} fit, and nothing is truncated"


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
