"""The model of a job: the base, with the weights of the version it starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.errors import ConfigError
from holdfast.models.adapter_config import AdapterConfig
from holdfast.training.config import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.jobs.progress import Reporter
    from holdfast.models.learner import Learner
    from holdfast.models.load import Device, Dtype, Loaded
    from holdfast.store.workspace import Workspace
    from holdfast.types import Version


def weights_of(workspace: Workspace, version: Version) -> Path | None:
    """Returns the folder with a version's adapter or weights, or None for the bare base."""
    return workspace.files.path_of(version.weights_hash) if version.weights_hash else None


def chat_template_of(workspace: Workspace) -> str | None:
    """Returns the chat template that the workspace was made with, or None for the tokenizer's own."""
    first = workspace.versions()[0]
    template = workspace.facts(first.id).get("chat_template")
    return str(template) if template is not None else None


def open_base(workspace: Workspace, base: str, *, dtype: Dtype = "auto", device: Device = "auto") -> Loaded:
    """Returns the model `base` with the workspace's chat template."""
    from holdfast.models.load import load

    return load(base, dtype=dtype, device=device, chat_template=chat_template_of(workspace))


def adapter_of(version: Version) -> AdapterConfig | None:
    """Returns the adapter settings of a version that was learned, or None for full weights."""
    value = version.recipe.get("adapter")
    return AdapterConfig.model_validate(value) if isinstance(value, dict) else None


def inherited_adapter(recipe: Recipe, parent: Version) -> Recipe:
    """Returns the recipe with the adapter of the version it starts from; refuses to change it on the way.

    A version is the base plus one adapter, or full weights: the next stage trains the same tensors.
    """
    if not parent.weights_hash:
        return recipe
    inherited = adapter_of(parent)
    if recipe.adapter == "auto":
        return recipe.model_copy(update={"adapter": inherited or "none"})
    asked = None if recipe.adapter == "none" else recipe.adapter
    if asked != inherited:
        has = "full weights (adapter = none)" if inherited is None else f"a LoRA adapter of rank {inherited.rank}"
        raise ConfigError(
            f"adapter: the current version {parent.id} has {has}, and a stage trains on from it. Leave adapter out, "
            "or roll back to the base and learn everything with the other setting.",
            param="adapter",
        )
    return recipe


def learner_of(
    workspace: Workspace, version: Version, *, recipe: Recipe | None = None, progress: Reporter | None = None
) -> Learner:
    """Returns a learner whose candidate and current both are `version`, for asking it questions.

    With `progress`, the number of threads is measured and said: for long work, not for one question.
    """
    from holdfast.models.learner import Learner
    from holdfast.models.threads import choose_threads

    settings = recipe or Recipe(base=version.base)
    loaded = open_base(workspace, version.base, dtype=settings.precision, device=settings.device)
    if progress is not None:
        progress.say(f"{choose_threads(loaded.model).reason}.")
    start = weights_of(workspace, version)
    return Learner.create(loaded, adapter_of(version), start=start, gradient_checkpointing=False)


def adapter_of_recipe(recipe: Recipe) -> AdapterConfig | None:
    """Returns the adapter settings of a resolved recipe, or None for full fine-tuning."""
    assert recipe.adapter != "auto"
    return None if recipe.adapter == "none" else recipe.adapter
